"""Shapes as tools draw them, as boxes and outlines."""

import math

import numpy as np
import pytest

from common.data.formats.pictures_shapes import (
    MAX_MASK_PIXELS,
    ShapeError,
    around_turned,
    ellipse,
    from_row_runs,
    placed,
)
from common.masks import rle


@pytest.mark.parametrize(
    ("degrees", "pivot", "expected"),
    [
        pytest.param(0, None, (10, 20, 30, 60), id="as it is"),
        pytest.param(180, None, (10, 20, 30, 60), id="half a turn"),
        pytest.param(90, None, (0, 30, 40, 50), id="a quarter around the center"),
        pytest.param(90, (10, 20), (-30, 20, 10, 40), id="a quarter around the upper left corner"),
        pytest.param(-90, (10, 20), (10, 0, 50, 20), id="and back"),
    ],
)
def test_the_box_around_a_turned_one(degrees, pivot, expected):
    """Clockwise, with y downwards."""
    assert around_turned((10, 20, 30, 60), degrees, pivot) == pytest.approx(expected)


def test_a_square_on_its_corner_is_larger_by_the_root_of_two():
    """A diagonal instead of a side."""
    xmin, ymin, xmax, ymax = around_turned((0, 0, 10, 10), 45)

    assert xmax - xmin == pytest.approx(10 * math.sqrt(2))
    assert (xmin + xmax, ymin + ymax) == pytest.approx((10, 10))


@pytest.mark.parametrize(
    ("degrees", "pivot", "bounds"),
    [
        pytest.param(0, None, (30, 35, 70, 45), id="as it is"),
        pytest.param(90, None, (45, 20, 55, 60), id="a quarter"),
        pytest.param(90, (30, 35), (20, 35, 30, 75), id="around a corner of its box"),
    ],
)
def test_an_ellipse_is_turned(degrees, pivot, bounds):
    """Around its center, or another point."""
    found = ellipse((50, 40), (20, 5), degrees, pivot).bounds()

    assert found == pytest.approx(bounds, abs=0.01)


def test_an_ellipse_has_its_area():
    """As far as its points allow, and pixels."""
    (points,) = ellipse((500, 400), (300, 200)).polygons

    mask = rle.from_polygons([points], 800, 1000)

    assert rle.area(mask) == pytest.approx(math.pi * 300 * 200, rel=3e-3)


def test_an_infinite_ellipse_is_found_later():
    """As a polygon that is not finite, without a warning."""
    assert not np.isfinite(ellipse((1, math.inf), (1, math.nan)).polygons[0]).all()


@pytest.mark.parametrize(
    ("left", "upper"), [(0, 0), (3, 2), (-2, -1), (5, 4), (7, 0), (0, 9), (-9, 0), (100, 100)]
)
@pytest.mark.parametrize("shape", [(6, 8), (1, 1), (12, 3), (2, 20)])
def test_a_part_is_put_in_its_place(left, upper, shape):
    """As if it were drawn pixel by pixel; what is outside is cut."""
    part = np.random.default_rng(0).integers(0, 3, shape)
    whole = np.zeros((6, 8), np.uint8)
    for row, column in np.argwhere(part):
        if 0 <= row + upper < 6 and 0 <= column + left < 8:
            whole[row + upper, column + left] = 1

    assert placed(part, left, upper, 8, 6).rle == rle.encode(whole)


def test_a_part_that_is_full_has_one_run():
    """Columns that follow each other are not told apart."""
    assert placed(np.ones((6, 8)), 0, 0, 8, 6).rle == rle.encode(np.ones((6, 8)))


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (MAX_MASK_PIXELS, 2)])
def test_images_without_a_size_or_too_large_have_no_mask(size):
    """Nothing is drawn that would not fit in memory."""
    with pytest.raises(ShapeError, match="its image has"):
        placed(np.ones((1, 1)), 0, 0, *size)
    with pytest.raises(ShapeError, match="its image has"):
        from_row_runs([1], *size)


def test_runs_go_along_the_rows():
    """First those outside; empty ones are allowed."""
    assert from_row_runs([1, 2, 0, 1, 2], 3, 2).tolist() == [[0, 1, 1], [1, 0, 0]]
    assert from_row_runs([0, 6], 3, 2).all()
