"""Pixels of many images."""

import numpy as np
import pytest

from common.masks.label_maps import VOID
from common.metrics.boundaries import boundary_counts
from common.metrics.semantic import Areas, confusion
from common.metrics.semantic_pool import SemanticPool


def images(count=12, class_count=6, seed=0):
    """Squares of classes, some void, with a part of the pixels wrong; sizes differ."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        rows, columns = rng.integers(2, 6, 2)
        true_HW = np.kron(rng.integers(-1, class_count, (rows, columns)), np.ones((9, 9), int))
        is_wrong_HW = rng.random(true_HW.shape) < 0.2
        anything_HW = rng.integers(0, class_count, true_HW.shape)
        predicted_HW = np.where(is_wrong_HW | (true_HW == VOID), anything_HW, true_HW)
        yield predicted_HW.astype(np.int16), true_HW.astype(np.int16)


def filled(pairs, class_count=6):
    pool = SemanticPool(class_count)
    for predicted_HW, true_HW in pairs:
        pool.add(predicted_HW, true_HW)
    return pool


def test_images_add_up():
    pool = filled(images())

    pairs = list(images())
    assert len(pool) == 12
    assert (pool.confusion_CC == sum(confusion(*pair, 6) for pair in pairs)).all()
    boundary_3C = sum(boundary_counts(*pair, 6) for pair in pairs)
    assert pool.boundary_areas.mean_iou == Areas(*boundary_3C).mean_iou
    hits_NC, true_NC, predicted_NC, *bands = pool.by_image()
    for row, pair in enumerate(pairs):
        one = Areas.of(confusion(*pair, 6))
        assert (hits_NC.toarray()[row] == one.hits_C).all()
        assert (true_NC.toarray()[row] == one.true_C).all()
        assert (predicted_NC.toarray()[row] == one.predicted_C).all()
    assert (np.stack([counts_NC.sum(axis=0) for counts_NC in bands]) == boundary_3C).all()


def test_values_of_images_are_not_pooled():
    """Of a large image without a mistake and a small one that is all wrong, the mean is a half."""
    large_HW, small_HW = np.zeros((50, 50), np.int16), np.zeros((2, 2), np.int16)
    pool = filled([(large_HW, large_HW), (small_HW + 1, small_HW)])

    assert pool.mean_iou_N().tolist() == [1, 0]
    assert pool.mean_dice_N().tolist() == [1, 0]
    assert pool.areas.mean_iou == pytest.approx(2500 / 2504 / 2)


def test_images_of_void_alone_have_no_value():
    void_HW = np.full((5, 5), VOID, np.int16)
    pool = filled([(np.zeros_like(void_HW), void_HW)])

    assert np.isnan(pool.mean_iou_N()).all()
    assert not pool.confusion_CC.any()
    assert not pool.image_count_C.any()


def test_images_are_counted_that_truly_have_a_class():
    """Not those in which it is only seen."""
    zero_HW, one_HW = np.zeros((2, 2), np.int16), np.ones((2, 2), np.int16)

    pool = filled([(zero_HW, zero_HW), (one_HW, zero_HW), (zero_HW, one_HW)], 3)

    assert pool.image_count_C.tolist() == [2, 1, 0]
