"""Outlines of objects as COCO writes them: polygons, or runs of pixels.

Runs (RLE) count pixels down the columns of the image, first those that are not the object's, then
those that are, and so on by turns. They are a list, or a text of 6-bit letters.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.objects.annotation import Box


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


def bounds(segmentation: Any) -> Box | None:
    """Return the box around an outline of either kind; None if it cannot be read."""
    if isinstance(segmentation, dict):
        return _bounds_of_runs(segmentation)
    polygons = _polygons(segmentation)
    if not polygons:
        return None
    across = [x for polygon in polygons for x in polygon[0::2]]
    down = [y for polygon in polygons for y in polygon[1::2]]
    return min(across), min(down), max(across), max(down)


def polygon_area(segmentation: Any) -> float | None:
    """Return the area of polygons, counted twice where they overlap; None if there are none."""
    polygons = _polygons(segmentation)
    if not polygons:
        return None
    return sum(map(_area, polygons))


def _polygons(segmentation: Any) -> list[list[float]]:
    """Return the coordinates x, y, x, y, … of each polygon; none if one cannot be read."""
    if not isinstance(segmentation, list) or not segmentation:
        return []
    nested = segmentation if isinstance(segmentation[0], list) else [segmentation]
    polygons = []
    for polygon in nested:
        if not isinstance(polygon, list):
            return []
        sides = [side for value in polygon if (side := number(value)) is not None]
        if len(sides) != len(polygon) or len(sides) < 6 or len(sides) % 2:
            return []
        polygons.append(sides)
    return polygons


def _area(polygon: list[float]) -> float:
    across, down = polygon[0::2], polygon[1::2]
    return (
        abs(
            sum(
                across[place - 1] * down[place] - across[place] * down[place - 1]
                for place in range(len(across))
            )
        )
        / 2
    )


def _bounds_of_runs(segmentation: dict[str, Any]) -> Box | None:
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if not isinstance(size, list) or len(size) != 2:
        return None
    height, width = size
    if not all(type(side) is int and 0 < side < 1 << 20 for side in size):
        return None
    if isinstance(counts, str):
        counts = list(_decoded(counts))
    if not isinstance(counts, list) or not all(type(run) is int and run >= 0 for run in counts):
        return None
    left, upper, right, lower = width, height, 0, 0
    end = 0
    for place, run in enumerate(counts):
        start, end = end, end + run
        if place % 2 == 0 or run == 0:
            continue
        first, last = start // height, (end - 1) // height
        left, right = min(left, first), max(right, last + 1)
        if first == last:
            upper, lower = min(upper, start % height), max(lower, (end - 1) % height + 1)
        else:  # from the bottom of one column on to the top of the next
            upper, lower = 0, height
    if right == 0 or end > width * height:
        return None
    return float(left), float(upper), float(right), float(lower)


def _decoded(text: str) -> Iterator[int]:
    """Yield the runs of a text: 5 bits a letter, low ones first, the sixth says that more follow.

    From the fourth on, it is the difference to the run two before that is written.
    """
    before = [0, 0, 0]
    letters = iter(text)
    for place in itertools.count():
        run = shift = 0
        for letter in letters:
            bits = ord(letter) - 48
            run |= (bits & 31) << shift
            shift += 5
            if not bits & 32 or shift > 60:
                if bits & 16:
                    run -= 1 << shift
                break
        else:
            return
        if place > 2:
            run += before[-2]
        before = [*before[1:], run]
        yield run
