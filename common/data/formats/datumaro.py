"""Datumaro JSON, as Datumaro and CVAT export it: one file for each subset.

    annotations/train.json          images/train/1.jpg
    annotations/val.json            images/val/2.jpg

A file has categories, in which labels are named, and items, each with an image and its annotations.
An annotation has the number of its label; of type `label`, it is one of the whole image. Outlines
of the same group and label are parts of one object, as for Datumaro itself, and a box in the group
is the box of that object. A subset that is named for a split is one.

Format: https://openvinotoolkit.github.io/datumaro/latest/docs/data-formats/datumaro_format.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from common.data.formats import coco_outlines
from common.data.formats.finding_files import Finder, split_in
from common.data.formats.json_parts import JsonError, check_size, parts
from common.data.formats.pairing import join, stem
from common.data.formats.pictures import Picture, Pictures, Read, Shape
from common.data.formats.pictures_shapes import (
    ShapeError,
    around_turned,
    ellipse,
    joined,
)
from common.data.tree import suffix
from common.names import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree
    from common.masks.outlines import Outline
    from common.objects.annotation import Box

_START_BYTES = 1 << 16
_START = re.compile(rb'\s*(?:\xef\xbb\xbf)?\{.*"categories"\s*:\s*\{', re.DOTALL)
# So many parts of a file are looked at to tell what it is: items come behind the categories.
_SAMPLE = 20
_LARGEST_SIDE = 1 << 20
_BOXES, _POLYGONS, _MASKS, _ELLIPSES = "bbox", "polygon", "mask", "ellipse"


class Datumaro(Pictures):
    """The layout above."""

    name = "datumaro"
    description = (
        "a folder annotations with a Datumaro .json file for each subset, with categories and a "
        "list of items, and the images in folders such as images/train"
    )
    layout = "annotations/train.json\nimages/train/1.jpg"
    detected = "A .json file is an object with the object categories and the list items."
    kept = (
        "Labels of images; boxes, polygons, masks and ellipses with their labels, groups and marks "
        "(is_crowd, difficult, truncated); attributes of images as columns; subsets as splits."
    )
    dropped = (
        "Points, lines, captions, cuboids, the order in which shapes lie on top of each other, and "
        "other attributes of shapes. Turned boxes are replaced by upright ones around them."
    )

    def detect(self, tree: Tree) -> str | None:
        """Say so if a file has categories and items."""
        path = next(_paths(tree), None)
        return path and f"{path} lists items and the categories of their labels"

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Read:
        """Look through the files for their labels, then read them item by item."""
        del max_records  # counted where pictures are taken
        labels: dict[str, list[str]] = {}
        broken = []
        for path in _paths(tree):
            check_size(tree, path)
            try:
                labels[path] = _labels(tree, path)
            except JsonError as error:
                broken.append(f"{path}: {error}")
        if not labels:
            raise self.nothing(tree, broken[0] if broken else "")
        report.add("ANNOTATION_FILES_UNREADABLE", broken)
        names = [name for names in labels.values() for name in names]
        return Read(_pictures(tree, labels, report), names)


def _paths(tree: Tree) -> Iterator[str]:
    return (path for path in tree.files if suffix(path) == ".json" and _is_datumaro(tree, path))


def _is_datumaro(tree: Tree, path: str) -> bool:
    with tree.open(path) as file:
        # Most files are told from these few bytes; there may be one for each of a million images.
        if not _START.match(file.read(_START_BYTES)):
            return False
    found = set()
    try:
        for number, part in enumerate(parts(tree, path)):
            named = part.key == "categories" and isinstance(part.value, dict)
            if named or (part.key == "items" and part.place is not None):
                found.add(part.key)
            if len(found) == 2 or number == _SAMPLE:
                break
    except JsonError:
        return False
    return len(found) == 2


def _labels(tree: Tree, path: str) -> list[str]:
    """Return the names of labels by their numbers; look through the whole file for errors."""
    names: list[str] = []
    for part in parts(tree, path):
        if part.key != "categories" or not isinstance(part.value, dict):
            continue
        of_labels = part.value.get("label")
        listed = of_labels.get("labels") if isinstance(of_labels, dict) else None
        for one in listed if isinstance(listed, list) else []:
            name = one.get("name") if isinstance(one, dict) else one
            names.append(name if isinstance(name, str) else "")
    return names


def _pictures(tree: Tree, labels: dict[str, list[str]], report: Report) -> Iterator[Picture]:
    finder = Finder(tree)
    for path, names in labels.items():
        reader = _File(path, names, report)
        for part in parts(tree, path):
            if part.key != "items" or part.place is None or part.place < 0:
                continue
            item = part.value if isinstance(part.value, dict) else {}
            written = _written(item)
            found = _find(tree, finder, path, written, reader.split)
            if found is None:
                where = written[0] if written else f"item at place {part.place + 1}, without id"
                report.add("LISTED_FILES_MISSING", f"{path}: {shorten(where)}")
            else:
                yield reader.picture(found, item)


def _written(item: dict[str, Any]) -> list[str]:
    """Return what an item calls its image, the likeliest first."""
    image = item.get("image")
    path = image.get("path") if isinstance(image, dict) else None
    known = [path] if isinstance(path, str) and path.strip() else []
    return known + ([name] if (name := _name(item)) else [])


def _name(item: dict[str, Any]) -> str:
    name = item.get("id")
    return str(name).strip() if isinstance(name, str | int) else ""


def _find(
    tree: Tree, finder: Finder, path: str, written: list[str], split: Subset | None
) -> str | None:
    """Return the image of an item: in the folder of its subset, or wherever it is the only one."""
    top = path.rpartition("/")[0].rpartition("/")[0]
    folder = join(top, f"images/{stem(path)}")
    for name in written:
        for end in ("", ".jpg"):
            if f"{folder}/{name}{end}" in tree:
                return f"{folder}/{name}{end}"
    found = (finder.nearest(path, name, split) for name in written)
    return next((one for one in found if one is not None), None)


class _File:
    """Makes pictures of the items of one file."""

    def __init__(self, path: str, names: list[str], report: Report) -> None:
        self._path = path
        self._names = names
        self._report = report
        self.split = split_in(stem(path))

    def picture(self, file: str, item: dict[str, Any]) -> Picture:
        """Return what an item says of its image."""
        width, height = _size(item)
        picture = Picture(
            file, self._path, split=self.split, width=width, height=height, columns=_columns(item)
        )
        listed = item.get("annotations")
        grouped: list[tuple[int | None, Shape]] = []
        of_item = shorten(_name(item) or file)
        for place, value in enumerate(listed if isinstance(listed, list) else [], start=1):
            where = f"item {of_item}, annotation {place}"
            one = value if isinstance(value, dict) else {}
            label = self._label(one, where)
            if label is None:
                picture.dropped += 1
            elif one.get("type") == "label":
                picture.tags.append(label)
            elif shape := self._shape(one, label, where):
                group = one.get("group")
                grouped.append((group if isinstance(group, int) and group > 0 else None, shape))
            else:
                picture.dropped += 1
        picture.shapes = self._objects(grouped)
        return picture

    def _label(self, one: dict[str, Any], where: str) -> str | None:
        """Return the class of an annotation, empty if it has none; None if there is no such."""
        number = one.get("label_id")
        if not isinstance(number, int) or isinstance(number, bool):
            return ""
        if 0 <= number < len(self._names):
            return self._names[number]
        self._report.add("BOXES_OF_UNKNOWN_CLASS", f"{self._path}, {where}: label {number}")
        return None

    def _shape(self, one: dict[str, Any], label: str, where: str) -> Shape | None:
        """Return a shape; None if it cannot be used, which is reported."""
        marks = one.get("attributes")
        marks = marks if isinstance(marks, dict) else {}
        try:
            box, outline = _drawn(one)
        except ShapeError as error:
            found = "BOXES_UNREADABLE" if one.get("type") == _BOXES else "OUTLINES_UNREADABLE"
            self._report.add(found, f"{self._path}, {where}: {error}")
            return None
        if box is None and outline is None:
            kind = one.get("type")
            shown = shorten(kind) if isinstance(kind, str) else "without type"
            self._report.add("SHAPES_UNUSABLE", f"{self._path}, {where}: {shown}")
            return None
        degrees = coco_outlines.number(marks.get("rotation"))
        if box is not None and degrees:
            box = around_turned(box, degrees % 360)
            self._report.add("BOXES_AROUND_TURNED", f"{self._path}, {where}")
        return Shape(
            label,
            where,
            box,
            outline,
            crowd=_is_set(marks.get("is_crowd")),
            difficult=_is_set(marks.get("difficult")),
            truncated=_is_set(marks.get("truncated")),
        )

    def _objects(self, grouped: list[tuple[int | None, Shape]]) -> list[Shape]:
        """Make one of the outlines of a group, and of the box that is drawn around them."""
        outlined: dict[tuple[int, str], Shape] = {}
        for group, shape in grouped:
            if group is not None and shape.outline is not None:
                outlined.setdefault((group, shape.label), shape)
        boxes: dict[tuple[int, str], Box] = {}
        kept: list[tuple[object, Shape]] = []
        for group, shape in grouped:
            key = (group or 0, shape.label)
            if shape.box is not None and key in outlined and key not in boxes:
                boxes[key] = shape.box
            else:
                kept.append((group, shape))
        shapes = joined(kept, self._report, self._path)
        for key, box in boxes.items():
            outlined[key].box = box
        return shapes


def _drawn(one: dict[str, Any]) -> tuple[Box | None, Outline | None]:
    """Return the box or the outline of an annotation; neither if it is of another type.

    Raises:
        ShapeError: It is of such a type, but cannot be read.
    """
    kind = one.get("type")
    if kind == _BOXES:
        x, y, width, height = _numbers(one.get("bbox"))
        return (x, y, x + width, y + height), None
    if kind == _ELLIPSES:
        xmin, ymin, xmax, ymax = _numbers(one.get("points"))
        center = (xmin + xmax) / 2, (ymin + ymax) / 2
        return None, ellipse(center, ((xmax - xmin) / 2, (ymax - ymin) / 2))
    if kind not in (_POLYGONS, _MASKS):
        return None, None
    try:
        if kind == _POLYGONS:
            points = one.get("points")
            outline = coco_outlines.read(points if isinstance(points, list) else None)
        else:
            runs = one.get("rle")
            outline = coco_outlines.read(runs if isinstance(runs, dict) else None)
    except coco_outlines.OutlineError as error:
        raise ShapeError(str(error)) from error
    if outline is None:
        raise ShapeError("it has no points" if kind == _POLYGONS else "it has no rle")
    return None, outline


def _numbers(written: Any) -> list[float]:
    """Return four numbers.

    Raises:
        ShapeError: There are others, or none.
    """
    numbers = [coco_outlines.number(one) for one in written] if isinstance(written, list) else []
    found = [one for one in numbers if one is not None]
    if len(numbers) != 4 or len(found) != 4:
        raise ShapeError("it has no four numbers")
    return found


def _size(item: dict[str, Any]) -> tuple[int, int]:
    """Return the width and height of an image; 0 and 0 if the file does not say them."""
    image = item.get("image")
    size = image.get("size") if isinstance(image, dict) else None
    sides = [coco_outlines.number(one) or 0 for one in size] if isinstance(size, list) else []
    if len(sides) < 2 or not all(0 < side < _LARGEST_SIDE for side in sides[:2]):
        return 0, 0
    return int(sides[1]), int(sides[0])


def _columns(item: dict[str, Any]) -> dict[str, str]:
    """Return the attributes of an image; its own number says nothing."""
    attributes = item.get("attr")
    return {
        str(name): str(value)
        for name, value in (attributes if isinstance(attributes, dict) else {}).items()
        if name != "id" and isinstance(value, str | int | float)
    }


def _is_set(mark: Any) -> bool:
    return mark is True or bool(coco_outlines.number(mark))
