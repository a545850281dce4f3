"""F1 against the score threshold."""

import numpy as np
import pytest

from common.metrics.object_curves import FALLBACK_THRESHOLD, f1_curves
from common.metrics.object_matching import match
from common.metrics.object_pool import pool
from tests.common.metrics.made_objects import detections, make, truth

A, B, C, NOWHERE = (0, 0, 50, 50), (100, 0, 150, 50), (200, 0, 250, 50), (0, 200, 50, 250)


def curves(truths, found, class_count=1):
    objects = pool(truths, found, class_count)
    return f1_curves(objects, match(objects, 100))


def test_f1_is_counted_at_every_score():
    """Two of three objects are found; F1 is 2 hits / (detections + objects)."""
    found = [detections((A, 0, 0.875), (NOWHERE, 0, 0.75), (B, 0, 0.5), (NOWHERE, 0, 0.25))]

    (curve,) = curves([truth((A, 0), (B, 0), (C, 0))], found)

    assert curve.threshold_K.tolist() == [0.875, 0.75, 0.5, 0.25]
    assert curve.f1_K.tolist() == pytest.approx([2 / 4, 2 / 5, 4 / 6, 4 / 7])
    assert curve.best == pytest.approx((4 / 6, (0.5 + 0.25) / 2))
    assert curve.at(np.array([0.0, 0.25, 0.26, 0.5, 0.9, 1.0])).tolist() == pytest.approx(
        [4 / 7, 4 / 7, 4 / 6, 4 / 6, 0, 0]
    )


def test_detections_with_the_same_score_count_together():
    found = [detections((A, 0, 0.5), (NOWHERE, 0, 0.5)), detections((NOWHERE, 0, 0.5))]

    (curve,) = curves([truth((A, 0)), truth()], found)

    assert curve.threshold_K.tolist() == [0.5]
    assert curve.f1_K.tolist() == pytest.approx([2 / 4])


def test_of_equal_f1_the_highest_threshold_is_best():
    """One of two objects at 0.9: 2/3. Both, with two false ones between: 4/6."""
    found = [detections((A, 0, 0.875), (NOWHERE, 0, 0.75), (NOWHERE, 0, 0.7), (B, 0, 0.5))]

    (curve,) = curves([truth((A, 0), (B, 0))], found)

    assert curve.f1_K.tolist() == pytest.approx([2 / 3, 2 / 4, 2 / 5, 4 / 6])
    assert curve.best[1] == (0.875 + 0.75) / 2


def test_the_threshold_leaves_room_below_the_least_certain_object():
    """Halfway to the next lower score, or to 0: an object of a score just below still counts."""
    (above_one,) = curves([truth((A, 0))], [detections((A, 0, 0.75), (NOWHERE, 0, 0.25))])
    (above_none,) = curves([truth((A, 0), (B, 0))], [detections((A, 0, 0.75), (B, 0, 0.5))])

    assert above_one.best == (1, 0.5)
    assert above_none.best == (1, 0.25)


def test_scores_may_be_as_close_as_float32_has_them():
    """The threshold lies between them."""
    score = np.float32(0.9)
    lower = np.nextafter(score, np.float32(0))
    (curve,) = curves([truth((A, 0))], [detections((A, 0, score), (NOWHERE, 0, lower))])

    assert float(lower) < curve.best[1] < float(score)
    assert curve.at(np.array([curve.best[1]])).tolist() == [1]


def test_a_class_without_truth_or_never_found_has_the_fallback():
    found = [detections((A, 0, 0.9), (NOWHERE, 1, 0.8))]

    absent, missed, unseen = curves([truth((A, 1), (B, 2))], found, 3)

    assert absent.best == (-1, FALLBACK_THRESHOLD)
    assert missed.best == (0, FALLBACK_THRESHOLD)
    assert unseen.best == (0, FALLBACK_THRESHOLD)
    assert unseen.at(np.array([0.0, 0.5])).tolist() == [0, 0]


def test_crowds_and_difficult_objects_do_not_count():
    truths = [truth((A, 0), (B, 0, "difficult"), ((190, 0, 300, 90), 0, "crowd"))]
    found = [detections((A, 0, 0.9), (B, 0, 0.8), (C, 0, 0.7), (C, 0, 0.6))]

    (curve,) = curves(truths, found)

    assert curve.support == 1
    assert curve.best == pytest.approx((1, 0.45))


@pytest.mark.parametrize("seed", range(5))
def test_a_threshold_gives_its_f1_when_applied(seed):
    """Cutting at `score >= threshold` and matching anew, also where scores are equal."""
    truths, found = make(seed, ties=seed % 2 == 1)
    thresholds = np.array([curve.best[1] for curve in curves(truths, found, 4)])

    cut = [one.pick(one.scores_K >= thresholds[one.labels_K]) for one in found]

    for before, after in zip(curves(truths, found, 4), curves(truths, cut, 4), strict=True):
        if before.support:
            assert after.at(np.zeros(1))[0] == before.best[0]
            assert before.best[0] == before.f1_K.max(initial=0)
