"""Run-length encoded masks are those of pycocotools, and bad ones are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as pycoco

from common.masks import rle

MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)


@given(MASKS)
def test_what_is_encoded_comes_back(mask_HW):
    """Also by way of the text that JSON holds."""
    encoded = rle.encode(mask_HW)
    read = rle.from_text(rle.text_of(encoded), *mask_HW.shape)

    np.testing.assert_array_equal(rle.decode(encoded), mask_HW)
    assert read == encoded == rle.trusted(rle.text_of(encoded), *mask_HW.shape)


@given(MASKS)
def test_encodings_are_those_of_pycocotools(mask_HW):
    """To the letter."""
    assert rle.encode(mask_HW) == pycoco.encode(np.asfortranarray(mask_HW))


@given(MASKS)
def test_area_and_bounds_are_those_of_the_pixels(mask_HW):
    """Bounds are at the outer edges of pixels."""
    encoded = rle.encode(mask_HW)
    rows, columns = np.nonzero(mask_HW)

    assert rle.area(encoded) == mask_HW.sum()
    if len(rows):
        expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert rle.bounds(encoded) == expected
    else:
        assert rle.bounds(encoded) is None


@given(MASKS, st.randoms())
def test_union_and_overlap_count_pixels(mask_HW, random):
    """Of two masks of one size."""
    other_HW = mask_HW.copy()
    other_HW[random.randrange(mask_HW.shape[0])] ^= 1
    one, other = rle.encode(mask_HW), rle.encode(other_HW)

    assert rle.area(rle.union([one, other])) == (mask_HW | other_HW).sum()
    assert rle.overlap(one, other) == (mask_HW & other_HW).sum()


class TestPolygons:
    """Polygons are drawn as COCO draws them."""

    def test_a_square_has_its_pixels(self):
        """From 2 to 6 in x and from 1 to 4 in y are 4 by 3 pixels."""
        mask_HW = rle.decode(rle.from_polygons([[2, 1, 6, 1, 6, 4, 2, 4]], 8, 9))

        assert mask_HW.sum() == 12
        assert mask_HW[1:4, 2:6].all()

    def test_several_are_one_mask(self):
        """What both have counts once."""
        both = rle.from_polygons([[0, 0, 4, 0, 4, 4, 0, 4], [2, 0, 6, 0, 6, 4, 2, 4]], 6, 8)

        assert rle.area(both) == 24

    @settings(max_examples=200)
    @given(st.lists(st.floats(-30, 40), min_size=6, max_size=16).filter(lambda p: len(p) % 2 == 0))
    def test_nearly_as_pycocotools_draws_them(self, polygon):
        """Which draws in fifths of a pixel; cut at the border, an edge may fall a bit otherwise."""
        drawn = pycoco.decode(pycoco.merge(pycoco.frPyObjects([polygon], 10, 12)))
        ours = rle.decode(rle.from_polygons([polygon], 10, 12))

        assert np.count_nonzero(drawn != ours) <= 12

    @given(st.lists(st.floats(0, 10), min_size=6, max_size=16).filter(lambda p: len(p) % 2 == 0))
    def test_inside_of_the_image_just_as_pycocotools_draws_them(self, polygon):
        """To the pixel."""
        drawn = pycoco.merge(pycoco.frPyObjects([polygon], 10, 12))

        assert rle.from_polygons([polygon], 10, 12) == drawn

    @pytest.mark.parametrize(
        "polygon",
        [
            pytest.param([0, 0, 3, 3], id="two points"),
            pytest.param([float("nan")] * 6, id="no numbers"),
            pytest.param([50, 50, 60, 50, 60, 60], id="outside"),
            pytest.param([], id="no point"),
        ],
    )
    def test_what_is_no_area_in_the_image_is_empty(self, polygon):
        """And costs nothing."""
        assert rle.area(rle.from_polygons([polygon], 10, 12)) == 0

    def test_one_that_reaches_far_outside_is_cut(self):
        """Drawn as it is, it would take gigabytes."""
        far = 1e12

        assert (
            rle.area(rle.from_polygons([[-far, -far, far, -far, far, far, -far, far]], 7, 9)) == 63
        )


class TestRefusals:
    """What is no mask raises an error."""

    @pytest.mark.parametrize(
        "counts",
        [
            pytest.param("99999999", id="more pixels than the image"),
            pytest.param("", id="nothing"),
            pytest.param("é~", id="other letters"),
            pytest.param("oooooooooo0", id="a number without end"),
            pytest.param("d0o", id="ends within a number"),
        ],
    )
    def test_text_that_is_no_mask_of_the_size(self, counts):
        """Whoever decodes it would read beyond the image."""
        with pytest.raises(rle.RleError):
            rle.from_text(counts, 4, 5)

    @pytest.mark.parametrize("runs", [[1, 2], [-1, 21], [10, 11], []])
    def test_runs_that_do_not_fill_the_image(self, runs):
        """Of 20 pixels."""
        with pytest.raises(rle.RleError):
            rle.from_runs(runs, 4, 5)

    @given(st.binary(max_size=30))
    def test_any_bytes_are_a_mask_or_an_error(self, data):
        """Nothing else happens."""
        try:
            read = rle.from_text(data, 4, 5)
        except rle.RleError:
            return
        assert rle.decode(read).shape == (4, 5)
