"""`nocode-vision` about data sets, on the real system, as a user types it."""

import pytest
from PIL import Image

from tests.client.command import Command
from tests.common.data.pictures import encode, picture

# Each waits for jobs, on cores that it shares with the other tests.
pytestmark = pytest.mark.timeout(600)

DATASET = "tasks/detection/datasets/cli-data"
LINES = ("0 0.5 0.5 0.5 0.5\n1 0.25 0.25 0.1 0.1\n", "1 0.5 0.5 0.4 0.2\n", "2 0.3 0.3 0.2 0.2\n")


@pytest.fixture(scope="module")
def command(stack):
    return Command(stack.address)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """YOLO, with a class more than is wanted."""
    folder = tmp_path_factory.mktemp("data") / "pets"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "data.yaml").write_text("names: [cat, kitten, dust]\n")
    for number, line in enumerate(LINES):
        (folder / f"images/{number}.jpg").write_bytes(encode(picture(100, 80, number)))
        (folder / f"labels/{number}.txt").write_text(line)
    return folder


@pytest.fixture(scope="module")
def imported(command, folder, tmp_path_factory):
    """What an import printed that merges two classes and drops one; its pictures are saved."""
    pictures = tmp_path_factory.mktemp("pictures") / "new"
    options = ("--map", "kitten=cat", "--map", "dust=", "--pictures", pictures)
    printed = command.run("import", folder, "--task", "detection", "--id", "cli-data", *options)
    return printed, pictures


def are_pictures(folder):
    found = sorted(folder.iterdir())
    for path in found:
        with Image.open(path) as image:
            image.load()
            assert (image.format, min(image.size) > 32) == ("PNG", True)
    return [path.name for path in found]


def test_a_dry_run_says_all_and_leaves_nothing(command, folder, tmp_path):
    done = command.run("import", folder, "--task", "detection", "--id", "dry", "--dry-run",
                       "--pictures", tmp_path / "p")  # fmt: skip

    assert "kitten" in done.stdout
    assert "Read as yolo, since labels/0.txt has a number of a class" in done.stdout
    assert "nothing was imported" in done.stderr
    assert are_pictures(tmp_path / "p") == ["class-balance.png", "samples-with-their-labels.png"]
    command.run("dataset", "tasks/detection/datasets/dry", status=1)


def test_a_mapping_is_shown(imported):
    done, pictures = imported

    assert "(dropped)" in done.stdout
    assert "CLASSES_RENAMED" in done.stderr
    assert len(are_pictures(pictures)) == 2


def test_a_data_set_is_shown_with_its_pictures(command, imported, tmp_path):
    shown = command.json("dataset", DATASET)
    command.run("dataset", DATASET, "--pictures", tmp_path / "p")

    assert shown["classes"] == ["cat"]
    assert [(one["source"], one["target"]) for one in shown["mapped_classes"]] == [
        ("kitten", "cat"),
        ("dust", ""),
    ]
    assert len(are_pictures(tmp_path / "p")) == 2


@pytest.mark.parametrize("format_", ["coco", "yolo"])
def test_an_export_is_imported_as_the_same(format_, command, imported, tmp_path):
    archive = tmp_path / "export.zip"
    command.run("export", DATASET, "--format", format_, "--output", archive)
    again = command.json("import", archive, "--task", "detection")

    assert again["format"] == format_
    assert again["content_digest"] == command.json("dataset", DATASET)["content_digest"]


def test_a_format_that_is_none_is_refused(command, imported, tmp_path):
    done = command.run("export", DATASET, "--format", "docx", "--output", tmp_path / "x", status=1)

    assert "Send one of coco, yolo" in done.stderr
    assert not list(tmp_path.iterdir())


def test_formats_are_listed(command):
    """Over all tasks, or one; in full by name."""
    every = command.lines("formats")
    of_one = command.lines("formats", "detection")

    assert {one["task"] for one in every} == {
        f"tasks/{task}"
        for task in ("classification", "detection", "semantic-segmentation",
                     "instance-segmentation")
    }  # fmt: skip
    assert [one for one in every if one["task"] == "tasks/detection"] == of_one
    assert "coco" in [one["name"] for one in of_one]
    shown = command.run("formats", "detection", "--name", "coco").stdout
    assert "Detected by: " in shown
    assert "annotations/" in shown
    command.run("formats", "--name", "docx", status=2)
