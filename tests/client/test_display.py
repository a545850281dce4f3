"""Names are shown as they are, whatever a terminal library could take them for."""

import pytest

from client import console, display, progress
from nocode.vision.v1 import dataset_pb2, finding_pb2, job_pb2, model_pb2, pipeline_pb2

# The first three would be a style, the end of one that never began, and a picture.
NAMES = ("dog [male]", "[/a]", ":smile:", "a\\[b]")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Tables that fold nothing."""
    monkeypatch.setattr(console.out, "width", 200)


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_shows_its_classes_as_they_are(name, capsys):
    """In the table."""
    count = dataset_pb2.ClassCount(class_name=name, image_count=3)

    display.dataset(dataset_pb2.Dataset(name="n", class_counts=[count]))

    assert name in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_lists_and_messages_show_names_as_they_are(name, capsys):
    """Of jobs, of findings, of errors."""
    job = job_pb2.Job(state=job_pb2.Job.STATE_QUEUED, waiting_reason=name)

    display.listing("jobs", [job])
    display.findings([finding_pb2.Finding(id="X", message="M.", examples=[name])])
    console.failure(name, "REASON")
    progress.follow([job])

    shown = capsys.readouterr()
    assert name in shown.out
    assert shown.err.count(name) == 3
    assert f"Error: {name} [REASON]" in shown.err


def test_a_data_set_of_objects_shows_how_many_there_are(capsys):
    """Of whole-image classes there are as many as images, which is said once."""
    cats = dataset_pb2.ClassCount(class_name="cat", image_count=3, object_count=17)
    dogs = dataset_pb2.ClassCount(class_name="dog", image_count=2, object_count=2)

    display.dataset(dataset_pb2.Dataset(name="n", class_counts=[cats, dogs]))
    display.dataset(dataset_pb2.Dataset(name="n", class_counts=[dogs]))

    of_objects, of_images, _ = capsys.readouterr().out.split("dog")
    assert "17" in of_objects
    assert "objects" in of_objects
    assert "objects" not in of_images


def test_a_data_set_of_pixels_shows_the_share_of_each_class(capsys):
    """Of all that somebody labeled; a class in no image has none."""
    counts = [
        dataset_pb2.ClassCount(class_name="sky", image_count=3, pixel_count=7500),
        dataset_pb2.ClassCount(class_name="roof", image_count=2, pixel_count=2499),
        dataset_pb2.ClassCount(class_name="bird", image_count=1, pixel_count=1),
        dataset_pb2.ClassCount(class_name="car"),
    ]

    display.dataset(dataset_pb2.Dataset(name="n", class_counts=counts))

    shown = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in shown.splitlines()]
    assert [row for row in rows if len(row) == 3] == [
        ["sky", "3", "75.0 %"],
        ["roof", "2", "25.0 %"],
        ["bird", "1", "< 0.1 %"],
        ["car", "0", "0.0 %"],
    ]
    assert "pixels" in shown
    assert "objects" not in shown


def test_a_list_of_models_shows_the_first_metric(capsys):
    """Of a detector the AP."""
    model = model_pb2.Model(name="tasks/detection/models/a")
    model.evaluation.detection.box.ap = 0.4321

    display.listing("models", [model])

    assert "│ ap 0.4321 │" in capsys.readouterr().out


def test_names_in_lists_are_whole_in_a_narrow_terminal(capsys, monkeypatch):
    """They are for the next command. Of an error a list has room for the first sentence."""
    monkeypatch.setattr(console.out, "width", 80)
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    recipe = pipeline_pb2.TrainingConfig(image_size_px=320)
    architecture = pipeline_pb2.Architecture(
        name=name, task="tasks/detection", recipe=recipe, parameter_count=19_000_000
    )
    job = job_pb2.Job(name="tasks/instance-segmentation/jobs/job-1a8747346e3ee49d")
    job.error.message = "It is odd. Mend it."

    display.listing("architectures", [architecture])
    display.listing("jobs", [job])

    shown = capsys.readouterr().out
    assert f"│ {name} │ detection │ 19.0 M  │ 320      │" in shown
    assert job.name in shown
    assert "Mend" not in shown
    assert "…" not in shown


def test_limits_of_settings_are_exact(capsys):
    """Not 4.29497e+09."""
    seed = pipeline_pb2.SettingSchema(field="seed", minimum=0, maximum=2**32 - 1)
    rate = pipeline_pb2.SettingSchema(field="learning_rate", maximum=10)
    rate.default_value.number_value = 0.00025

    display.settings(pipeline_pb2.Architecture(settings=[seed, rate]))

    shown = capsys.readouterr().out
    assert "0 to 4294967295" in shown
    assert " 0.00025 " in shown
