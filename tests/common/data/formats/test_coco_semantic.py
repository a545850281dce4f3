"""Outlines of COCO files, laid over each other to one class for each pixel."""

import numpy as np
import pytest
from pycocotools import mask as reference

from common.data.findings import Report
from common.data.formats.coco_semantic import CocoSemantic
from common.data.images import ImageInfo
from tests.common.data.formats.coco_files import annotation, document, image, one_image
from tests.common.data.formats.masks import grey, jpeg

COCO = CocoSemantic()


def square(xmin, ymin, xmax, ymax):
    """A polygon."""
    return [[xmin, ymin, xmax, ymin, xmax, ymax, xmin, ymax]]


def drawn(segmentation, category=1, **more):
    return annotation(1, category, segmentation=segmentation, **more)


def info(width=100, height=80, orientation=1):
    return ImageInfo("JPEG", width, height, orientation, "RGB", 8, has_alpha=False)


def load(tree, size=None):
    """Return the labels of the only image, the classes, and the findings' examples."""
    report = Report()
    reading = COCO.read(tree, report, max_records=10)
    (record,) = reading.records
    labels = record.annotation.load(record.file, size or info(), report)
    return labels, reading.classes, {f.id: list(f.examples) for f in report.findings()}


def test_pixels_of_no_object_are_background(tree_of):
    """It is the first class, the others keep their order."""
    tree = tree_of("1.jpg", **{"a.json": one_image(drawn(square(10, 20, 40, 60), 2))})

    labels, classes, _ = load(tree)

    assert COCO.detect(tree) == "a.json lists images and outlines"
    assert classes == ["background", "cat", "dog"]
    assert (labels[20:60, 10:40] == 2).all()
    assert (labels == 2).sum() == 40 * 30
    assert (labels == 0).sum() == 80 * 100 - 40 * 30
    assert labels.dtype == np.int16


@pytest.mark.parametrize("turned", [False, True])
def test_smaller_objects_lie_on_larger_ones(tree_of, turned):
    """Whichever comes first in the file, and whatever areas it says."""
    outlines = [
        drawn(square(0, 0, 60, 60), 1, area=1),
        drawn(square(10, 10, 20, 20), 2, area=9999),
    ]
    tree = tree_of("1.jpg", **{"a.json": one_image(*(outlines[::-1] if turned else outlines))})

    labels, *_ = load(tree)

    assert (labels[10:20, 10:20] == 2).all()
    assert (labels == 1).sum() == 60 * 60 - 10 * 10


def test_of_equally_large_ones_the_later_lies_on_top(tree_of):
    """As programs that draw in the order of the file do."""
    first, second = drawn(square(0, 0, 20, 20), 2), drawn(square(10, 0, 30, 20), 1)

    labels, *_ = load(tree_of("1.jpg", **{"a.json": one_image(first, second)}))

    assert (labels[:20, :10] == 2).all()
    assert (labels[:20, 10:30] == 1).all()


def test_runs_of_pixels_and_crowds_are_of_their_class(tree_of):
    """Compressed or not."""
    inside = np.zeros((80, 100), np.uint8, order="F")
    inside[5:9, 50:70] = 1
    packed = reference.encode(inside)
    compressed = {"size": packed["size"], "counts": packed["counts"].decode()}
    plain = {"size": [80, 100], "counts": [0, 80 * 3, 80 * 97]}
    tree = tree_of(
        "1.jpg",
        **{
            "a.json": one_image(
                drawn(compressed, 2, bbox=[50, 5, 20, 4]),
                drawn(plain, 1, iscrowd=1, bbox=[0, 0, 3, 80]),
            )
        },
    )

    labels, *_ = load(tree)

    assert (labels[:, :3] == 1).all()
    assert ((labels == 2) == (inside == 1)).all()


@pytest.mark.parametrize("name", ["background", "Background "])
def test_a_category_called_background_is_the_class(tree_of, name):
    """What it outlines may lie on other objects."""
    categories = {1: "cat", 4: name}
    outlines = drawn(square(0, 0, 60, 60), 1), drawn(square(10, 10, 20, 20), 4)
    tree = tree_of("1.jpg", **{"a.json": one_image(*outlines, categories=categories)})

    labels, classes, _ = load(tree)

    assert [one.strip().lower() for one in classes] == ["background", "cat"]
    assert (labels[10:20, 10:20] == 0).all()
    assert (labels == 1).sum() == 60 * 60 - 10 * 10


def test_an_image_without_objects_is_background(tree_of):
    """It is labeled, as opposed to one that no file lists."""
    tree = tree_of("1.jpg", "2.jpg", **{"a.json": one_image()})

    labels, _, findings = load(tree)

    assert (labels == 0).all()
    assert findings["IMAGES_NOT_LISTED"] == ["2.jpg"]


def test_outlines_follow_their_image(tree_of):
    """A copy of another size, and one that is stored turned by 90°."""
    tree = tree_of("1.jpg", **{"a.json": one_image(drawn(square(10, 20, 40, 60)))})

    larger, _, scaled = load(tree, info(200, 160))
    upright, _, turned = load(tree, info(80, 100, orientation=6))

    assert (larger[40:120, 20:80] == 1).all()
    assert (larger == 1).sum() == 4 * 40 * 30
    # To be turned clockwise: the left column becomes the upper row.
    assert (upright[10:40, 20:60] == 1).all()
    assert (upright == 1).sum() == 40 * 30
    assert scaled
    assert turned


def test_boxes_and_areas_do_not_matter(tree_of):
    """Nobody has to hear of wrong ones."""
    one = drawn(square(0, 0, 10, 10), bbox=[-5, 50, 900, 9], area=7)

    labels, _, findings = load(tree_of("1.jpg", **{"a.json": one_image(one)}))

    assert (labels[:10, :10] == 1).all()
    assert findings == {}


def test_mistakes_in_outlines_are_named(tree_of):
    """As for objects: what cannot be drawn is left out."""
    good = drawn(square(0, 0, 10, 10))
    bad = drawn([[1, 1, 5, 5]], bbox=[1, 1, 4, 4])

    labels, _, findings = load(tree_of("1.jpg", **{"a.json": one_image(good, bad)}))

    assert (labels == 1).sum() == 100
    assert findings["POLYGONS_TOO_SHORT"]


def test_masks_in_files_of_their_own_come_first(tree_of):
    """They say more exactly what each pixel is; the user may say otherwise."""
    content = document([image(1, "1.jpg", width=4, height=2)], [drawn(square(0, 0, 2, 2))])
    tree = tree_of(
        **{
            "images/1.jpg": jpeg(),
            "masks/1.png": grey([0, 1, 2, 3], [0, 1, 2, 3]),
            "a.json": content,
        }
    )

    assert COCO.detect(tree) is None
    assert [record.file for record in COCO.read(tree, Report(), max_records=9).records] == [
        "images/1.jpg"
    ]


def test_splits_are_those_of_the_files(tree_of):
    """As for objects."""
    contents = {
        f"{split}/a.json": document([image(1, "1.jpg")], [drawn(square(0, 0, 9, 9))])
        for split in ("train", "valid")
    }
    tree = tree_of("train/1.jpg", "valid/1.jpg", **contents)

    reading = COCO.read(tree, Report(), max_records=10)

    assert {record.file: record.split for record in reading.records} == {
        "train/1.jpg": "train",
        "valid/1.jpg": "val",
    }
