"""The `nocode-vision` command on the real system, as a user types it: from images to answers."""

import json
import os
import pty
import shlex
import subprocess
import zipfile

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from tests.client.command import PROGRAM, Command
from tests.e2e.data import CLASSES, encoded, shape

# Each waits for jobs, on cores that it shares with the other tests.
pytestmark = pytest.mark.timeout(600)

DATASET = "tasks/classification/datasets/cli-shapes"
PIPELINE = "tasks/classification/pipelines/cli-shapes"
QUICK = ("--set", "epoch_count=1", "--set", "image_size_px=32", "--set", "batch_size=8")
ARCHITECTURE = ("--architecture", "mobilenet_v3_small")

# Names as people give them to folders, which a terminal library could take for markup.
NAMES = {"circle": "circle [red]", "cross": "cross", "square": ":square:"}


@pytest.fixture(scope="module")
def command(stack):
    """The command, told where the gateway is."""
    return Command(stack.address)


@pytest.fixture(scope="module")
def imported(command, tmp_path_factory):
    """What the import of a folder of 36 images, a folder a class, printed."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    rng = np.random.default_rng(0)
    for kind in CLASSES:
        (folder / NAMES[kind]).mkdir(parents=True)
        for number in range(12):
            (folder / NAMES[kind] / f"{number}.jpg").write_bytes(encoded(shape(kind, rng)))
    return command.run("import", folder, "--id", "cli-shapes")


@pytest.fixture(scope="module")
def plots(tmp_path_factory):
    """Where the training saves its pictures."""
    return tmp_path_factory.mktemp("plots") / "new"


@pytest.fixture(scope="module")
def trained(command, imported, plots):
    """What the training of a small network printed."""
    options = (*ARCHITECTURE, *QUICK, "--id", "cli-shapes", "--save", plots)
    return command.run("train", DATASET, *options)


@pytest.fixture
def long_job(command, imported):
    """The name of a training that takes longer than a test."""
    endless = ("--set", "epoch_count=1000", "--set", "early_stopping_patience=1000")
    job = command.json("train", DATASET, *ARCHITECTURE, *QUICK, *endless, "--no-wait")
    yield job["name"]
    command.run("cancel", job["name"])
    command.run("watch", job["name"], status=1)


def is_picture(path):
    """Whether a file is a PNG that can be read and seen."""
    with Image.open(path) as image:
        image.load()
        return image.format == "PNG" and min(image.size) >= 32


def test_import_shows_classes_and_counts(imported):
    """Under their names, whatever stands in them; progress is on the other stream."""
    rows = {
        tuple(part.strip() for part in row.split("│")[1:3]) for row in imported.stdout.split("\n")
    }

    assert f"{DATASET}: 36 images, image_folder" in imported.stdout
    assert {(name, "12") for name in NAMES.values()} <= rows
    assert "Succeeded" in imported.stderr


def test_train_shows_how_good_the_model_is(trained):
    """Single figures with intervals, then those of each class; epochs are on the other stream."""
    assert "mobilenet_v3_small" in trained.stdout
    assert "accuracy" in trained.stdout
    assert "95 % interval" in trained.stdout
    assert all(name in trained.stdout for name in NAMES.values())
    assert "Training 1/1" in trained.stderr


def test_train_saves_its_plots(trained, plots):
    """In a folder that it makes, each under the path that it names."""
    saved = [line for line in trained.stderr.splitlines() if line.startswith("Saved ")]

    assert len(saved) >= 3
    assert len(list(plots.iterdir())) == len(saved)
    for line in saved:
        assert is_picture(line.removeprefix("Saved ").rsplit("  (")[0])


def test_evaluate_measures_a_subset_and_saves_plots(command, trained, tmp_path):
    """With `--json` the evaluation is all that is printed."""
    evaluation = command.json("evaluate", PIPELINE, "--subset", "val", "--save", tmp_path)

    assert evaluation["subset"] == "val"
    assert 0 <= evaluation["classification"]["accuracy"] <= 1
    pictures = list(tmp_path.iterdir())
    assert len(pictures) == len(evaluation["plots"]) >= 3
    assert all(is_picture(path) for path in pictures)


def test_predict_answers_in_a_line_an_image(command, trained, tmp_path):
    """More images than go into a request; one that is no image fails alone, with status 1."""
    rng = np.random.default_rng(1)
    images = [tmp_path / f"{number}.jpg" for number in range(10)]
    for image in images:
        image.write_bytes(encoded(shape("circle", rng)))
    images[4].write_bytes(b"no image")

    answers = command.lines("predict", PIPELINE, *images, "--top-k", 1, status=1)
    shown = command.run("predict", PIPELINE, *images, "--top-k", 1, status=1)

    assert [answer["image"] for answer in answers] == [str(image) for image in images]
    failed = answers.pop(4)
    assert failed["error"]["message"]
    for answer in answers:
        (best,) = answer["classification"]["classes"]
        assert best["class_name"] in NAMES.values()
        assert answer["model"].startswith("tasks/classification/models/")
    rows = shown.stdout.splitlines()
    assert [row.split()[0] for row in rows] == [str(image) for image in images]
    assert "error: " in rows[4]
    assert answers[0]["classification"]["classes"][0]["class_name"] in rows[0]


def test_predict_saves_an_overlay_an_image(command, trained, tmp_path):
    """Two images of one name do not overwrite each other's."""
    images = [tmp_path / folder / "photo.jpg" for folder in ("a", "b")]
    for image in images:
        image.parent.mkdir()
        image.write_bytes(encoded(shape("cross", np.random.default_rng(2))))

    answers = command.lines("predict", PIPELINE, *images, "--overlay", tmp_path / "overlays")

    assert [answer["image"] for answer in answers] == [str(image) for image in images]
    assert not any("overlay_png" in answer for answer in answers)
    saved = sorted((tmp_path / "overlays").iterdir())
    assert [path.name for path in saved] == ["photo-2.png", "photo.png"]
    assert all(is_picture(path) for path in saved)


@pytest.mark.parametrize(
    ("collection", "key", "expected"),
    [
        pytest.param("datasets", "name", DATASET, id="data sets"),
        pytest.param("pipelines", "name", PIPELINE, id="pipelines"),
        pytest.param("models", "architecture", "mobilenet_v3_small", id="models"),
        pytest.param("jobs", "kind", "KIND_TRAIN", id="jobs"),
        pytest.param("architectures", "name", "vgg16", id="architectures"),
    ],
)
def test_lists_are_tables_or_lines_of_json(command, trained, collection, key, expected):
    """The same things in both."""
    listed = command.lines(collection)
    table = command.run(collection).stdout

    assert expected in [message[key] for message in listed]
    assert expected.removeprefix("KIND_") in table


def test_settings_of_an_architecture_are_shown(command):
    """With defaults and what is allowed."""
    shown = command.run("architectures", "resnet18").stdout
    settings = command.json("architectures", "resnet18")["settings"]

    assert "epoch_count" in shown
    assert "epoch_count" in [setting["field"] for setting in settings]


def test_export_saves_a_model_that_runs(command, trained, tmp_path):
    """Elsewhere, with ONNX Runtime."""
    export = command.json("export", PIPELINE, "--output", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")

    assert export["uri"]
    assert session.get_inputs()


def test_ctrl_c_leaves_a_job_running_and_says_how_to_come_back(command, long_job):
    """The command that it names follows the job on; `cancel` is what stops it."""
    status, said = command.interrupt("watch", long_job, once="Training")
    commands = [shlex.split(line.partition(": ")[2]) for line in said.splitlines()[-2:]]
    again, _ = command.interrupt(*commands[0][1:], once="Training")

    assert (status, again) == (130, 130)
    assert "The job goes on." in said
    assert commands == [
        ["nocode-vision", "watch", long_job],
        ["nocode-vision", "cancel", long_job],
    ]
    (job,) = [job for job in command.lines("jobs") if job["name"] == long_job]
    assert job["state"] == "STATE_RUNNING"


def test_a_cancelled_job_is_called_so(command, long_job):
    """Status 1, as there is no result; with `--json` the job is printed all the same."""
    stopped = command.json("cancel", long_job)
    watched = command.run("--json", "watch", long_job, status=1)

    assert stopped["state"] in {"STATE_CANCELLING", "STATE_CANCELLED"}
    assert json.loads(watched.stdout)["state"] == "STATE_CANCELLED"
    assert f"Error: {long_job} was cancelled." in watched.stderr


def test_a_failed_job_gives_status_1_and_the_reason(command, tmp_path):
    """And names what is wrong with the data."""
    archive = tmp_path / "broken.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for kind in CLASSES:
            packed.writestr(f"{kind}/1.jpg", b"no image")

    failed = command.run("import", archive, status=1)
    job = next(job for job in command.lines("jobs") if job["state"] == "STATE_FAILED")
    watched = command.run("--json", "watch", job["name"], status=1)

    assert "Error: " in failed.stderr
    assert "1.jpg" in failed.stderr
    assert failed.stdout == ""
    assert json.loads(watched.stdout)["error"]["message"] in watched.stderr


def test_a_refused_call_gives_status_1_and_the_reason(command, imported, tmp_path):
    """In words, and by its stable name."""
    image = tmp_path / "x.png"
    image.write_bytes(b"x")
    unknown = command.run("predict", "tasks/classification/models/none", image, status=1).stderr
    used = command.run("train", DATASET, "-a", "none", status=1).stderr

    assert "[RESOURCE_NOT_FOUND]" in unknown
    assert "[ARCHITECTURE_UNKNOWN]" in used


def test_delete_takes_a_pipeline_away(command, imported):
    """It is not listed any more; what it used stays."""
    job = command.json("train", DATASET, *ARCHITECTURE, *QUICK, "--id", "gone", "--no-wait")
    command.run("cancel", job["name"])
    command.run("watch", job["name"], status=1)

    command.run("delete", "tasks/classification/pipelines/gone")

    names = [pipeline["name"] for pipeline in command.lines("pipelines")]
    assert "tasks/classification/pipelines/gone" not in names
    assert DATASET in [dataset["name"] for dataset in command.lines("datasets")]


def test_a_terminal_gets_a_bar(command, trained):
    """Drawn on standard error; the result is on standard output as ever."""
    job = next(job for job in command.lines("jobs") if job["state"] == "STATE_SUCCEEDED")
    screen, terminal = pty.openpty()
    try:
        watched = subprocess.run(
            [PROGRAM, "watch", job["name"]],
            env=command.env | {"TERM": "xterm"},
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
            timeout=60,
            check=True,
        )
        drawn = os.read(screen, 100_000).decode()
    finally:
        os.close(terminal)
        os.close(screen)

    assert job["name"] in watched.stdout
    assert "100%" in drawn
    assert "━" in drawn
