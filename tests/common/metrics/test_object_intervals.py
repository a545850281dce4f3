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


def intervals(truths, found, class_count=4, **options):
    objects, matches = prepared(truths, found, class_count)
    return ap_intervals(objects, matches, measured(objects), **options)


def measured(objects):
    metrics = coco_numbers(count_coco(objects))
    return {name: getattr(metrics, name) for name in ("ap", "ap50", "ap75")}


@pytest.mark.parametrize("seed", range(3))
def test_weighing_images_equals_repeating_them(seed):
    """The AP that pycocotools finds when a resample is made of copies of its images."""
    truths, found = make(seed, image_count=25)
    weighted = WeightedAp(*prepared(truths, found))
    rng = np.random.default_rng(seed)
    weights_RN = rng.multinomial(25, np.full(25, 1 / 25), size=6)

    ap_R = weighted(weights_RN)

    for number, weight_N in enumerate(weights_RN):
        copies = np.repeat(np.arange(25), weight_N)
        reference = pycocotools([truths[n] for n in copies], [found[n] for n in copies], 4)
        precision_TRC = reference.eval["precision"][:, :, :, 0, -1]
        for name, rows in (("ap", slice(None)), ("ap50", 0), ("ap75", 5)):
            values = precision_TRC[rows]
            assert ap_R[name][number] == pytest.approx(values[values > -1].mean(), abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_every_image_once_is_the_evaluation_itself(ties):
    truths, found = make(9, ties=ties)
    objects, matches = prepared(truths, found)

    weighted = WeightedAp(objects, matches)(np.ones((1, len(truths)), dtype=int))

    for name, value in measured(objects).items():
        assert weighted[name][0] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("class_count", [4, 60])
def test_an_interval_holds_what_was_measured(class_count):
    """Also of many classes with few objects, whose precision is higher in most resamples."""
    truths, found = make(0, class_count=class_count, image_count=100, most=100)
    objects, _ = prepared(truths, found, class_count)

    found_intervals = intervals(truths, found, class_count, seed=0)

    assert set(found_intervals) == {"ap", "ap50", "ap75"}
    for name, (low, high) in found_intervals.items():
        assert low < measured(objects)[name] < high


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_of_one_image_is_a_point(seed):
    """Every resample is the image itself; the point is the very number, to the last digit."""
    truths, found = make(seed, image_count=1, objects=15)
    objects, _ = prepared(truths, found)

    for name, ends in intervals(truths, found, seed=0).items():
        assert ends == pytest.approx((measured(objects)[name],) * 2, abs=1e-12)
        assert ends[0] <= measured(objects)[name] <= ends[1]


def test_an_interval_says_how_the_number_varies_between_sets_of_images():
    """Of 20 classes, 100 images are measured again and again: the mean lies in most intervals.

    If their ends were percentiles as they are, it would in 85 %.
    """
    rng = np.random.default_rng(3)
    weighted = WeightedAp(*prepared(*make(0, image_count=2000, class_count=20, most=20), 20))
    sets = rng.multinomial(100, np.full(2000, 1 / 2000), size=200)
    values = weighted(sets)["ap50"]

    held = 0
    for set_N, value in zip(sets[:60], values, strict=False):
        low, high = object_intervals.percentile_intervals(
            set_N, weighted, seed=0, resample_count=100,
            measured={"ap": 0.5, "ap50": value, "ap75": 0.5},
        )["ap50"]  # fmt: skip
        held += low <= values.mean() <= high

    assert held >= 54


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

    low, high = intervals(truths, found, seed=0)["ap50"]

    value = measured(pool(truths, found, 4))["ap50"]
    expected = np.quantile(values, [0.025, 0.975]) - np.median(values) + value
    assert [low, high] == pytest.approx(expected, abs=0.25 * (expected[1] - expected[0]))


def test_the_same_seed_gives_the_same_intervals_in_any_block(monkeypatch):
    truths, found = make(3)
    first = intervals(truths, found, seed=5, resample_count=50)

    monkeypatch.setattr(object_intervals, "_BLOCK_SIZE", 300)

    again = intervals(truths, found, seed=5, resample_count=50)
    for name, ends in first.items():
        assert again[name] == pytest.approx(ends, abs=1e-12)
    assert intervals(truths, found, seed=6, resample_count=50) != first


def test_large_data_is_resampled_less_often():
    assert object_intervals.resamples_for(0) == 1000
    assert object_intervals.resamples_for(400_000) == 1000
    assert object_intervals.resamples_for(1_000_000) == 400
    assert object_intervals.resamples_for(10**9) == 100


def test_resamples_without_a_true_object_are_left_out():
    """One image of five has an object, and it is found: AP is 1 whenever there is one."""
    truths = [truth((A, 0)), *[truth()] * 4]
    found = [detections((A, 0, 0.9)), *[detections()] * 4]

    assert intervals(truths, found, 1, seed=0)["ap"] == pytest.approx((1, 1))


def test_without_true_objects_there_is_no_interval():
    assert intervals([truth()], [detections((A, 0, 0.9))], 1, seed=0) == {}


def test_levels_of_recall_are_counted_exactly():
    """At every fraction of up to 300, and a hair beside each level."""
    fractions = [hits / count for count in range(1, 301) for hits in range(count + 1)]
    beside = [np.nextafter(RECALL_R, side) for side in (0, 2)]
    recall = np.clip(np.concatenate([fractions, RECALL_R, *beside]), 0, 1)

    reached = object_intervals._levels_reached(recall)

    assert reached.tolist() == np.searchsorted(RECALL_R, recall, side="right").tolist()
