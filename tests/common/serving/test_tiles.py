"""Where images are cut."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from common.serving.tiles import MAX_TILES, OVERLAP, Tile, cut


def test_an_image_that_fits_is_not_cut():
    assert cut(64, 64, 64) == [Tile(0, 0, 64, 64)]
    assert cut(10, 3, 64) == [Tile(0, 0, 10, 3)]


def test_tiles_by_hand():
    """At 100 px and a fifth of overlap, 180 px take two tiles and 181 take three."""
    assert cut(180, 90, 100) == [
        Tile(0, 0, 180, 90),
        Tile(0, 0, 100, 90),
        Tile(80, 0, 100, 90),
    ]
    assert [tile.xmin for tile in cut(181, 90, 100)[1:]] == [0, 40, 81]


def test_rows_come_one_after_the_other():
    assert [(tile.xmin, tile.ymin) for tile in cut(150, 150, 100)[1:]] == [
        (0, 0),
        (50, 0),
        (0, 50),
        (50, 50),
    ]


def test_columns_come_one_after_the_other_if_they_are_shorter():
    assert [(tile.xmin, tile.ymin) for tile in cut(260, 150, 100)[1:]] == [
        (0, 0),
        (0, 50),
        (80, 0),
        (80, 50),
        (160, 0),
        (160, 50),
    ]


@pytest.mark.parametrize(
    "size", [(20_000, 20_000), (1_000_000, 64), (1, 64_000_000), (8000, 8000), (641, 3)]
)
def test_there_are_never_too_many(size):
    tiles = cut(*size, 320)

    assert 2 < len(tiles) <= 1 + MAX_TILES
    assert len(tiles) > MAX_TILES // 2 or size == (641, 3)  # nor fewer than need be


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([32, 64, 416]))
def test_tiles_cover_the_image_and_overlap(width, height, size_px):
    whole, *tiles = cut(width, height, size_px)

    assert whole == Tile(0, 0, width, height)
    assert bool(tiles) == (max(width, height) > size_px)
    if not tiles:
        return
    for start, extent, length in (
        ("xmin", "width", width),
        ("ymin", "height", height),
    ):
        starts = sorted({getattr(tile, start) for tile in tiles})
        (side,) = {getattr(tile, extent) for tile in tiles}
        assert starts[0] == 0
        assert starts[-1] + side == length
        assert side >= min(size_px, length)
        assert all(np.diff(starts) <= side * (1 - OVERLAP) + 1)
    assert len(tiles) == len(set(tiles)) <= MAX_TILES
