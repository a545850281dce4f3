"""Label Studio's JSON of uploaded images, with all kinds of regions."""

import json

import numpy as np

from tests.common.data.formats.brushes import packed
from tests.common.data.formats.samples import Counts, images

PAINTED = np.zeros((80, 100), bool)
PAINTED[70:75, 60:80] = True


def region(kind, label, **value):
    return {
        "original_width": 100, "original_height": 80, "image_rotation": 0, "id": kind[:10],
        "value": value | {kind: [label]}, "from_name": kind, "to_name": "image", "type": kind,
        "origin": "manual",
    }  # fmt: skip


DRAWN = [
    region("rectanglelabels", "dog", x=1, y=2.5, width=29, height=47.5, rotation=0),
    region("polygonlabels", "cat", points=[[10, 25], [40, 25], [40, 75], [10, 75]], closed=True),
    region("ellipselabels", "cat", x=70, y=25, radiusX=10, radiusY=6.25, rotation=0),
    region("brushlabels", "dog", format="rle", rle=packed(PAINTED)),
    region("keypointlabels", "cat", x=5, y=6, width=0.5),
]


def task_of(number, name, light, drawn, **more):
    answer = {
        "value": {"choices": [light]}, "id": f"a{number}", "from_name": "light",
        "to_name": "image", "type": "choices", "origin": "manual",
    }  # fmt: skip
    annotation = {
        "id": number, "completed_by": 1, "result": [*drawn, answer], "was_cancelled": False,
        "ground_truth": False, "created_at": "2024-05-01T10:00:00Z", "lead_time": 7.5,
    }  # fmt: skip
    return {
        "id": number, "annotations": [annotation], "file_upload": name, "drafts": [],
        "predictions": [], "data": {"image": f"/data/upload/3/{name}"}, "meta": {},
        "inner_id": number, "total_annotations": 1, "project": 3,
    } | more  # fmt: skip


def make(task):
    drawn = [] if task == "classification" else DRAWN
    tasks = [
        task_of(1, "9a8b7c6d-1.jpg", "night", drawn),
        task_of(2, "9a8b7c6e-2.jpg", "day", []),
        task_of(3, "9a8b7c6f-3.jpg", "day", [], annotations=[]),
    ]
    files = images("images/1.jpg", "images/9a8b7c6e-2.jpg", "images/3.jpg")
    return files | {"project-3-at-2024-05-01.json": json.dumps(tasks).encode()}


def expected(task):
    if task == "classification":
        return Counts(2, {"night": 1, "day": 1}, {}, {"IMAGES_WITHOUT_TAG"})
    noticed = {"SHAPES_UNUSABLE", "TAGS_NOT_READ", "IMAGES_UNLABELED", "IMAGES_WITHOUT_OBJECT"}
    if task == "detection":
        return Counts(2, {"dog": 2, "cat": 2}, {}, noticed | {"BOXES_AROUND_OUTLINES"})
    noticed.add("OBJECTS_WITHOUT_OUTLINE")
    if task == "instance-segmentation":
        return Counts(2, {"dog": 1, "cat": 2}, {}, noticed)
    # The ellipse has an area of 157; drawn, it has 162 pixels.
    cat, dog = 30 * 40 + 162, 5 * 20
    return Counts(2, {"background": 2 * 8000 - cat - dog, "dog": dog, "cat": cat}, {}, noticed)
