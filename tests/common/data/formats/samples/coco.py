"""COCO 1.0 as CVAT exports it; an object each of a box, of a polygon, and of runs of pixels."""

import json

from tests.common.data.formats.samples import Counts, images

RUNS = {"size": [80, 100], "counts": [0, 80 * 10, 80 * 90]}


def make(task):
    square = [[10, 20, 40, 20, 40, 60, 10, 60]]
    shapes = [([], [50, 2, 30, 40]), (square, [10, 20, 30, 40]), (RUNS, [0, 0, 10, 80])]
    document = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": ""},
        "categories": [
            {"id": id_, "name": name, "supercategory": ""} for id_, name in ((1, "dog"), (2, "cat"))
        ],
        "images": [
            {"id": id_, "width": 100, "height": 80, "file_name": f"{id_}.jpg", "license": 0}
            for id_ in (1, 2)
        ],
        "annotations": [
            {"id": id_, "image_id": 1, "category_id": 1 if id_ < 2 else 2, "bbox": bbox}
            | {"segmentation": outline, "area": bbox[2] * bbox[3], "iscrowd": 0}
            | {"attributes": {"occluded": False}}
            for id_, (outline, bbox) in enumerate(shapes)
        ],
    }
    files = images("images/default/1.jpg", "images/default/2.jpg")
    return files | {"annotations/instances_default.json": json.dumps(document).encode()}


def expected(task):
    if task == "detection":
        return Counts(2, {"dog": 2, "cat": 1}, {}, {"IMAGES_WITHOUT_OBJECT"})
    return Counts(2, {"dog": 1, "cat": 1}, {}, {"IMAGES_WITHOUT_OBJECT", "OBJECTS_WITHOUT_OUTLINE"})
