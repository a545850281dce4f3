"""Masks of numbered objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as reference

from common.masks import instances, rle
from common.masks.instances import commonest, masks_of

pictures = arrays.arrays(
    np.uint16, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 4)
)


@given(pictures)
def test_each_value_has_the_mask_of_its_pixels(values):
    """0 is no object; the encoding is the one that pycocotools gives."""
    found = dict(masks_of(values))

    assert list(found) == sorted(set(values.ravel().tolist()) - {0})
    for value, mask in found.items():
        assert (rle.decode(mask) == (values == value)).all()
        assert mask == reference.encode(np.asfortranarray(values == value, np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_the_largest_values_are_kept(dtype):
    """Of any type."""
    most = np.iinfo(dtype).max
    values = np.array([[0, most], [most - 1, most]], dtype)

    assert [value for value, _ in masks_of(values)] == [most - 1, most]


def test_hundreds_of_objects_take_a_single_look():
    """400 objects in a picture of 4 million pixels are encoded in the time of a few."""
    values = np.kron(np.arange(1, 401).reshape(20, 20), np.ones((100, 100), int)).astype(np.uint16)

    found = dict(masks_of(values))

    assert len(found) == 400
    assert {rle.area(mask) for mask in found.values()} == {10_000}
    assert rle.bounds(found[22]) == (100.0, 100.0, 200.0, 200.0)
    assert sum(len(mask["counts"]) for mask in found.values()) < 400 * 500


def test_noise_is_refused(monkeypatch):
    """It would take many times the memory of the picture."""
    monkeypatch.setattr(instances, "_MOST_RUNS", 1000)
    noise = np.random.default_rng(0).integers(0, 60_000, (40, 40), np.uint16)

    with pytest.raises(ValueError, match="from pixel to pixel"):
        list(masks_of(noise))
    assert len(list(masks_of(noise[:20, :20]))) > 300


def test_the_commonest_value_in_the_place_of_an_object():
    """Where the other picture is 0 does not count; of as many, the smaller value is taken."""
    values = np.array([[1, 1, 1, 1], [2, 2, 3, 0], [4, 4, 4, 4]])
    others = np.array([[7, 7, 0, 0], [5, 5, 0, 9], [6, 2**24 - 1, 2**24 - 1, 6]])

    assert commonest(values, others) == {1: 7, 2: 5, 4: 6}
