"""Intervals of average precision, against evaluations of explicit resamples."""

import numpy as np
import pytest

from common.metrics import object_intervals
from common.metrics.coco import RECALL_R, coco_numbers, count_coco
from common.metrics.object_intervals import WeightedAp, ap_intervals
from common.metrics.object_matching import match
from common.metrics.object_pool import pool
from tests.common.metrics.made_objects import detections, make, pycocotools, truth

A, B = (0, 0, 50, 50), (100, 0, 150, 50)


def prepared(truths, found, class_count=4):
    objects = pool(truths, found, class_count)
    return objects, match(objects, 100)


@pytest.mark.parametrize("seed", range(3))
def test_weighing_images_equals_repeating_them(seed):
    """The AP that pycocotools finds when a resample is made of copies of its images."""
    truths, found = make(seed, image_count=25)
    weighted = WeightedAp(*prepared(truths, found))
    rng = np.random.default_rng(seed)
    weights_RN = rng.multinomial(25, np.full(25, 1 / 25), size=6)

    measured = weighted(weights_RN)

    for number, weight_N in enumerate(weights_RN):
        copies = np.repeat(np.arange(25), weight_N)
        reference = pycocotools([truths[n] for n in copies], [found[n] for n in copies], 4)
        precision_TRC = reference.eval["precision"][:, :, :, 0, -1]
        for name, rows in (("ap", slice(None)), ("ap50", 0), ("ap75", 5)):
            values = precision_TRC[rows]
            assert measured[name][number] == pytest.approx(values[values > -1].mean(), abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_every_image_once_is_the_evaluation_itself(ties):
    truths, found = make(9, ties=ties)
    objects, matches = prepared(truths, found)
    metrics = coco_numbers(count_coco(objects))

    measured = WeightedAp(objects, matches)(np.ones((1, len(truths)), dtype=int))

    for name in ("ap", "ap50", "ap75"):
        assert measured[name][0] == pytest.approx(getattr(metrics, name), abs=1e-12)


def test_an_interval_holds_what_was_measured():
    truths, found = make(2)
    objects, matches = prepared(truths, found)
    metrics = coco_numbers(count_coco(objects))

    intervals = ap_intervals(objects, matches, seed=0)

    assert set(intervals) == {"ap", "ap50", "ap75"}
    for name, (low, high) in intervals.items():
        assert low < getattr(metrics, name) < high


def test_ends_are_those_of_explicit_resamples():
    """As far as 200 resamples with other draws can tell."""
    truths, found = make(6, image_count=20)
    rng = np.random.default_rng(1)
    values = []
    for _ in range(200):
        drawn = rng.integers(0, 20, 20)
        counts = count_coco(
            pool([truths[n] for n in drawn], [found[n] for n in drawn], 4), areas=("all",)
        )
        values.append(counts.ap_TC[0][counts.ap_TC[0] > -1].mean())

    low, high = ap_intervals(*prepared(truths, found), seed=0)["ap50"]

    expected = np.quantile(values, [0.025, 0.975])
    assert [low, high] == pytest.approx(expected, abs=0.25 * (expected[1] - expected[0]))


def test_the_same_seed_gives_the_same_intervals_in_any_block(monkeypatch):
    objects, matches = prepared(*make(3))
    first = ap_intervals(objects, matches, seed=5, resample_count=50)

    monkeypatch.setattr(object_intervals, "_BLOCK_SIZE", 300)

    again = ap_intervals(objects, matches, seed=5, resample_count=50)
    for name, ends in first.items():
        assert again[name] == pytest.approx(ends, abs=1e-12)
    assert ap_intervals(objects, matches, seed=6, resample_count=50) != first


def test_large_data_is_resampled_less_often():
    assert object_intervals.resamples_for(0) == 1000
    assert object_intervals.resamples_for(400_000) == 1000
    assert object_intervals.resamples_for(1_000_000) == 400
    assert object_intervals.resamples_for(10**9) == 100


def test_resamples_without_a_true_object_are_left_out():
    """One image of five has an object, and it is found: AP is 1 whenever there is one."""
    truths = [truth((A, 0)), *[truth()] * 4]
    found = [detections((A, 0, 0.9)), *[detections()] * 4]

    assert ap_intervals(*prepared(truths, found, 1), seed=0)["ap"] == pytest.approx((1, 1))


def test_without_true_objects_there_is_no_interval():
    assert ap_intervals(*prepared([truth()], [detections((A, 0, 0.9))], 1), seed=0) == {}


def test_levels_of_recall_are_counted_exactly():
    """At every fraction of up to 300, and a hair beside each level."""
    fractions = [hits / count for count in range(1, 301) for hits in range(count + 1)]
    beside = [np.nextafter(RECALL_R, side) for side in (0, 2)]
    recall = np.clip(np.concatenate([fractions, RECALL_R, *beside]), 0, 1)

    reached = object_intervals._levels_reached(recall)

    assert reached.tolist() == np.searchsorted(RECALL_R, recall, side="right").tolist()
