"""LabelMe's JSON beside the images, of which one is only inside of its file."""

import base64
import json

import numpy as np

from tests.common.data.formats.samples import Counts, images
from tests.common.data.pictures import encode


def shape(label, points, kind, **more):
    said = {"label": label, "points": points, "group_id": None, "description": ""}
    return said | {"shape_type": kind, "flags": {}, "mask": None} | more


def picture(pixels):
    """In base64, as LabelMe writes what is 0 and 1."""
    return base64.b64encode(encode(np.array(pixels, np.uint8) * 255, "PNG")).decode()


def document(name, *shapes, flags=(), data=None):
    said = {
        "version": "5.5.0",
        "flags": {"night": False, "day": False} | dict.fromkeys(flags, True),
    }
    said |= {"shapes": list(shapes), "imagePath": name, "imageData": data}
    return json.dumps(said | {"imageHeight": 80, "imageWidth": 100}, indent=2).encode()


DRAWN = (
    shape("dog", [[30.0, 40.0], [1.5, 2.0]], "rectangle"),
    shape("cat", [[10, 20], [40, 20], [40, 60], [10, 60]], "polygon"),
    shape("cat", [[70, 20], [75, 20]], "circle"),
    shape("dog", [[60, 70], [62, 71]], "mask", mask=picture([[0, 0, 1], [1, 0, 0]])),
    shape("cat", [[5, 6]], "point"),
)


def make(task):
    drawn = () if task == "classification" else DRAWN
    files = images("train/1.jpg", "train/2.jpg", "val/3.jpg", "train/4.jpg")
    inside = base64.b64encode(files.pop("val/3.jpg")).decode()
    return files | {
        "train/1.json": document("1.jpg", *drawn, flags=["night"]),
        "train/2.json": document("2.jpg", flags=["day"]),
        "val/3.json": document("..\\pictures\\3.jpg", flags=["day"], data=inside),
    }


def expected(task):
    splits = {"train": 2, "val": 1}
    if task == "classification":
        findings = {"IMAGES_WITHOUT_TAG", "IMAGES_EMBEDDED"}
        return Counts(3, {"night": 1, "day": 2}, splits, findings)
    noticed = {"SHAPES_UNUSABLE", "TAGS_NOT_READ", "IMAGES_EMBEDDED", "IMAGES_UNLABELED"}
    noticed.add("IMAGES_WITHOUT_OBJECT")
    if task == "detection":
        findings = noticed | {"BOXES_AROUND_OUTLINES"}
        return Counts(3, {"dog": 2, "cat": 2}, splits, findings)
    noticed.add("OBJECTS_WITHOUT_OUTLINE")
    if task == "instance-segmentation":
        return Counts(3, {"dog": 1, "cat": 2}, splits, noticed)
    # The circle has an area of 79; drawn, it has 80 pixels.
    cat, dog = 30 * 40 + 80, 2
    pixels = {"background": 3 * 8000 - cat - dog, "dog": dog, "cat": cat}
    return Counts(3, pixels, splits, noticed)
