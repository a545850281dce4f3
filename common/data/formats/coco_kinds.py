"""What the JSON files of an archive are about, as far as COCO's format goes."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Any

from common.data.formats.json_parts import JsonError, parts

if TYPE_CHECKING:
    from common.data.tree import Tree

# What kind a file is of is seen from so many annotations.
_SAMPLE = 50
_LISTS = re.compile(rb'[^\[{]*\{.*"(images|annotations|categories)"\s*:\s*\[', re.DOTALL)
_SHAPES = {"bbox", "segmentation"}


class Kind(enum.Enum):
    """What a JSON file is about."""

    OBJECTS = enum.auto()
    KEYPOINTS = enum.auto()
    """Key points of objects, beside their boxes and outlines."""
    PANOPTIC = enum.auto()
    """Segments of whole images, drawn in files of their own."""
    OTHER = enum.auto()
    BROKEN = enum.auto()
    """It was meant to be about objects, but is no JSON."""


def kind_of(tree: Tree, path: str, *, outlines: bool = False) -> Kind:
    """Look into a file as far as needed to tell what it is about.

    Args:
        tree: Where it is.
        path: Its path.
        outlines: Objects without an outline do not count.
    """
    looked = 0
    listed = set()
    try:
        for part in parts(tree, path):
            if part.place is None:
                continue
            if part.place >= 0 and part.key != "annotations":
                listed.add(part.key)
            elif isinstance(part.value, dict):
                kind = _kind(part.value, outlines=outlines)
                looked += 1
                if kind != Kind.OTHER or looked == _SAMPLE:
                    return kind
            elif part.place < 0:
                listed.add(part.key)
    except JsonError:
        with tree.open(path) as file:
            start = file.read(1 << 20)
        return Kind.BROKEN if _LISTS.match(start) else Kind.OTHER
    # Perhaps none of the images shows an object.
    empty = not looked and {"images", "annotations", "categories"} <= listed
    return Kind.OBJECTS if empty else Kind.OTHER


def _kind(annotation: dict[str, Any], *, outlines: bool) -> Kind:
    if "segments_info" in annotation:
        return Kind.PANOPTIC
    if not {"image_id", "category_id"} <= annotation.keys():
        return Kind.OTHER
    if not (annotation.get("segmentation") if outlines else _SHAPES & annotation.keys()):
        return Kind.OTHER
    return Kind.KEYPOINTS if "keypoints" in annotation else Kind.OBJECTS
