"""Masks made and moved within their boxes, against the whole image at once."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from common.masks import rle
from common.objects import masks
from common.objects.targets import Detections

CELLS = 28


def whole(box, width, height, mask_MM=None):
    """Paste one mask and decode it; without a mask, one that is certain everywhere."""
    if mask_MM is None:
        mask_MM = np.ones((CELLS, CELLS))
    (pasted,) = masks.paste(np.float32(mask_MM)[None], np.array([box], np.float32), width, height)
    assert pasted["size"] == [height, width]
    return rle.decode(pasted)


def rectangle(left, top, right, bottom, width, height):
    expected_HW = np.zeros((height, width), np.uint8)
    expected_HW[top:bottom, left:right] = 1
    return expected_HW


class TestPaste:
    """A grid of probabilities, laid on an image."""

    @pytest.mark.parametrize(("width", "height"), [(37, 53), (400, 100), (1, 1), (101, 7)])
    @given(data=st.data())
    @settings(max_examples=30)
    def test_a_mask_that_is_certain_fills_its_box_to_the_pixel(self, width, height, data):
        """But for its corners, half a cell in both directions, which are rounded off."""
        left, right = sorted(data.draw(st.tuples(*[st.integers(0, width)] * 2)))
        top, bottom = sorted(data.draw(st.tuples(*[st.integers(0, height)] * 2)))

        pasted_HW = whole((left, top, right, bottom), width, height)

        expected_HW = rectangle(left, top, right, bottom, width, height)
        assert not (pasted_HW & ~expected_HW).any()
        x_W, y_H = np.arange(width) + 0.5, np.arange(height) + 0.5
        at_side_W = np.minimum(x_W - left, right - x_W) < (right - left) / CELLS / 2
        at_side_H = np.minimum(y_H - top, bottom - y_H) < (bottom - top) / CELLS / 2
        corner_HW = at_side_H[:, None] & at_side_W
        assert np.array_equal(pasted_HW[~corner_HW], expected_HW[~corner_HW])

    def test_pixels_whose_centre_is_in_the_box_are(self):
        """Of 1.4 to 4.6 those are 1, 2, 3 and 4; of 2.6 to 3.4 only 3 is near, and is not."""
        assert whole((1.4, 0, 4.6, 1), 8, 1).tolist() == [[0, 1, 1, 1, 1, 0, 0, 0]]
        assert whole((1.6, 0, 4.4, 1), 8, 1).tolist() == [[0, 0, 1, 1, 0, 0, 0, 0]]
        assert whole((2.6, 0, 3.4, 1), 8, 1).tolist() == [[0] * 8]

    def test_a_box_that_reaches_out_of_the_image_is_cut_not_squeezed(self):
        """The left half of the box is its object, of which the image shows the right part."""
        half_MM = np.zeros((CELLS, CELLS))
        half_MM[:, : CELLS // 2] = 1

        pasted_HW = whole((-20, -10, 36, 46), 40, 30, half_MM)

        # The upper row is 10 pixels, or five cells, from the corner.
        assert np.array_equal(pasted_HW, rectangle(0, 0, 8, 30, 40, 30))

    @pytest.mark.parametrize(
        "box", [(5, 5, 5, 9), (9, 5, 5, 9), (np.nan, 0, 5, 5), (0, 0, np.inf, 5), (50, 50, 60, 60)]
    )
    def test_no_box_in_the_image_is_no_mask(self, box):
        assert not whole(box, 40, 30).any()

    def test_what_is_no_number_is_no_mask(self):
        mask_MM = np.ones((CELLS, CELLS))
        mask_MM[3, 5] = np.nan

        assert not whole((0, 0, 28, 28), 28, 28, mask_MM).any()

    def test_it_is_what_torch_samples_at_the_centres_of_pixels(self):
        """With zeros around the grid; where the value is the limit, rounding decides."""
        rng = np.random.default_rng(0)
        masks_KMM = rng.random((30, CELLS, CELLS), np.float32)
        boxes_K4 = np.sort(rng.uniform(-20, 140, (30, 2, 2)), axis=1).reshape(30, 4)
        boxes_K4 = boxes_K4.astype(np.float32)
        x_HW, y_HW = torch.meshgrid(torch.arange(131) + 0.5, torch.arange(97) + 0.5, indexing="xy")
        for mask_MM, box_4 in zip(masks_KMM, boxes_K4, strict=True):
            xmin, ymin, xmax, ymax = box_4.tolist()
            places = (2 * (x_HW - xmin) / (xmax - xmin) - 1, 2 * (y_HW - ymin) / (ymax - ymin) - 1)
            value_HW = functional.grid_sample(
                torch.from_numpy(mask_MM)[None, None],
                torch.stack(places, dim=-1)[None],
                align_corners=False,
            )[0, 0].numpy()

            pasted_HW = whole(box_4, 131, 97, mask_MM)

            sure_HW = np.abs(value_HW - 0.5) > 1e-3
            assert sure_HW.mean() > 0.9
            assert np.array_equal(pasted_HW[sure_HW], value_HW[sure_HW] > 0.5)

    def test_bands_do_not_show(self, monkeypatch):
        """A box looked at in parts has the mask of one looked at as a whole."""
        mask_MM = np.random.default_rng(0).random((CELLS, CELLS))
        expected_HW = whole((3.3, 2.2, 95.7, 88.1), 100, 90, mask_MM)
        monkeypatch.setattr(masks, "_BAND_PIXELS", 300)

        assert np.array_equal(whole((3.3, 2.2, 95.7, 88.1), 100, 90, mask_MM), expected_HW)
        assert 0 < expected_HW.sum() < expected_HW.size

    def test_memory_for_hundreds_of_objects_in_a_large_image_is_small(self):
        """369 in 24 megapixels, one of them over all: decoded they would take 9 gigabytes."""
        rng = np.random.default_rng(0)
        corners_K2 = rng.uniform(0, 3500, (369, 2))
        boxes_K4 = np.hstack([corners_K2, corners_K2 + rng.uniform(20, 500, (369, 2))])
        boxes_K4[0] = (0, 0, 6000, 4000)
        masks_KMM = np.full((369, CELLS, CELLS), 0.9, np.float32)

        tracemalloc.start()
        pasted = masks.paste(masks_KMM, boxes_K4.astype(np.float32), 6000, 4000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert rle.area(pasted[0]) > 23_700_000
        assert peak < 40e6


def noise(seed, height, width, share):
    return (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)


sides = st.integers(1, 40)
shares = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])


@given(st.integers(0, 999), sides, sides, shares, st.data())
def test_columns_are_those_of_the_mask(seed, height, width, share, data):
    mask_HW = noise(seed, height, width, share)
    start = data.draw(st.integers(0, width - 1))
    end = data.draw(st.integers(start + 1, width))

    found_HW = masks.columns(rle.encode(mask_HW), start, end)

    assert np.array_equal(found_HW, mask_HW[:, start:end])


@given(st.integers(0, 999), sides, sides, shares, st.data())
def test_a_resampled_mask_shows_the_chosen_pixels_where_they_are_laid(
    seed, height, width, share, data
):
    """Encoded as if it had been made as a whole."""
    mask_HW = noise(seed, height, width, share)
    new_width, new_height = data.draw(sides), data.draw(sides)
    x, y = data.draw(st.integers(0, new_width - 1)), data.draw(st.integers(0, new_height - 1))
    columns_W = np.array(
        data.draw(st.lists(st.integers(0, width - 1), max_size=new_width - x)), np.int64
    )
    rows_H = np.array(
        data.draw(st.lists(st.integers(0, height - 1), max_size=new_height - y)), np.int64
    )

    made = masks.resample(rle.encode(mask_HW), columns_W, rows_H, (x, y), (new_width, new_height))

    expected_HW = np.zeros((new_height, new_width), np.uint8)
    part_HW = mask_HW[:, columns_W][rows_H]
    expected_HW[y : y + len(rows_H), x : x + len(columns_W)] = part_HW
    assert made == rle.encode(expected_HW)


@given(st.integers(0, 999), sides, sides, shares)
def test_a_drawn_mask_is_the_decoded_one(seed, height, width, share):
    mask_HW = noise(seed, height, width, share)
    canvas_HW = np.zeros((height, width), np.uint8)

    masks.draw(rle.encode(mask_HW), canvas_HW)

    assert np.array_equal(canvas_HW, mask_HW)


def test_one_pixel_is_where_it_should_be():
    assert np.argwhere(rle.decode(masks.one_pixel(4, 2, 7, 5))).tolist() == [[2, 4]]


def found(**options):
    return Detections(np.float32([[2, 2, 6, 6]]), np.array([1]), np.float32([0.5]), **options)


def test_masks_lie_in_the_box_that_the_network_gave():
    """The box has been cut since at 2; the mask, whose left half is empty, has not."""
    mask_1MM = np.zeros((1, CELLS, CELLS), np.float32)
    mask_1MM[:, :, CELLS // 2 :] = 1

    laid = masks.settle(found(masks_KMM=mask_1MM, spans_K4=np.float32([[-2, 2, 6, 6]])), 8, 8)

    assert np.array_equal(rle.decode(laid.masks_K[0]), rectangle(2, 2, 6, 6, 8, 8))
    assert laid.found.boxes_K4.tolist() == [[2, 2, 6, 6]]
    assert laid.found.masks_KMM is None


def test_boxes_alone_have_no_masks():
    with pytest.raises(ValueError, match="boxes alone"):
        masks.settle(found(), 8, 8)
