"""Outlines of objects as COCO writes them: polygons, or runs of pixels.

A polygon is a list of x and y, by turns; an object has one or several. Runs (RLE) count pixels down
the columns of the image, and are a list, or a text of 6-bit letters.

Shape letters: N numbers of a polygon.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from common.masks import rle
from common.masks.outlines import Outline, polygon

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.objects.annotation import Box

    Numbers = NDArray[np.float64]

# Of runs; larger images are refused anyway, unless the operator allows them.
_MOST_PIXELS = 1 << 26
_PLAIN = frozenset({int, float})


class OutlineError(ValueError):
    """An outline that cannot be read; the message says why."""


def number(value: Any) -> float | None:
    """Return what was meant as a number, also if it is written as a text; None if it was not."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return None


def read(segmentation: Any) -> Outline | None:
    """Return an outline of either kind, mistakes included; None if there is none.

    Raises:
        OutlineError: It is none of either kind.
    """
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return Outline(rle=_mask(segmentation))
    found = tuple(polygon(numbers_N) for numbers_N in _polygons(segmentation))
    return Outline(found) if any(map(len, found)) else None


def bounds(segmentation: Any) -> Box | None:
    """Return the box around an outline of either kind; None if it cannot be read."""
    try:
        if isinstance(segmentation, dict):
            return rle.bounds(_mask(segmentation))
        polygons = _polygons(segmentation)
    except OutlineError:
        return None
    if not polygons or any(len(numbers_N) < 6 for numbers_N in polygons):
        return None
    numbers_N = np.concatenate(polygons)
    across, down = numbers_N[0::2], numbers_N[1::2]
    return float(across.min()), float(down.min()), float(across.max()), float(down.max())


def polygon_area(segmentation: Any) -> float | None:
    """Return the area of polygons, counted twice where they overlap; None if there are none."""
    try:
        polygons = [] if isinstance(segmentation, dict) else _polygons(segmentation)
    except OutlineError:
        return None
    if not polygons or any(len(numbers_N) < 6 for numbers_N in polygons):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        return sum(map(_area, polygons))


def _polygons(segmentation: Any) -> list[Numbers]:
    """Return the coordinates x, y, x, y, … of each polygon."""
    if not isinstance(segmentation, list):
        raise OutlineError("it is neither a list of polygons nor runs of pixels")
    if not segmentation:
        return []
    nested = segmentation if isinstance(segmentation[0], list) else [segmentation]
    return [_numbers(one) for one in nested]


def _numbers(one: Any) -> Numbers:
    if not isinstance(one, list):
        raise OutlineError("a polygon is no list of numbers")
    if len(one) % 2:
        raise OutlineError(f"a polygon has {len(one)} numbers, so that a point lacks its y")
    if not _PLAIN.issuperset(map(type, one)):
        meant = [side for value in one if (side := number(value)) is not None]
        if len(meant) != len(one):
            raise OutlineError("a polygon has something in it that is no number")
        one = meant
    try:
        return np.array(one, np.float64)
    except OverflowError:
        return np.array([number(value) for value in one], np.float64)


def _area(numbers_N: Numbers) -> float:
    across, down = numbers_N[0::2], numbers_N[1::2]
    return float(abs(np.sum(np.roll(across, 1) * down - across * np.roll(down, 1)))) / 2


def _mask(segmentation: dict[str, Any]) -> rle.Rle:
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if (
        not isinstance(size, list)
        or len(size) != 2
        or not all(type(side) is int and side > 0 for side in size)
    ):
        raise OutlineError("runs of pixels without the height and width of their image")
    height, width = size
    if height * width > _MOST_PIXELS:
        raise OutlineError(f"runs of pixels of an image of more than {_MOST_PIXELS} pixels")
    try:
        if isinstance(counts, str) and counts.isascii():
            return rle.from_text(counts, height, width)
        if isinstance(counts, list) and all(
            type(run) is int and run <= _MOST_PIXELS for run in counts
        ):
            return rle.from_runs(counts, height, width)
    except rle.RleError as error:
        raise OutlineError(str(error)) from error
    raise OutlineError("its counts are neither a text of ASCII nor a list of whole numbers")
