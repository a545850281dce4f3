"""What a row says of the objects in its image.

A column has a list of objects, each with its parts, or parts, each with a list of all objects; or
each part is a column of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.data.formats import coco_outlines, mask_pixels
from common.data.formats.coco_outlines import OutlineError, number
from common.data.formats.drawn_objects import ONLY_CLASS
from common.data.formats.pictures import Shape
from common.data.images import ImageError
from common.masks import rle
from common.masks.outlines import Outline
from common.names import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.data.findings import Report
    from common.data.hugging_face.archive import Source
    from common.data.hugging_face.boxes import BoxFormat
    from common.data.hugging_face.features import Path
    from common.data.hugging_face.roles import Objects
    from common.data.tree import Tree
    from common.objects.annotation import Box


class ObjectReader:
    """Makes shapes of rows.

    Args:
        tree: The files.
        report: Told of what cannot be read.
        box_format: How boxes are written.

    Attributes:
        guessed: Classes that nothing names, as far as they were met.
    """

    def __init__(self, tree: Tree, report: Report, box_format: BoxFormat) -> None:
        self._tree = tree
        self._report = report
        self._box_format = box_format
        self.guessed: dict[str, None] = {}

    def shapes(
        self, source: Source, row_number: int, row: dict[str, Any]
    ) -> tuple[list[Shape], int] | None:
        """Return the objects of a row, and how many more cannot be read.

        Returns:
            None if nobody has said anything of objects.
        """
        objects = source.roles.objects
        table = source.table
        if objects is None:
            return None
        lists = lists_of(row, objects)
        masks = row.get(objects.masks) if objects.masks else None
        if isinstance(masks, list):
            lists["masks"] = masks
        lengths = {len(values) for values in lists.values()}
        if not lengths:
            return None
        where = f"row {row_number}"
        if len(lengths) > 1:
            shown = ", ".join(f"{len(values)} {name}" for name, values in lists.items())
            self._report.add("OBJECT_LISTS_DIFFER", f"{table.path}, {where}: {shown}")
            return [], max(lengths)
        shapes: list[Shape] = []
        count = lengths.pop()
        for place in range(count):
            one = {name: values[place] for name, values in lists.items()}
            if "masks" in one:
                one["masks"] = table.file(row_number, objects.masks or "", masks, place)
            shape = self._shape(source, objects, one, f"{where}, object {place + 1}")
            if shape is not None:
                shapes.append(shape)
        return shapes, count - len(shapes)

    def _shape(
        self, source: Source, objects: Objects, one: dict[str, Any], where: str
    ) -> Shape | None:
        full = f"{source.table.path}, {where}"
        label = self._label(source, objects, one.get("label"), full)
        if label is None:
            return None
        box = outline = None
        if one.get("box") is not None:
            numbers = numbers_of(one["box"])
            if numbers is None:
                self._report.add("BOXES_UNREADABLE", f"{full}: {shorten(str(one['box']))}")
                return None
            box = self._box_format.corners(numbers)
        try:
            outline = outline_of(one.get("outline"))
            if "masks" in one:
                outline = self._drawn(one["masks"])
        except OutlineError as error:
            self._report.add("OUTLINES_UNREADABLE", f"{full}: {error}")
            return None
        except (ImageError, ValueError) as error:
            self._report.add("OBJECT_MASKS_UNREADABLE", f"{full}: {error}")
            return None
        if box is None and outline is None:
            self._report.add("BOXES_UNREADABLE", full)
            return None
        marks = {mark: _is_true(one.get(mark)) for mark, _ in objects.marks}
        return Shape(label, where, box, outline, **marks)

    def _label(self, source: Source, objects: Objects, value: Any, where: str) -> str | None:
        """Return a class as written; None if its number is none of the named."""
        if objects.label is None:
            self.guessed[f"{source.table.path}: {ONLY_CLASS}"] = None
            return ONLY_CLASS
        names = source.names.get(objects.label, [])
        label = label_of(value, names)
        if label is None:
            self._report.add("BOXES_OF_UNKNOWN_CLASS", f"{where}: {shorten(str(value))}")
        elif not names and not isinstance(value, str) and label:
            self.guessed[label] = None
        return label

    def _drawn(self, path: str | None) -> Outline:
        """Return what is not black in a picture."""
        if path is None:
            raise ValueError("there is no such file")
        pixels = mask_pixels.read(self._tree, path)
        inside = pixels.array.max(axis=2) if pixels.coloured else pixels.array
        # Stored with loss, black is not quite black.
        return Outline(rle=rle.encode(inside > inside.max() / 2 if pixels.lossy else inside))


def lists_of(row: dict[str, Any], objects: Objects) -> dict[str, list[Any]]:
    """Return what is said of all objects of a row, by what it is; nothing for what is not said."""
    paths = {"box": objects.box, "label": objects.label, "outline": objects.outline}
    found = {}
    for name, path in (paths | dict(objects.marks)).items():
        values = None if path is None else _at(row, path)
        if isinstance(values, list):
            single = name == "box" and len(values) == 4 and not isinstance(values[0], list | dict)
            found[name] = [values] if single else values
        elif values is not None:
            found[name] = [values]
    return found


def _at(row: dict[str, Any], path: Path) -> Any:
    value = row.get(path[0])
    for part in path[1:]:
        if isinstance(value, list):
            value = [one.get(part) if isinstance(one, dict) else None for one in value]
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def numbers_of(box: Any) -> Box | None:
    """Return the four numbers of a box as written; None if they are none."""
    if not isinstance(box, list) or len(box) != 4:
        return None
    first, second, third, fourth = (number(side) for side in box)
    if first is None or second is None or third is None or fourth is None:
        return None
    return first, second, third, fourth


def label_of(value: Any, names: Sequence[str]) -> str | None:
    """Return a class as written, or as it is named.

    Returns:
        Empty if there is none; None if it is a number that the names do not have.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and names and value not in names and value.strip().isdecimal():
        value = number(value)
        value = int(value) if value is not None and value < len(names) else len(names)
    if isinstance(value, int) and names:
        return names[value] if 0 <= value < len(names) else None
    return str(value) if isinstance(value, str | int | float) else ""


def outline_of(value: Any) -> Outline | None:
    """Return polygons or runs as COCO has them, or polygons as lists of points.

    Raises:
        OutlineError: They are none.
    """
    if isinstance(value, list) and value and all(map(_is_point, value)):
        value = [[side for point in value for side in point]]
    elif isinstance(value, list):
        value = [
            [side for point in one for side in point]
            if isinstance(one, list) and one and all(map(_is_point, one))
            else one
            for one in value
        ]
    elif isinstance(value, dict):
        value = {key: part for key, part in value.items() if part is not None}
    return coco_outlines.read(value)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and not isinstance(value[0], list)


def _is_true(value: Any) -> bool:
    return value in (True, 1, "1", "true", "True")
