"""Regions as the VGG Image Annotator (VIA) writes them.

Versions 1 and 2 name a shape and its measures: `{"name": "rect", "x": 1, "y": 2, "width": 3,
"height": 4}`. Version 3 writes numbers, of which the first is the kind of shape: `[2, 1, 2, 3, 4]`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from common.data.formats.coco_outlines import number
from common.data.formats.pictures_shapes import ellipse
from common.masks.outlines import Outline, polygon

if TYPE_CHECKING:
    from common.objects.annotation import Box

# Of version 3, by number.
_KINDS = {
    1: "point",
    2: "rect",
    3: "circle",
    4: "ellipse",
    5: "line",
    6: "polyline",
    7: "polygon",
    8: "extreme rectangle",
    9: "extreme circle",
}
# What their measures are called in version 2.
_MEASURES = {
    "rect": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
}
_WITHOUT_AREA = {"point", "line", "polyline"}


class Drawn(NamedTuple):
    """A box, or an outline."""

    box: Box | None
    outline: Outline | None


class RegionError(ValueError):
    """A region that cannot be used.

    Attributes:
        finding_id: Under which that is reported.
    """

    def __init__(self, finding_id: str, why: str) -> None:
        super().__init__(why)
        self.finding_id = finding_id


def drawn(shape: Any) -> Drawn:
    """Return what a region is.

    Args:
        shape: The `shape_attributes` of versions 1 and 2, or the numbers `xy` of version 3.

    Raises:
        RegionError: It cannot be read, or has no area.
    """
    if isinstance(shape, list):
        shape = _named(shape)
    if not isinstance(shape, dict):
        raise RegionError("BOXES_UNREADABLE", "it has no shape")
    name = str(shape.get("name"))
    if name == "polygon":
        return Drawn(None, Outline((_points(shape),)))
    if name in _WITHOUT_AREA:
        raise RegionError("SHAPES_UNUSABLE", name)
    measures = _MEASURES.get(name)
    if measures is None:
        raise RegionError("BOXES_UNREADABLE", f"its shape is {name[:50]!r}")
    numbers = [number(shape.get(measure)) for measure in measures]
    found = [value for value in numbers if value is not None]
    if len(found) < len(measures):
        lacking = [m for m, value in zip(measures, numbers, strict=True) if value is None]
        raise RegionError("BOXES_UNREADABLE", f"{', '.join(lacking)} is no number")
    if name == "rect":
        x, y, width, height = found
        return Drawn((x, y, x + width, y + height), None)
    # In radians; version 1 has none.
    theta = math.degrees(number(shape.get("theta")) or 0.0)
    if not all(map(math.isfinite, (*found, theta))):
        raise RegionError("POLYGONS_NOT_FINITE", name)
    x, y, across, *down = found
    return Drawn(None, ellipse((x, y), (across, down[0] if down else across), theta))


def _points(shape: dict[str, Any]) -> Any:
    across, down = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(across, list) or not isinstance(down, list) or len(across) != len(down):
        raise RegionError("OUTLINES_UNREADABLE", "its points are not as many x as y")
    written = [value for pair in zip(across, down, strict=True) for value in pair]
    numbers = [side for value in written if (side := number(value)) is not None]
    if len(numbers) < len(written):
        raise RegionError("OUTLINES_UNREADABLE", "a point is no number")
    # Version 1 repeats the first point at the end.
    if len(numbers) > 6 and numbers[:2] == numbers[-2:]:
        del numbers[-2:]
    return polygon(numbers)


def _named(numbers: list[Any]) -> dict[str, Any]:
    """Return the shape of version 3 as version 2 writes it."""
    kind, measures = number(numbers[0]) if numbers else None, numbers[1:]
    name = _KINDS.get(int(kind)) if kind is not None and kind in _KINDS else None
    if name == "polygon":
        return {"name": name, "all_points_x": measures[::2], "all_points_y": measures[1::2]}
    if name == "extreme rectangle":
        return _around(measures)
    named = zip(_MEASURES.get(name or "", ()), measures, strict=False)
    return {"name": name or f"of kind {str(numbers[:1])[:20]}", **dict(named)}


def _around(measures: list[Any]) -> dict[str, Any]:
    """Return the box whose sides are said by a point on each."""
    numbers = [side for value in measures if (side := number(value)) is not None]
    if len(numbers) < len(measures) or len(numbers) < 4 or len(numbers) % 2:
        raise RegionError("BOXES_UNREADABLE", "a point is no number")
    x, y = min(numbers[::2]), min(numbers[1::2])
    width, height = max(numbers[::2]) - x, max(numbers[1::2]) - y
    return {"name": "rect", "x": x, "y": y, "width": width, "height": height}
