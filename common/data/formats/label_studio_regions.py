"""Regions as Label Studio writes them: boxes, polygons, ellipses, and what is painted.

Measures are percent of the image's width and height; the size of the image is said beside them. In
pixels they are turned, clockwise: a box around its upper left corner, an ellipse around its center.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from common.data.formats import label_studio_brush
from common.data.formats.coco_outlines import number
from common.data.formats.pictures_shapes import around_turned, ellipse, polygons
from common.masks.outlines import Outline

if TYPE_CHECKING:
    from common.objects.annotation import Box

_PERCENT = 100
_LARGEST_SIDE = 1 << 20


class Size(NamedTuple):
    """Of the image that was labeled, in pixels; 0 if it is not said."""

    width: int
    height: int


class Drawn(NamedTuple):
    """A box, or an outline, in fractions of the image's sides. A mask has a size of its own."""

    box: Box | None
    outline: Outline | None
    turned: bool = False


class RegionError(ValueError):
    """A region that cannot be used; the message says why.

    Attributes:
        finding_id: Under which that is reported.
    """

    def __init__(self, finding_id: str, why: str) -> None:
        super().__init__(why)
        self.finding_id = finding_id


def is_region(value: dict[str, Any]) -> bool:
    """Whether a value says where something is, and not only what."""
    return any(key in value for key in ("x", "points", "rle", "vertices", "imageDataURL"))


def size_of(result: dict[str, Any]) -> Size:
    """Return the size that is said beside a region."""
    sides = [number(result.get(f"original_{side}")) for side in ("width", "height")]
    known = [int(side) for side in sides if side is not None and 0 < side < _LARGEST_SIDE]
    return Size(*known) if len(known) == 2 else Size(0, 0)


def drawn(value: dict[str, Any], size: Size) -> Drawn:
    """Return what a region is.

    Args:
        value: Its measures.
        size: Of the image.

    Raises:
        RegionError: It cannot be read, or has no area.
    """
    if "rle" in value:
        try:
            mask = label_studio_brush.decode(value["rle"], size.height, size.width)
        except label_studio_brush.BrushError as error:
            raise RegionError("OUTLINES_UNREADABLE", str(error)) from None
        return Drawn(None, Outline(rle=mask))
    if "points" in value:
        return Drawn(None, _polygon(value["points"]))
    if "radiusX" in value or "radiusY" in value:
        x, y, across, down, degrees = _numbers(value, "radiusX", "radiusY")
        if not all(map(math.isfinite, (x, y, across, down, degrees))):
            raise RegionError("POLYGONS_NOT_FINITE", "ellipse")
        width, height = _unit(size, degrees)
        oval = ellipse((x * width, y * height), (across * width, down * height), degrees)
        return Drawn(None, oval.scaled(1 / width, 1 / height))
    if "height" in value and "x" in value:
        x, y, across, down, degrees = _numbers(value, "width", "height")
        box = (x, y, x + across, y + down)
        if not degrees:
            return Drawn(box, None)
        if not math.isfinite(degrees):
            raise RegionError("BOXES_NOT_FINITE", "its rotation")
        width, height = _unit(size, degrees)
        pixels = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
        left, upper, right, lower = around_turned(pixels, degrees, pixels[:2])
        return Drawn((left / width, upper / height, right / width, lower / height), None, True)
    raise RegionError("SHAPES_UNUSABLE", "it has no area that can be read")


def _numbers(value: dict[str, Any], *sides: str) -> tuple[float, float, float, float, float]:
    """Return x, y, the two sides, and by what it is turned; all but that as fractions."""
    found = []
    for name in ("x", "y", *sides):
        one = number(value.get(name))
        if one is None:
            raise RegionError("BOXES_UNREADABLE", f"{name} is no number")
        found.append(one / _PERCENT)
    x, y, first, second = found
    return x, y, first, second, number(value.get("rotation")) or 0.0


def _unit(size: Size, degrees: float) -> tuple[float, float]:
    """Return the sides of an image, which have to be known if something is turned on it."""
    if size.width:
        return float(size.width), float(size.height)
    if degrees % 360:
        raise RegionError("BOXES_UNREADABLE", "it is turned, but the size of its image is not said")
    return 1000.0, 1000.0  # whatever it is, what is not turned ends up the same


def _polygon(points: Any) -> Outline:
    if not isinstance(points, list) or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise RegionError("OUTLINES_UNREADABLE", "its points are no pairs of numbers")
    ring = []
    for point in points:
        x, y = (number(side) for side in point)
        if x is None or y is None:
            raise RegionError("OUTLINES_UNREADABLE", "a point is no number")
        ring.append((x / _PERCENT, y / _PERCENT))
    return polygons(ring)
