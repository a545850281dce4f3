"""Answers written as a data set, and imported again as any other."""

import json

import numpy as np
import pytest
import typer

from client import arguments
from client.labeling import LabelFormat, Labels
from client.packing import as_archive
from common.masks import rle
from nocode.vision.v1 import prediction_pb2 as pb
from services.detection.task import DetectionTask
from services.segmentation.instance.task import InstanceTask
from tests.common.data.conftest import import_archive  # noqa: F401 - a fixture
from tests.common.data.pictures import encode, picture

CLASSES = ["cat: [big]", "dog"]


def found(*objects, masks=False):
    """An answer about an image of 64 × 48 pixels: class, xmin, ymin, xmax, ymax of each."""
    seen = pb.Prediction(image_width=64, image_height=48)
    kind = seen.instance_segmentation if masks else seen.detection
    kind.SetInParent()
    for label, *sides in objects:
        one = kind.objects.add(class_name=CLASSES[label], class_index=label, score=0.75)
        one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax = sides
        if masks:
            left, top, right, bottom = sides
            inside = np.zeros((48, 64), np.uint8)
            inside[top:bottom, left:right] = 1
            inside[top + 1, left + 1] = 0
            one.mask.rle.height, one.mask.rle.width = 48, 64
            one.mask.rle.counts = rle.text_of(rle.encode(inside))
    return seen


@pytest.fixture
def images(tmp_path):
    paths = []
    for folder in ("b", "a"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "photo.jpg")
        paths[-1].write_bytes(encode(picture(seed=len(folder + str(paths)))))
    return paths


def written(folder, format_, answers):
    with Labels(folder, format_, CLASSES) as labels:
        for path, seen in answers:
            labels.add(path, seen)
    with as_archive(folder) as archive:
        return archive.read_bytes()


@pytest.mark.parametrize("format_", LabelFormat)
@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
def test_imported_again(format_, masks, images, tmp_path, import_archive):  # noqa: F811
    """What was found is what the data set has, in the order of the images."""
    answers = [found((1, 2, 3, 40, 30), (0, 10, 10, 20, 40), masks=masks), found(masks=masks)]
    archive = written(tmp_path / "out", format_, zip(images, answers, strict=True))

    import_archive.task = InstanceTask() if masks else DetectionTask()
    imported = import_archive(archive)

    assert imported.dataset.format == format_
    assert list(imported.dataset.classes) == CLASSES
    first, second = (entry.annotation["objects"] for entry in imported.entries)
    assert [(one["label"], one["box"]) for one in first] == [
        (1, [2, 3, 40, 30]),
        (0, [10, 10, 20, 40]),
    ]
    assert second == []
    for path, entry in zip(images, imported.entries, strict=True):
        assert imported.reader.read(entry) == path.read_bytes()
    if masks:
        counts = [one.mask.rle.counts for one in answers[0].instance_segmentation.objects]
        assert [one["mask"] for one in first] == counts


def test_scores_are_kept(images, tmp_path):
    answers = [(images[0], found((1, 2, 3, 40, 30)))]
    written(tmp_path / "coco", LabelFormat.COCO, answers)
    written(tmp_path / "yolo", LabelFormat.YOLO, answers)

    (annotation,) = json.loads((tmp_path / "coco/annotations.json").read_text())["annotations"]
    assert annotation["score"] == 0.75
    (line,) = (tmp_path / "yolo/labels/000000-photo.txt").read_text().splitlines()
    assert line.split()[-1] == "0.75"
    assert not list((tmp_path / "coco").glob("*.part"))


def test_a_folder_with_something_in_it_is_left_alone(images, tmp_path):
    (tmp_path / "mine").write_text("x")

    with pytest.raises(FileExistsError, match="is not empty"):
        Labels(tmp_path, LabelFormat.COCO, CLASSES)


@pytest.mark.parametrize(
    ("name", "format_", "output", "mask_format"),
    [
        ("tasks/detection/models/m", "coco", None, None),
        ("tasks/detection/models/m", None, "out", None),
        ("tasks/classification/models/m", "coco", "out", None),
        ("tasks/semantic-segmentation/pipelines/p", "yolo", "out", None),
        ("tasks/instance-segmentation/models/m", "coco", "out", "png"),
    ],
)
def test_options_that_do_not_go_together(name, format_, output, mask_format):
    with pytest.raises(typer.BadParameter):
        arguments.check_labels(name, format_, output, mask_format)


def test_label_mapping():
    """A sign of equality in a name is doubled."""
    written = ["cat=feline", "a==b=c", "dog=", "x=y==z"]

    mapping = arguments.label_mapping(written)

    assert mapping == {"cat": "feline", "a=b": "c", "dog": "", "x": "y=z"}
    for wrong in (["cat"], ["a==b"], ["a=b", "a=c"]):
        with pytest.raises(typer.BadParameter):
            arguments.label_mapping(wrong)


def test_hub_sources():
    made = arguments.hub_source("hf://owner/name@main", ["label_column=fine", "config=plain"])

    assert (made.path, made.revision) == ("owner/name", "main")
    assert (made.label_column, made.config) == ("fine", "plain")
    with pytest.raises(typer.BadParameter, match="label_column"):
        arguments.hub_source("hf://a/b", ["label=fine"])
