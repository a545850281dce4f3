"""COCO files, made for tests."""

import json

from common.data.formats.coco import Coco
from tests.common.data.formats.boxes import read_boxes

COCO = Coco()
CATEGORIES = {1: "cat", 2: "dog"}


def image(id_, name, **more):
    return {"id": id_, "file_name": name, "width": 100, "height": 80} | more


def annotation(image_id, category_id=1, bbox=(10, 20, 30, 40), **more):
    return {"id": 7, "image_id": image_id, "category_id": category_id, "bbox": bbox} | more


def document(images, annotations, categories=CATEGORIES, **more) -> bytes:
    if isinstance(categories, dict):
        categories = [{"id": id_, "name": name} for id_, name in categories.items()]
    lists = {"images": images, "annotations": annotations, "categories": categories}
    return json.dumps(lists | more).encode()


def one_image(*annotations, **more) -> bytes:
    return document([image(1, "1.jpg")], list(annotations), **more)


def read(tree, **options):
    return read_boxes(COCO, tree, **options)
