"""Files of a Supervisely project, made for tests."""

import base64
import io
import json
import zlib

import numpy as np
from PIL import Image

from tests.common.data.pictures import encode


def document(*objects, tags=(), size=(100, 80), **more) -> bytes:
    """An annotation file of an image of so many pixels."""
    head = {"description": "", "tags": list(tags)}
    if size:
        head["size"] = {"height": size[1], "width": size[0]}
    return json.dumps(head | {"objects": objects} | more).encode()


def thing(kind, title="cat", **more):
    return {
        "id": 497521359,
        "classId": 1661571,
        "description": "",
        "geometryType": kind,
        "labelerLogin": "me",
        "tags": [],
        "classTitle": title,
    } | more


def rectangle(xmin, ymin, xmax, ymax, **more):
    corners = {"exterior": [[xmin, ymin], [xmax, ymax]], "interior": []}
    return thing("rectangle", points=corners, **more)


def polygon(exterior, *interior, **more):
    return thing("polygon", points={"exterior": exterior, "interior": list(interior)}, **more)


def palette(inside_HW) -> bytes:
    """A PNG of two colours, of which the first is transparent, as Supervisely writes it."""
    image = Image.fromarray(np.array(inside_HW, np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    file = io.BytesIO()
    image.save(file, "PNG", transparency=0)
    return file.getvalue()


def bitmap(data: bytes | str, x=10, y=20, **more):
    """A bitmap whose upper left corner is at (x, y)."""
    if isinstance(data, bytes):
        data = base64.b64encode(zlib.compress(data)).decode()
    return thing("bitmap", bitmap={"data": data, "origin": [x, y]}, **more)


def grey(*rows) -> bytes:
    return encode(np.array(rows, np.uint8), "PNG")


def meta(*titles, tags=(), shape="any") -> bytes:
    """A meta.json; tags are pairs of a name and a kind of values."""
    classes = [{"title": title, "shape": shape, "color": "#0A0B0C"} for title in titles]
    named = [{"name": name, "value_type": kind, "color": "#0A0B0C"} for name, kind in tags]
    return json.dumps({"classes": classes, "tags": named, "projectType": "images"}).encode()


def tag(name, value=None):
    return {"id": 2, "tagId": 3, "name": name, "value": value, "labelerLogin": "me"}
