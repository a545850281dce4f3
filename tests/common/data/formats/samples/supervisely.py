"""A project of Supervisely, as it is downloaded."""

import numpy as np

from tests.common.data.formats import supervisely_files as made
from tests.common.data.formats.samples import Counts, images

IMAGES = ("p/train/img/1.jpg", "p/train/img/2.jpg", "p/val/img/1.png")


def square(left, upper, right, lower):
    return [[left, upper], [right, upper], [right, lower], [left, lower]]


def make(task):
    if task == "classification":
        files = [made.document(tags=[made.tag(name)]) for name in ("day", "night", "day")]
    else:
        first = made.document(
            made.rectangle(1, 2, 29, 39, title="dog"),
            made.polygon(square(50.25, 50.25, 80.25, 70.25), square(60.25, 55.25, 64.25, 59.25)),
            made.thing("point", points={"exterior": [[5, 5]], "interior": []}),
        )
        inside_HW = np.ones((10, 20), np.uint8)
        inside_HW[:, 0] = 0
        inside_HW[3, 3] = 0
        second = made.document(made.bitmap(made.palette(inside_HW), x=10, y=5, title="dog"))
        files = [first, second, made.document()]
    named = [path.replace("/img/", "/ann/") + ".json" for path in IMAGES]
    return (
        images(*IMAGES)
        | dict(zip(named, files, strict=True))
        | {"p/meta.json": made.meta("cat", "dog", tags=[("day", "none"), ("night", "none")])}
    )


def expected(task):
    splits = {"train": 2, "val": 1}
    if task == "classification":
        return Counts(3, {"day": 2, "night": 1}, splits, set())
    noticed = {"SHAPES_UNUSABLE", "IMAGES_WITHOUT_OBJECT"}
    if task == "detection":
        return Counts(3, {"dog": 2, "cat": 1}, splits, noticed | {"BOXES_AROUND_OUTLINES"})
    noticed.add("OBJECTS_WITHOUT_OUTLINE")
    if task == "instance-segmentation":
        return Counts(3, {"dog": 1, "cat": 1}, splits, noticed)
    cat, dog = 30 * 20 - 4 * 4, 20 * 10 - 10 - 1
    pixels = {"cat": cat, "dog": dog, "background": 3 * 8000 - cat - dog}
    return Counts(3, pixels, splits, noticed)
