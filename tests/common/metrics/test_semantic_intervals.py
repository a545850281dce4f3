"""Intervals of metrics of pixels."""

import numpy as np
import pytest

from common.masks.label_maps import VOID
from common.metrics.semantic_intervals import WeightedAreas, semantic_intervals
from tests.common.metrics.test_semantic_pool import filled, images

NAMES = {
    *("mean_iou", "pixel_accuracy", "mean_class_accuracy", "frequency_weighted_iou", "mean_dice"),
    *("micro_iou", "mean_boundary_iou", "mean_iou_per_image", "mean_dice_per_image"),
}


def measured(pool):
    values = {
        name: float(getattr(pool.areas, name))
        for name in NAMES - {"mean_boundary_iou", "mean_iou_per_image", "mean_dice_per_image"}
    }
    return values | {
        "mean_boundary_iou": float(pool.boundary_areas.mean_iou),
        "mean_iou_per_image": float(pool.mean_iou_N().mean()),
        "mean_dice_per_image": float(pool.mean_dice_N().mean()),
    }


def test_a_weight_counts_an_image_so_many_times():
    """What a pool says that holds the image so often."""
    pairs = list(images())
    weights = [0, 3, 1, 0, 2, 1, 1, 0, 0, 4, 1, 2]
    repeated = filled(
        pair for pair, weight in zip(pairs, weights, strict=True) for _ in range(weight)
    )

    values = WeightedAreas(filled(pairs))(np.array([weights, [1] * 12]))

    assert {name: value_R[0] for name, value_R in values.items()} == pytest.approx(
        measured(repeated)
    )
    assert {name: value_R[1] for name, value_R in values.items()} == pytest.approx(
        measured(filled(pairs))
    )


def test_intervals_hold_what_was_measured_and_are_repeatable():
    pool = filled(images(40))

    intervals = semantic_intervals(pool, seed=1)

    assert set(intervals) == NAMES
    for name, value in measured(pool).items():
        low, high = intervals[name]
        assert 0 <= low < value < high <= 1, name
    assert semantic_intervals(pool, seed=1) == intervals
    assert semantic_intervals(pool, seed=2) != intervals


def test_classes_that_a_resample_lacks_do_not_move_them_off_what_was_measured():
    """Ground is known in all of 50 images; in each, a class of its own is seen where it is not."""
    zero_HW = np.zeros((8, 8), np.int16)
    pairs = []
    for label in range(1, 51):
        found_HW = zero_HW.copy()
        found_HW[0, 0] = label
        pairs.append((found_HW, zero_HW))
    pool = filled(pairs, 51)

    low, high = semantic_intervals(pool, seed=0)["mean_iou"]

    # Ground: 63 of 64 pixels; of 51 classes, it alone has any.
    assert pool.areas.mean_iou == pytest.approx(63 / 64 / 51)
    assert low <= 63 / 64 / 51 <= high


def test_more_images_make_them_narrower():
    few, many = (
        semantic_intervals(filled(images(count)), seed=0)["mean_iou"] for count in (10, 160)
    )

    assert many[1] - many[0] < 0.5 * (few[1] - few[0])


def test_interval_of_an_accuracy_is_that_of_its_formula():
    """Images of one pixel each: 80 of 100 right, so 0.8 ± 1.96 × 0.04."""
    zero_HW = np.zeros((1, 1), np.int16)
    pool = filled([(zero_HW, zero_HW)] * 80 + [(zero_HW + 1, zero_HW)] * 20, 2)

    low, high = semantic_intervals(pool, seed=0)["pixel_accuracy"]

    assert (low, high) == pytest.approx((0.7216, 0.8784), abs=0.02)


def test_an_image_of_void_changes_only_how_many_there_are():
    """It has no value of its own; a resample of nothing else is left out."""
    zero_HW, void_HW = np.zeros((4, 4), np.int16), np.full((4, 4), VOID, np.int16)
    pool = filled([(zero_HW, zero_HW), (zero_HW, void_HW)])

    intervals = semantic_intervals(pool, seed=0)

    assert set(intervals.values()) == {(1.0, 1.0)}
    assert set(intervals) == NAMES


def test_without_a_pixel_there_are_none():
    zero_HW = np.zeros((4, 4), np.int16)

    assert semantic_intervals(filled([(zero_HW, zero_HW - 1)]), seed=0) == {}
