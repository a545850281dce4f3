"""Shapes as LabelMe, and programs that write its files, have them in JSON."""

from __future__ import annotations

import base64
import binascii
import math
from typing import TYPE_CHECKING, Any

from common.data import images
from common.data.formats.coco_outlines import number
from common.data.formats.pictures import Shape
from common.data.formats.pictures_shapes import (
    MAX_MASK_PIXELS,
    ShapeError,
    ellipse,
    placed,
    polygons,
)

if TYPE_CHECKING:
    from common.data.findings import Report

_UNUSABLE = frozenset({"point", "points", "line", "linestrip", "line_strip", "cuboid", "ai_points"})
_CROWD = frozenset({"crowd", "iscrowd", "is_crowd"})
_MARKS = _CROWD | {"difficult", "truncated"}

Point = tuple[float, float]


def read(
    value: Any, size: tuple[int, int], source: str, where: str, report: Report
) -> Shape | None:
    """Return a shape; None if it cannot be used, which is reported.

    Args:
        value: An element of the list `shapes`.
        size: Width and height of the image in pixels, 0 if the file does not say.
        source: The file, for a person.
        where: Which shape of the file it is, for a person.
        report: Told.
    """
    value = value if isinstance(value, dict) else {}
    # Old files have polygons only, and do not say so.
    kind = str(value.get("shape_type") or "polygon")
    if kind in _UNUSABLE:
        report.add("SHAPES_UNUSABLE", f"{source}, {where}: {kind}")
        return None
    label = value.get("label")
    marks = {name.lower() for name in flags(value)} & _MARKS
    shape = Shape(
        label if isinstance(label, str) else "" if label is None else str(label),
        where,
        crowd=not _CROWD.isdisjoint(marks),
        difficult="difficult" in marks or value.get("difficult") is True,
        truncated="truncated" in marks,
    )
    try:
        _draw(shape, kind, value, size, f"{source}, {where}", report)
    except ShapeError as error:
        finding = "BOXES_UNREADABLE" if kind == "rectangle" else "OUTLINES_UNREADABLE"
        report.add(finding, f"{source}, {where}: {error}")
        return None
    return shape


def flags(value: dict[str, Any]) -> list[str]:
    """Return the flags that are set, of a shape or of an image."""
    found = value.get("flags")
    return (
        [str(name) for name, on in found.items() if on is True] if isinstance(found, dict) else []
    )


def unread(value: Any) -> list[str]:
    """Return the flags of a shape that have no place in a data set."""
    found = flags(value) if isinstance(value, dict) else []
    return [name for name in found if name.lower() not in _MARKS]


def _draw(
    shape: Shape,
    kind: str,
    value: dict[str, Any],
    size: tuple[int, int],
    where: str,
    report: Report,
) -> None:
    points = _points(value.get("points"))
    if kind == "polygon":
        shape.outline = polygons(points)
    elif kind == "rectangle":
        if len(points) not in {2, 4}:
            raise ShapeError(f"a rectangle has {len(points)} corners")
        shape.box = _around(points)
    elif kind == "rotation":
        shape.box = _around(points)
        report.add("BOXES_AROUND_TURNED", where)
    elif kind == "circle":
        if len(points) != 2:
            raise ShapeError(f"a circle has {len(points)} points")
        radius = math.dist(*points)
        shape.outline = ellipse(points[0], (radius, radius))
    elif kind == "mask":
        left, upper, _, _ = _around(points)
        if not (math.isfinite(left) and math.isfinite(upper)):
            raise ShapeError("its place is no number")
        mask = _mask(value.get("mask"))
        shape.outline = placed(mask, round(left), round(upper), *size)
    else:
        raise ShapeError(f"it is a {kind[:20]!r}, which is not known")


def _points(value: Any) -> list[Point]:
    if not isinstance(value, list) or not value:
        raise ShapeError("it has no points")
    found = []
    for point in value:
        sides = [number(side) for side in point] if isinstance(point, list) else []
        if len(sides) != 2 or sides[0] is None or sides[1] is None:
            raise ShapeError(f"{str(point)[:20]!r} is no point")
        found.append((sides[0], sides[1]))
    return found


def _around(points: list[Point]) -> tuple[float, float, float, float]:
    across, down = [x for x, _ in points], [y for _, y in points]
    # A side that is no number must not be lost, which it might be among others.
    if any(math.isnan(side) for side in across + down):
        return math.nan, math.nan, math.nan, math.nan
    return min(across), min(down), max(across), max(down)


def _mask(text: Any) -> Any:
    """Return the pixels of a picture in base64; uint8 (H, W), not 0 inside."""
    data = decoded(text)
    if data is None:
        raise ShapeError("it has no picture in base64")
    try:
        return images.decode(data, max_pixels=MAX_MASK_PIXELS)[:, :, 0]
    except images.ImageError as error:
        raise ShapeError(f"its picture cannot be read: {error.message}") from error


def decoded(text: Any) -> bytes | None:
    """Return bytes that are written in base64; None if they are not."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return base64.b64decode(text.partition(";base64,")[2] or text)
    except (binascii.Error, ValueError):
        return None
