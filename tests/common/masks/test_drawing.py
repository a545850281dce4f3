"""Masks and classes of pixels on pictures."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from common.masks import drawing, rle
from common.masks.drafts import resized
from common.masks.drawing import draw_masks, outlines, overlay_classes, tint
from common.masks.label_maps import VOID
from common.palette import colour_of

GREY = 128
RED = (200, 0, 0)


def blank(height, width):
    return np.full((height, width, 3), GREY, np.uint8)


def square(height=20, width=30):
    """A mask of 8 × 8 pixels in the middle of nowhere."""
    mask = np.zeros((height, width), np.uint8)
    mask[5:13, 10:18] = 1
    return mask


def test_an_outline_is_on_both_sides_of_a_border():
    """Columns 0 to 2 are of one class, 3 to 5 of another."""
    labels = np.repeat([[4, 4, 4, 7, 7, 7]], 3, axis=0)

    assert outlines(labels).any(axis=0).tolist() == [False, False, True, True, False, False]
    assert outlines(labels, 2).all(axis=0).tolist() == [False, True, True, True, True, False]


@settings(max_examples=50)
@given(
    labels=hnp.arrays(np.int16, st.tuples(st.integers(1, 9), st.integers(1, 9)),
                      elements=st.integers(-1, 2)),
    width_px=st.integers(1, 4),
)  # fmt: skip
def test_an_outline_is_what_has_another_value_within_some_steps(labels, width_px):
    """Counted pair by pair."""
    rows, columns = np.indices(labels.shape).reshape(2, -1)
    steps = abs(rows[:, None] - rows) + abs(columns[:, None] - columns)
    differs = labels.ravel()[:, None] != labels.ravel()

    expected = ((steps <= width_px) & differs).any(axis=1).reshape(labels.shape)

    assert np.array_equal(outlines(labels, width_px), expected)


def test_a_mask_is_tinted_inside_and_outlined():
    """Half grey, half red; its outermost pixels are red, and nothing outside changes."""
    image = blank(20, 30)

    drawn = tint(image, square(), RED, 0.5)

    inside = square() != 0
    assert (drawn[~inside] == GREY).all()
    assert (drawn[6:12, 11:17] == (164, 64, 64)).all()
    edge = inside.copy()
    edge[6:12, 11:17] = False
    assert (drawn[edge] == RED).all()
    assert (image == GREY).all()


def test_a_mask_that_the_picture_cuts_has_no_outline_there():
    """Nobody knows where the object ends."""
    mask = np.zeros((20, 30), np.uint8)
    mask[:6, :8] = 1

    drawn = tint(blank(20, 30), mask, RED, 0.5)

    line = (drawn == RED).all(axis=2)
    assert np.argwhere(line).tolist() == sorted(
        [[row, 7] for row in range(6)] + [[5, column] for column in range(7)]
    )


@pytest.mark.parametrize("opacity", [0, 1])
def test_opacity_is_how_much_the_mask_covers(opacity):
    drawn = tint(blank(20, 30), square(), RED, opacity)

    assert drawn[8, 14].tolist() == ([GREY] * 3 if opacity == 0 else list(RED))


def test_a_mask_of_the_larger_original_lies_where_it_should():
    """Also one as COCO's runs, which is the same mask."""
    large = np.kron(square(), np.ones((5, 5), np.uint8))

    expected = tint(blank(20, 30), square(), RED)

    assert np.array_equal(tint(blank(20, 30), large, RED), expected)
    assert np.array_equal(draw_masks(blank(20, 30), [(rle.encode(large), "#C80000")]), expected)


def test_the_first_mask_is_on_top():
    drawn = draw_masks(blank(20, 30), [(square(), RED), (square(), (0, 0, 200))], opacity=1)

    assert (drawn[5:13, 10:18] == RED).all()


@pytest.mark.parametrize("encode", [np.asarray, rle.encode], ids=["array", "runs"])
def test_a_mask_without_a_pixel_changes_nothing(encode):
    """Empty as it is, or once the picture is made small."""
    empty = np.zeros((20, 30), np.uint8)
    dot = np.zeros((40, 60), np.uint8)
    dot[0, 0] = 1

    for mask in (empty, dot):
        assert (draw_masks(blank(20, 30), [(encode(mask), RED)]) == GREY).all()


@settings(max_examples=50)
@given(
    mask=hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)),
                    elements=st.integers(0, 1)),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)  # fmt: skip
def test_all_and_only_what_is_inside_is_drawn(mask, height, width):
    """Whatever the sizes are, of an array as of runs."""
    drawn = draw_masks(blank(height, width), [(mask, RED)])

    inside = resized(mask, width, height) != 0
    assert np.array_equal((drawn != GREY).any(axis=2), inside)
    assert np.array_equal(draw_masks(blank(height, width), [(rle.encode(mask), RED)]), drawn)


def halves(height=300, width=400):
    """Left a quarter of class 2, the rest of class 0, and a corner of which nobody knows."""
    labels = np.zeros((height, width), np.int16)
    labels[:, : width // 4] = 2
    labels[: height // 2, width // 2 :] = VOID
    return labels


NAMES = ("background", "roof", "wall")


def test_classes_are_tinted_over_grey():
    """The picture is green; where a class is, it is that grey, and the class's colour."""
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[..., 1] = 200
    luma = 117.4  # 0.587 × 200

    drawn = overlay_classes(picture, halves(), NAMES)

    expected = 0.45 * luma + 0.55 * np.array(colour_of(2))
    assert drawn[200, 50] == pytest.approx(expected, abs=1.5)
    lightly = 0.85 * luma + 0.15 * np.array(colour_of(0))
    assert drawn[200, 300] == pytest.approx(lightly, abs=1.5)


def test_what_is_void_stays_as_it_is_but_for_lines():
    """Black and white ones, which cover a fifth."""
    picture = np.full((300, 400, 3), (10, 200, 30), np.uint8)

    void = overlay_classes(picture, halves(), NAMES)[:150, 200:400].reshape(-1, 3)

    colours, counts = np.unique(void, axis=0, return_counts=True)
    assert colours.tolist() == [[0, 0, 0], [10, 200, 30], [255, 255, 255]]
    assert counts / len(void) == pytest.approx([0.1, 0.8, 0.1], abs=0.01)


def test_a_class_is_outlined_in_its_own_colour_but_not_the_background():
    drawn = overlay_classes(blank(300, 400), halves(), NAMES)

    assert drawn[200, 99].tolist() == list(colour_of(2))
    assert drawn[200, 100].tolist() == drawn[200, 300].tolist()
    assert drawn[200, 98].tolist() != list(colour_of(2))


def legend_colours(drawn, picture):
    """Colours of classes in what is not the picture."""
    height, width = picture
    legend = np.concatenate([drawn[height:].reshape(-1, 3), drawn[:height, width:].reshape(-1, 3)])
    seen = set(map(tuple, legend.tolist()))
    return {index for index in range(30) if colour_of(index) in seen}


@pytest.mark.parametrize("size", [pytest.param((300, 400), id="below"),
                                  pytest.param((500, 400), id="beside")])  # fmt: skip
def test_the_legend_has_the_classes_that_there_are(size):
    """Below a wide picture, beside a tall one, which keeps its longer side."""
    drawn = overlay_classes(blank(*size), halves(*size), NAMES)

    assert legend_colours(drawn, size) == {0, 2}
    assert drawn.shape[0 if size[0] > size[1] else 1] == max(size)


def test_shares_are_of_all_pixels_and_sorted():
    """A half, a quarter less a pixel, that pixel, and the quarter that is void."""
    labels = halves()
    labels[0, 0] = 1

    shares = drawing._shares(labels, 3)

    assert list(shares) == [0, 2, 1, VOID]
    assert list(shares.values()) == pytest.approx([1 / 2, 29_999 / 120_000, 1 / 120_000, 1 / 4])


def test_shares_of_many_rows_are_counted_in_bands():
    """More pixels than are counted at once."""
    labels = np.zeros((3001, 1000), np.int16)
    labels[-1] = 1

    assert drawing._shares(labels, 2) == {0: 3000 / 3001, 1: 1 / 3001}


def test_small_shares_are_not_none():
    assert drawing._percent(0.0004) == "< 0.1 %"
    assert drawing._percent(0.1234) == "12.3 %"
    assert drawing._percent(1) == "100.0 %"


def test_a_small_picture_is_enlarged_so_that_its_legend_can_be_read():
    """100 pixels wide becomes 400; each pixel a block."""
    drawn = overlay_classes(blank(80, 100), halves(80, 100), NAMES)

    assert drawn.shape[1] == 400
    assert drawn[320:].size
    assert legend_colours(drawn, (320, 400)) == {0, 2}


@pytest.mark.parametrize("count", [1, 60, 255])
def test_any_number_of_classes_fits(count):
    """The smallest of more than 60 share a line."""
    labels = (np.arange(300 * 400) % count).astype(np.int16).reshape(300, 400)
    names = [f"a class of which the name is long, {index}" for index in range(count)]

    drawn = overlay_classes(blank(300, 400), labels, names)

    assert drawn.shape[1] == 400
    assert 300 < drawn.shape[0] < 2000
    most = min(count, 60)
    line = drawn[300:].reshape(-1, 3)
    seen = set(map(tuple, line.tolist()))
    assert sum(colour_of(index) in seen for index in range(count)) == most


@settings(max_examples=40)
@given(
    labels=hnp.arrays(st.sampled_from([np.int16, np.int64]),
                      st.tuples(st.integers(1, 50), st.integers(1, 50)),
                      elements=st.integers(-1, 3)),
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    names=st.lists(st.sampled_from(["", "a", "long " * 20, "zwei\nZeilen", "細胞", "\t"]),
                   min_size=4, max_size=4),
)  # fmt: skip
def test_whatever_there_is_a_picture_comes_out(labels, height, width, names):
    """Of any sizes and names, uint8, no smaller than it was."""
    drawn = overlay_classes(blank(height, width), labels, names)

    assert drawn.dtype == np.uint8
    assert drawn.shape[0] >= height
    assert drawn.shape[1] >= width
