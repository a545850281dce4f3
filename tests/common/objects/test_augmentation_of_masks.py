"""Masks move with the pixels that they are of."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.colours import Colours
from common.data.transforms import LETTERBOX_GREY
from common.masks import rle
from common.objects.augmentation import (
    LEAST_SIDE_PX,
    LEAST_VISIBLE,
    STRENGTHS,
    Placement,
    Strength,
    canvases,
    draw,
)
from common.objects.targets import Truth, as_objects
from tests.common.objects.test_augmentation import rectangles

SIDE = 80
STILL = Colours(brightness=0.0, contrast=0.0, saturation=0.0)


def blob(seed, box=(0, 0, SIDE, SIDE)):
    """A ragged mask within a box, that is hardly ever empty."""
    rng = np.random.default_rng(seed)
    xmin, ymin, xmax, ymax = box
    coarse = torch.from_numpy(rng.random((1, 1, 5, 5)))
    part_HW = torch.nn.functional.interpolate(coarse, (ymax - ymin, xmax - xmin), mode="bilinear")
    mask_HW = np.zeros((SIDE, SIDE), np.uint8)
    mask_HW[ymin:ymax, xmin:xmax] = part_HW[0, 0].numpy() > 0.45
    return mask_HW


def truth(masks_HW):
    masks = [rle.encode(mask_HW) for mask_HW in masks_HW]
    boxes = [rle.bounds(mask) or (0, 0, 1, 1) for mask in masks]
    count = len(masks)
    return Truth(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.arange(count),
        np.zeros(count, bool),
        np.zeros(count, bool),
        np.array([rle.area(mask) for mask in masks], np.float32),
        as_objects(masks),
    )


@settings(max_examples=200)
@given(
    source=rectangles(SIDE, SIDE, least=8),
    target=rectangles(SIDE, SIDE, least=8),
    mirrored=st.booleans(),
    seeds=st.lists(st.integers(0, 999), min_size=1, max_size=4),
)
def test_a_mask_shows_the_pixels_that_the_image_shows(source, target, mirrored, seeds):
    """An image that numbers its own pixels, looked up pixel by pixel, says where each comes from.

    Boxes are the bounds of what is left, areas count it, and what is gone was hardly to be seen.
    """
    masks_HW = [blob(seed) for seed in seeds]
    moved = Placement(source, target, mirrored).move(truth(masks_HW))

    width, height = target[2] - target[0], target[3] - target[1]
    # Between two pixels, the second one counts; so much more that a rounded number does not err.
    x_W, y_H = (np.arange(length) + 0.5 + 1e-9 for length in (width, height))
    x_W = source[0] + (x_W * (source[2] - source[0]) / width).astype(int)
    y_H = source[1] + (y_H * (source[3] - source[1]) / height).astype(int)
    if mirrored:
        x_W = x_W[::-1]
    kept = dict(zip(moved.labels_K.tolist(), range(len(moved)), strict=True))
    for label, mask_HW in enumerate(masks_HW):
        expected_HW = np.zeros((SIDE, SIDE), np.uint8)
        expected_HW[target[1] : target[3], target[0] : target[2]] = mask_HW[y_H][:, x_W]
        rows, columns = np.nonzero(expected_HW)
        if label in kept:
            index = kept[label]
            assert np.array_equal(rle.decode(moved.masks_K[index]), expected_HW)
            bounds = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert moved.boxes_K4[index].tolist() == bounds
            assert moved.area_K[index] == len(rows)
        elif len(rows):
            scale = width * height / ((source[2] - source[0]) * (source[3] - source[1]))
            sides = np.ptp(columns) + 1, np.ptp(rows) + 1
            assert min(sides) < LEAST_SIDE_PX or len(rows) < LEAST_VISIBLE * mask_HW.sum() * scale


@pytest.mark.parametrize("level", [level for level, strength in STRENGTHS.items() if strength])
def test_an_object_is_where_its_mask_is_after_any_variation(level):
    """White on black: nearly all that is white is in a mask, and all that is black is in none."""
    strength = STRENGTHS[level]
    strength = Strength(
        zoom=strength.zoom, stretch=strength.stretch, shift=strength.shift, crop=strength.crop,
        colours=STILL,
    )  # fmt: skip
    inside = outside = wrong = 0
    for seed in range(40):
        mask_HW = blob(seed, (10, 5, 70, 60))
        image_3HW = torch.from_numpy(np.repeat(mask_HW[..., None] * 255, 3, axis=2))
        canvas_3HW = canvases(1, SIDE, SIDE)[0]

        moved = draw(
            canvas_3HW, (0, 0, SIDE, SIDE), image_3HW.permute(2, 0, 1), truth([mask_HW]), strength,
            torch.Generator().manual_seed(seed),
        )  # fmt: skip

        picture_HW = canvas_3HW[0].numpy().astype(int)
        masked_HW = np.zeros((SIDE, SIDE), bool)
        for mask in moved.masks_K:
            masked_HW |= rle.decode(mask) > 0
        inside += (masked_HW & (picture_HW > 200)).sum()
        outside += (~masked_HW & (picture_HW > 200)).sum()
        wrong += (masked_HW & ((picture_HW < 50) | (picture_HW == LETTERBOX_GREY))).sum()
    assert inside > 20_000
    assert outside < 0.03 * inside
    assert wrong < 0.01 * inside


def test_the_mirror_image_of_the_mirror_image_is_the_mask():
    mask_HW = blob(3)
    mirror = Placement((0, 0, SIDE, SIDE), (0, 0, SIDE, SIDE), mirrored=True)

    once = mirror.move(truth([mask_HW]))
    twice = mirror.move(once)

    assert np.array_equal(rle.decode(once.masks_K[0]), mask_HW[:, ::-1])
    assert twice.masks_K[0] == rle.encode(mask_HW)


def test_an_object_whose_box_is_seen_but_none_of_its_pixels_is_gone():
    """A frame, of which the middle is looked at."""
    frame_HW = np.ones((SIDE, SIDE), np.uint8)
    frame_HW[10:-10, 10:-10] = 0

    moved = Placement((15, 15, 65, 65), (0, 0, 50, 50)).move(truth([frame_HW]))

    assert len(moved) == 0
    assert moved.masks_K.shape == (0,)
    assert moved.boxes_K4.shape == (0, 4)
