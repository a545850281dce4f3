"""Exports of Label Studio, in both forms."""

import json

import numpy as np

from tests.common.data.formats.brushes import packed

WIDTH, HEIGHT = 200, 100
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[10:30, 40:90] = True
RECTANGLE = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
BOX = (20, 20, 80, 60)


def result(value=RECTANGLE, kind="rectanglelabels", label="cat", **more):
    value = value | ({kind: [label]} if label else {})
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return sizes | {"value": value, "from_name": "label", "to_name": "image", "type": kind} | more


def choice(*choices, name="kind", **more):
    value = {"choices": list(choices)}
    return {"value": value, "from_name": name, "to_name": "image", "type": "choices"} | more


def annotation(*results, **more):
    return {"id": 1, "result": list(results), "was_cancelled": False, "ground_truth": False} | more


def task(image="/data/upload/1/9a8b7c6d-1.jpg", *annotations, **more):
    return {
        "id": 5, "annotations": list(annotations), "predictions": [], "data": {"image": image},
        "inner_id": 1, "total_annotations": len(annotations), "file_upload": "9a8b7c6d-1.jpg",
    } | more  # fmt: skip


def minimal(*results, image="/data/upload/1/9a8b7c6d-1.jpg", **more):
    """A task of JSON-MIN."""
    labels = [
        one["value"] | {key: one[key] for key in ("original_width", "original_height")}
        for one in results
    ]
    ends = {"id": 5, "annotator": 1, "annotation_id": 7, "lead_time": 2.5, "updated_at": "2024"}
    return {"image": image, **({"label": labels} if labels else {})} | ends | more


def tree_with(tree_of, *tasks, images=("images/1.jpg",)):
    return tree_of(*images, **{"project-1.json": json.dumps(tasks).encode()})


GOOD = [
    json.dumps([task("1.jpg", annotation(result(), choice("day")))]).encode(),
    json.dumps([minimal(result({"rle": packed(MASK)}, "brushlabels"), kind="day")]).encode(),
]
