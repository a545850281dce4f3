"""Bands along outlines, against erosions step by step and counts by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from common.masks.label_maps import VOID
from common.metrics.boundaries import band, band_px, boundary_counts

LABELS = hnp.arrays(
    np.int16, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.integers(-1, 2)
)


def along(mask_HW, distance):
    """What the paper's code leaves of a mask: without its erosion in steps of 3×3, 0 outside."""
    inside_HW = ndimage.binary_erosion(
        mask_HW, np.ones((3, 3)), iterations=distance, border_value=0
    )
    return mask_HW & ~inside_HW


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        pytest.param(1, 1, 1, id="at least one pixel"),
        pytest.param(300, 400, 10, id="2 % of 500"),
        pytest.param(2000, 2000, 57, id="2 % of 2828 is 56.6"),
    ],
)
def test_band_is_as_wide_as_a_part_of_the_diagonal(width, height, expected):
    assert band_px(width, height) == expected


def test_band_by_hand():
    """A square of 4×4 with a band of one pixel has 2×2 pixels inside; the border counts, too."""
    labels_HW = np.zeros((7, 8), dtype=np.int16)
    labels_HW[1:5, 1:5] = 1

    is_band_HW = band(labels_HW, 1)

    assert (is_band_HW & (labels_HW == 1)).sum() == 12
    assert not is_band_HW[2:4, 2:4].any()
    assert is_band_HW[:, [0, 7]].all()
    assert is_band_HW[[0, 6]].all()
    # Of class 0 only the column beside the border, away from the square, is inside.
    assert np.flatnonzero((~is_band_HW & (labels_HW == 0)).any(axis=0)).tolist() == [6]


@given(LABELS, st.integers(1, 6))
def test_band_is_what_erosion_takes_away(labels_HW, distance):
    """Of each label at once what the paper's code finds mask by mask."""
    expected_HW = np.zeros(labels_HW.shape, dtype=bool)
    for label in np.unique(labels_HW):
        expected_HW |= along(labels_HW == label, distance)

    assert (band(labels_HW, distance) == expected_HW).all()


@given(st.data())
def test_counts_are_those_of_masks(data):
    """The same as from one mask for each class, without the truth's void pixels."""
    true_HW = data.draw(LABELS)
    predicted_HW = data.draw(hnp.arrays(np.int16, true_HW.shape, elements=st.integers(0, 2)))

    counts_3C = boundary_counts(predicted_HW, true_HW, 3)

    distance = band_px(true_HW.shape[1], true_HW.shape[0])
    for label in range(3):
        truth = along(true_HW == label, distance)
        found = along((predicted_HW == label) & (true_HW != VOID), distance)
        expected = [(truth & found).sum(), truth.sum(), found.sum()]
        assert counts_3C[:, label].tolist() == expected


def test_an_outline_one_pixel_off_counts_more_than_an_area():
    """Of a square of 20×20 pixels, moved by one, 95 % are right, but of its outline a half.

    The band is a pixel wide, 2 % of a diagonal of 57: 76 pixels. The upper and the lower side share
    19 pixels each with those of the other square, the left and the right side none.
    """
    true_HW = np.zeros((40, 40), dtype=np.int16)
    true_HW[10:30, 10:30] = 1
    predicted_HW = np.roll(true_HW, 1, axis=1)

    hits, true, predicted = boundary_counts(predicted_HW, true_HW, 2)[:, 1]

    assert (hits, true, predicted) == (38, 76, 76)


def test_what_is_predicted_for_void_has_no_say():
    """Neither there nor beside it."""
    true_HW = np.zeros((30, 30), dtype=np.int16)
    true_HW[:, 10:20] = VOID
    one_HW, other_HW = np.zeros_like(true_HW), np.zeros_like(true_HW)
    other_HW[:, 10:20] = 1

    ones, others = (boundary_counts(found_HW, true_HW, 2) for found_HW in (one_HW, other_HW))

    assert (ones == others).all()
    assert ones[0, 0] == ones[1, 0] == ones[2, 0] > 0
    assert not ones[:, 1].any()
