"""Boxes on pictures."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import ImageColor

from common.objects.drawing import DrawnBox, draw_boxes
from common.palette import colour_of

GREY = 128
COLOUR = "#0072B2"
RGB = ImageColor.getrgb(COLOUR)


def blank(width=200, height=160):
    return np.full((height, width, 3), GREY, np.uint8)


def is_line(drawn):
    return (drawn == RGB).all(axis=2)


def test_the_line_is_the_outermost_of_the_box():
    """Pixels 20 to 99 across and 30 to 79 down, and nothing outside of them."""
    drawn = draw_boxes(blank(), [DrawnBox((20, 30, 100, 80), "", COLOUR)])

    line = is_line(drawn)
    assert np.flatnonzero(line.any(axis=0))[[0, -1]].tolist() == [20, 99]
    assert np.flatnonzero(line.any(axis=1))[[0, -1]].tolist() == [30, 79]
    assert line[30, 20:100].all()
    assert line[30:80, 99].all()
    assert (drawn[40:70, 30:90] == GREY).all()


def test_the_image_itself_stays_as_it_was():
    image = blank()

    drawn = draw_boxes(image, [DrawnBox((20, 30, 100, 80), "cell", COLOUR)])

    assert (image == GREY).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8


def test_nothing_to_draw_changes_nothing():
    assert np.array_equal(draw_boxes(blank(), []), blank())


@pytest.mark.parametrize("size", [1, 2, 5, 30, 101])
def test_a_broken_line_has_gaps_and_corners(size):
    solid = is_line(draw_boxes(blank(), [DrawnBox((40, 40, 40 + size, 40 + size), "", COLOUR)]))
    dashed = is_line(
        draw_boxes(blank(), [DrawnBox((40, 40, 40 + size, 40 + size), "", COLOUR, dashed=True)])
    )

    assert (solid | ~dashed).all()
    last = 39 + size
    assert dashed[40, 40]
    assert dashed[40, last]
    assert dashed[last, 40]
    assert dashed[last, last]
    if size > 20:
        assert 0.3 < dashed.sum() / solid.sum() < 0.8


def test_lines_and_type_grow_with_the_picture():
    small = draw_boxes(blank(320, 240), [DrawnBox((50, 60, 250, 200), "cell", COLOUR)])
    large = draw_boxes(blank(1600, 1200), [DrawnBox((250, 300, 1250, 1000), "cell", COLOUR)])

    assert is_line(small)[150, 50:150].sum() < is_line(large)[750, 250:750].sum()
    assert (large != GREY).any(axis=2).sum() > 4 * (small != GREY).any(axis=2).sum()


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((-5, -9, 60, 50), id="upper left"),
        pytest.param((150, 130, 230, 190), id="lower right"),
        pytest.param((0, 0, 200, 160), id="the whole picture"),
        pytest.param((198, 158, 199, 159), id="a pixel in a corner"),
    ],
)
def test_a_label_stays_inside_and_is_whole(box):
    """Its plate has the same number of pixels wherever it lies."""

    def count(box):
        without = draw_boxes(blank(), [DrawnBox(box, "", COLOUR)])
        with_label = draw_boxes(blank(), [DrawnBox(box, "cell 0.93", COLOUR)])
        return (without != with_label).any(axis=2).sum()

    assert count(box) == pytest.approx(count((40, 60, 120, 120)), rel=0.25)


@pytest.mark.parametrize("background", [0, 255])
def test_a_label_is_readable_on_any_background(background):
    """Its letters are black or white on the class's colour, whatever lies below."""
    image = np.full((160, 200, 3), background, np.uint8)
    for index in range(15):
        colour = colour_of(index)
        drawn = draw_boxes(image, [DrawnBox((60, 60, 120, 120), "cell", colour)])
        plate = drawn[46:58, 62:84].reshape(-1, 3).astype(int)
        luminance = plate @ [0.2126, 0.7152, 0.0722]
        assert np.ptp(luminance) > 90, colour


def test_labels_do_not_cover_each_other():
    """Of two at one place, the second finds another; of many, some find none."""
    one = DrawnBox((40, 60, 120, 120), "cell 0.93", COLOUR)
    plate = (
        draw_boxes(blank(), [one]) != draw_boxes(blank(), [DrawnBox(one.box, "", COLOUR)])
    ).any(axis=2)

    for count in (2, 30):
        boxes = [DrawnBox(one.box, "cell 0.93", colour_of(index)) for index in range(count)]
        drawn = draw_boxes(blank(), [one, *boxes[1:]])
        same = np.array_equal(drawn[plate], draw_boxes(blank(), [one])[plate])
        assert same or count == 30


def test_in_a_crowd_small_boxes_have_no_label():
    """400 boxes of 8 pixels each: only their lines are drawn."""
    boxes = [
        ((10 * column, 10 * row, 10 * column + 8, 10 * row + 8), column % 3)
        for column in range(20)
        for row in range(16)
    ]

    labelled = draw_boxes(blank(), [DrawnBox(box, "cell", colour_of(c)) for box, c in boxes])
    plain = draw_boxes(blank(), [DrawnBox(box, "", colour_of(c)) for box, c in boxes])

    assert np.array_equal(labelled, plain)
    assert (plain[3, 2:6] == GREY).all()  # the lines do not fill them


@settings(max_examples=60)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    boxes=st.lists(
        st.tuples(
            st.tuples(*[st.floats(-1e4, 1e4)] * 4),
            st.sampled_from(["", "a", "long name " * 9, "zwei\nZeilen", "細胞", "\t", "…"]),
            st.booleans(),
        ),
        max_size=40,
    ),
)
def test_whatever_the_boxes_are_the_picture_keeps_its_size(width, height, boxes):
    drawn = draw_boxes(
        blank(width, height),
        [DrawnBox(box, text, colour_of(i), dashed) for i, (box, text, dashed) in enumerate(boxes)],
    )

    assert drawn.shape == (height, width, 3)
