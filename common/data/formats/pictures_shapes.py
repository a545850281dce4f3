"""Shapes as labelling tools draw them, as boxes and outlines.

Shape letters: H height, W width, P points.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from common.masks import rle
from common.masks.outlines import Outline, polygon

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from common.data.findings import Report
    from common.data.formats.pictures import Shape
    from common.objects.annotation import Box

MAX_MASK_PIXELS = 1 << 26
"""Of the image that a mask is drawn on; larger ones are refused anyway, unless the operator allows
them."""

# Between this many points on a circle of a thousand pixels, the arc leaves the line by one.
_POINTS = 72


class ShapeError(ValueError):
    """A shape that cannot be read; the message says why."""


def around_turned(box: Box, degrees: float, pivot: tuple[float, float] | None = None) -> Box:
    """Return the upright box around a turned one.

    Args:
        box: Before it is turned.
        degrees: Clockwise, as images have y downwards.
        pivot: The point that stays; None for the center of the box.
    """
    xmin, ymin, xmax, ymax = box
    x0, y0 = pivot or ((xmin + xmax) / 2, (ymin + ymax) / 2)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [
        ((x - x0) * cosine - (y - y0) * sine, (x - x0) * sine + (y - y0) * cosine)
        for x in (xmin, xmax)
        for y in (ymin, ymax)
    ]
    across, down = [x for x, _ in corners], [y for _, y in corners]
    return x0 + min(across), y0 + min(down), x0 + max(across), y0 + max(down)


def polygons(*rings: Iterable[Sequence[float]]) -> Outline:
    """Return the outline of polygons, each of points (x, y)."""
    return Outline(tuple(polygon([side for point in ring for side in point]) for ring in rings))


def ellipse(
    center: tuple[float, float],
    radii: tuple[float, float],
    degrees: float = 0,
    pivot: tuple[float, float] | None = None,
) -> Outline:
    """Return an ellipse as a polygon of many points.

    Args:
        center: x and y, before it is turned.
        radii: Across and down, before it is turned.
        degrees: It is turned by, clockwise.
        pivot: The point that stays; None for the center.
    """
    angles_P = np.arange(_POINTS) * (2 * math.pi / _POINTS)
    x0, y0 = pivot or center
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    with np.errstate(invalid="ignore", over="ignore"):  # what is infinite is found later
        across_P = center[0] + radii[0] * np.cos(angles_P) - x0
        down_P = center[1] + radii[1] * np.sin(angles_P) - y0
        points_P2 = np.stack(
            [x0 + across_P * cosine - down_P * sine, y0 + across_P * sine + down_P * cosine],
            axis=1,
        )
    return Outline((polygon(points_P2.ravel()),))


def check_mask_size(width: int, height: int) -> None:
    """Return if a mask may be drawn on an image of this size.

    Raises:
        ShapeError: It has no pixel, or more than `MAX_MASK_PIXELS`.
    """
    if width <= 0 or height <= 0:
        raise ShapeError("its image has no size")
    if width * height > MAX_MASK_PIXELS:
        raise ShapeError(f"its image has more than {MAX_MASK_PIXELS} pixels")


def placed(part_HW: NDArray[np.generic], left: int, upper: int, width: int, height: int) -> Outline:
    """Return the mask of an image from the part of it that has something inside.

    Args:
        part_HW: What is not 0 is inside.
        left: Where the part begins in the image; what is outside of it is cut.
        upper: The same.
        width: Of the image.
        height: The same.

    Raises:
        ShapeError: The image has no pixel, or too many.
    """
    check_mask_size(width, height)
    inside_HW = part_HW[
        max(0, -upper) : max(0, height - upper), max(0, -left) : max(0, width - left)
    ]
    # By the columns of the part alone: the image may be large, and have thousands of masks.
    padded_WH = np.pad(inside_HW.T != 0, ((0, 0), (1, 1))).astype(np.int8)
    column_N, row_N = np.nonzero(np.diff(padded_WH, axis=1))
    edges_N = (column_N + max(0, left)) * height + row_N + max(0, upper)
    # A run that goes on in the next column does not end.
    same_N = np.flatnonzero(edges_N[1:] == edges_N[:-1])
    edges_N = np.delete(edges_N, np.concatenate([same_N, same_N + 1]))
    return Outline(rle=rle.from_edges(edges_N, height, width))


def from_row_runs(runs: Sequence[int], width: int, height: int) -> NDArray[np.uint8]:
    """Return a mask, uint8 (H, W), from runs along the rows: first outside, then inside, by turns.

    Raises:
        ShapeError: They are not as many as the mask has pixels, or these are too many.
    """
    check_mask_size(width, height)
    if any(run < 0 for run in runs) or sum(runs) != width * height:
        raise ShapeError(f"its runs have {sum(runs)} pixels, its part {width} × {height}")
    inside = (np.arange(len(runs)) % 2).astype(np.uint8)
    return np.repeat(inside, np.array(runs, np.int64)).reshape(height, width)


def joined(grouped: Iterable[tuple[object, Shape]], report: Report, source: str) -> list[Shape]:
    """Return shapes of which those that are parts of one object are one.

    Args:
        grouped: Shapes of a picture, each with its group, None if it is in none. Outlines of the
            same group and class are of one object; boxes never are.
        report: Told of those that were joined.
        source: The annotation file, for a person.
    """
    shapes: list[Shape] = []
    first_of: dict[tuple[object, str, bool], Shape] = {}
    for group, shape in grouped:
        if group is None or shape.outline is None or shape.box is not None:
            shapes.append(shape)
            continue
        first = first_of.setdefault((group, shape.label, shape.outline.rle is None), shape)
        if first is shape:
            shapes.append(shape)
            continue
        report.add("SHAPES_JOINED", f"{source}, {first.where} and {shape.where}")
        first.outline = _union(first.outline, shape.outline)
    return shapes


def _union(one: Outline | None, other: Outline) -> Outline:
    if one is None:
        return other
    if one.rle is not None and other.rle is not None:
        return Outline(rle=rle.union([one.rle, other.rle]))
    return Outline(one.polygons + other.polygons)
