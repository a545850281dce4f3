"""Where the shapes of Supervisely lie in an image."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.data.formats.pictures_shapes import ShapeError
from common.data.formats.supervisely_shapes import drawn
from common.masks import rle
from tests.common.data.formats import supervisely_files as made
from tests.common.data.pictures import encode, encode_image

SQUARE = [[2, 1], [7, 1], [7, 5], [2, 5]]
HOLE = [[4, 3], [5, 3], [5, 4], [4, 4]]


def pixels(outline, width=12, height=8):
    """Return a mask, drawn by the rule by which all masks are."""
    if outline.rle is not None:
        return rle.decode(outline.rle)
    return rle.decode(rle.from_polygons(outline.polygons, height, width))


def rectangle(xmin, ymin, xmax, ymax):
    return drawn("rectangle", made.rectangle(xmin, ymin, xmax, ymax), 0, 0)


def test_whole_numbers_of_a_rectangle_are_its_first_and_last_pixels():
    """The box goes around them; other numbers are places in the image."""
    assert rectangle(0, 0, 99, 79) == ((0, 0, 100, 80), None)
    assert rectangle(5, 5, 5, 5) == ((5, 5, 6, 6), None)
    assert rectangle(9, 7, 2, 1) == ((2, 1, 10, 8), None)
    assert rectangle(0.5, 0, 99.25, 79) == ((0.5, 0, 99.25, 79), None)


def test_points_of_a_polygon_are_centers_of_pixels():
    """Unless they lie between pixels."""
    _, outline = drawn("polygon", made.polygon(SQUARE), 0, 0)
    assert outline.bounds() == (2.5, 1.5, 7.5, 5.5)

    _, outline = drawn("polygon", made.polygon([[2.5, 1], [7, 1], [7, 5]]), 0, 0)
    assert outline.bounds() == (2.5, 1, 7, 5)


def test_holes_are_outside():
    """What is drawn is the polygon without what its holes would be."""
    whole, hole, both = (
        pixels(drawn("polygon", made.polygon(*rings), 0, 0)[1])
        for rings in ([SQUARE], [HOLE], [SQUARE, HOLE])
    )

    assert hole.sum() > 0
    assert np.array_equal(both, whole & ~hole & 1)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.3]),
)
def test_several_holes(sizes, shift):
    """Wherever they are, and whether they touch the border of the image or not."""
    exterior = [[-3 + shift, 0], [30, 0], [30, 20], [-3 + shift, 20]]
    holes = [
        [[6 * place + shift, 2], [6 * place + wide, 2], [6 * place + wide, 2 + high]]
        for place, (wide, high) in enumerate(sizes)
    ]

    outlines = [drawn("polygon", made.polygon(ring), 0, 0)[1] for ring in (exterior, *holes)]
    if not shift:
        assert outlines[0].bounds()[0] == -2.5
    whole, *others = (pixels(outline, 24, 16) for outline in outlines)
    both = pixels(drawn("polygon", made.polygon(exterior, *holes), 0, 0)[1], 24, 16)

    assert np.array_equal(both, whole & ~np.maximum.reduce(others) & 1)


def test_a_hole_of_fewer_than_three_points_is_none():
    """And a polygon without a point is one without an area, which is found later."""
    for hole in ([], [[1, 1]], [[1, 1], [2, 2]]):
        _, outline = drawn("polygon", made.polygon(SQUARE, hole), 0, 0)
        assert len(outline.polygons[0]) == 8
    assert len(drawn("polygon", made.polygon([], HOLE), 0, 0)[1].polygons[0]) == 0


def test_parts_of_an_object():
    """They are several polygons of one outline."""
    parts = [{"exterior": SQUARE, "interior": [HOLE]}, {"exterior": [[9, 1], [11, 1], [11, 3]]}]

    _, outline = drawn("multipolygon", made.thing("multipolygon", parts=parts), 0, 0)

    assert len(outline.polygons) == 2
    alone = pixels(drawn("polygon", made.polygon(SQUARE, HOLE), 0, 0)[1])
    assert (pixels(outline) >= alone).all()
    assert pixels(outline)[:, 8:].any()


INSIDE = np.array([[1, 1, 0], [0, 1, 1]], np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(made.palette(INSIDE), id="palette"),
        pytest.param(made.grey(*INSIDE.tolist()), id="grey"),
        pytest.param(made.grey(*(255 * INSIDE).tolist()), id="white"),
        pytest.param(encode_image(Image.fromarray(INSIDE > 0), "PNG"), id="1 bit"),
        pytest.param(
            encode(np.dstack([255 - 0 * INSIDE] * 3 + [255 * INSIDE]), "PNG"), id="transparent"
        ),
        pytest.param(
            base64.b64encode(made.grey(*INSIDE.tolist())).decode(), id="not compressed again"
        ),
    ],
)
def test_bitmaps(data):
    """They lie at their origin; what is transparent or black is outside."""
    box, outline = drawn("bitmap", made.bitmap(data, x=4, y=3), 12, 8)

    expected = np.zeros((8, 12), np.uint8)
    expected[3:5, 4:7] = INSIDE
    assert box is None
    assert np.array_equal(pixels(outline), expected)


def test_a_bitmap_is_cut_at_the_image():
    """What is outside is not seen; all of it may be."""
    data = made.palette(INSIDE)

    assert pixels(drawn("bitmap", made.bitmap(data, x=-1, y=7), 12, 8)[1]).sum() == 1
    assert pixels(drawn("bitmap", made.bitmap(data, x=12, y=0), 12, 8)[1]).sum() == 0


def test_bitmaps_that_would_fill_the_memory():
    """They are refused before they are decoded."""
    large = encode_image(Image.new("1", (8193, 8193)), "PNG")
    with pytest.raises(ShapeError, match="pixels"):
        drawn("bitmap", made.bitmap(large), 12, 8)
    with pytest.raises(ShapeError, match="bitmap"):
        drawn("bitmap", made.bitmap(bytes(20_000_000)), 12, 8)
    with pytest.raises(ShapeError, match="no size"):
        drawn("bitmap", made.bitmap(made.grey([1])), 0, 0)


def test_kinds_without_an_area():
    """Neither a box nor an outline."""
    assert drawn("line", made.thing("line"), 12, 8) == (None, None)
    assert drawn("", {}, 12, 8) == (None, None)
