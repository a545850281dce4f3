"""Outlines as files have them."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from common.masks import rle
from common.masks.outlines import Outline, polygon


def test_bounds_are_around_all_polygons():
    """An empty one is nowhere."""
    outline = Outline((polygon([1, 9, 4, 5, 2, 7]), polygon([]), polygon([0, 6, 3, 8, 1, 6])))

    assert outline.bounds() == (0, 5, 4, 9)


def test_bounds_of_a_mask_are_those_of_its_pixels():
    """Rows 1 and 2, column 3."""
    mask_HW = np.zeros((4, 5), np.uint8)
    mask_HW[1:3, 3] = 1

    assert Outline(rle=rle.encode(mask_HW)).bounds() == (3, 1, 4, 3)


@pytest.mark.parametrize(
    "outline",
    [Outline(), Outline((polygon([]),)), Outline(rle=rle.encode(np.zeros((4, 5), np.uint8)))],
    ids=["nothing", "no point", "no pixel"],
)
def test_what_has_nothing_inside_has_no_bounds(outline):
    assert outline.bounds() is None


def test_numbers_of_a_polygon_take_four_bytes():
    """One that is too large for that becomes infinite, without a warning."""
    made = polygon([0.1, 1e300, -1e300])

    assert made.dtype == np.float32
    assert made.tolist() == [pytest.approx(0.1), math.inf, -math.inf]


def test_an_outline_can_be_scaled():
    """X by 2, y by 3; a mask says its own size."""
    mask = rle.encode(np.ones((2, 2), np.uint8))

    scaled = Outline((polygon([1, 1, 2, 2, 3, 3]),), mask).scaled(2, 3)

    assert [one.tolist() for one in scaled.polygons] == [[2, 3, 4, 6, 6, 9]]
    assert scaled.rle == mask


@pytest.mark.parametrize("points", [3, 50, 5000])
@pytest.mark.parametrize("count", [1, 40])
def test_the_memory_of_an_outline_is_known(points, count):
    """As Python counts it, within a third."""
    outline = Outline(tuple(polygon(np.arange(2.0 * points)) for _ in range(count)))

    taken = sys.getsizeof(outline) + sys.getsizeof(outline.polygons)
    taken += sum(sys.getsizeof(one) for one in outline.polygons)

    assert taken * 0.67 < outline.byte_count < taken * 1.5
