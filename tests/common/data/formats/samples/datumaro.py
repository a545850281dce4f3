"""Datumaro 1.0 as its program exports it, with images."""

import json

import numpy as np

from common.masks import rle
from tests.common.data.formats.samples import Counts, images


def annotation(kind, label=None, marks=None, group=0, **more):
    said = {"id": 0, "type": kind, "attributes": marks or {}, "group": group}
    return said | ({} if label is None else {"label_id": label}) | more


def runs():
    inside_HW = np.zeros((80, 100), np.uint8)
    inside_HW[5:15, 10:30] = 1
    return {"counts": rle.text_of(rle.encode(inside_HW)), "size": [80, 100]}


def tags():
    return [[annotation("label", 1)], [annotation("label", 0)], [annotation("label", 1)]]


def drawn():
    square = [10.0, 20.0, 40.0, 20.0, 40.0, 60.0, 10.0, 60.0]
    return [
        [
            annotation("bbox", 1, {"occluded": True}, bbox=[1.0, 2.0, 30.0, 20.0], z_order=0),
            annotation("polygon", 0, group=3, points=square, z_order=0),
            annotation("bbox", 0, group=3, bbox=[10.0, 20.0, 30.0, 40.0], z_order=0),
            annotation("polyline", 0, points=[1.0, 1.0, 5.0, 5.0], z_order=0),
            annotation("caption", caption="hello"),
        ],
        [annotation("mask", 1, {"is_crowd": True}, rle=runs(), z_order=0)],
        [],
    ]


def document(items):
    labels = [{"name": name, "parent": "", "attributes": []} for name in ("cat", "dog")]
    return json.dumps(
        {
            "dm_format_version": "1.0",
            "media_type": 2,
            "infos": {},
            "categories": {"label": {"labels": labels, "label_groups": [], "attributes": []}},
            "items": [
                {
                    "id": name,
                    "annotations": annotations,
                    "image": {"path": f"{name}.jpg", "size": [80, 100]},
                }
                for name, annotations in items
            ],
        },
        separators=(",", ":"),
    ).encode()


def make(task):
    first, second, third = tags() if task == "classification" else drawn()
    return images("images/train/1.jpg", "images/train/2.jpg", "images/val/1.jpg") | {
        "annotations/train.json": document([("1", first), ("2", second)]),
        "annotations/val.json": document([("1", third)]),
    }


def expected(task):
    splits = {"train": 2, "val": 1}
    if task == "classification":
        return Counts(3, {"dog": 2, "cat": 1}, splits, set())
    noticed = {"SHAPES_UNUSABLE", "IMAGES_WITHOUT_OBJECT"}
    if task == "detection":
        return Counts(3, {"dog": 2, "cat": 1}, splits, noticed | {"BOXES_AROUND_OUTLINES"})
    noticed.add("OBJECTS_WITHOUT_OUTLINE")
    if task == "instance-segmentation":
        return Counts(3, {"dog": 1, "cat": 1}, splits, noticed)
    pixels = {"cat": 30 * 40, "dog": 20 * 10, "background": 3 * 8000 - 30 * 40 - 20 * 10}
    return Counts(3, pixels, splits, noticed)
