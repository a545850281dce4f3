"""The confusion matrix with background, counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.metrics.object_confusion import confusion_matrix, judge
from common.metrics.object_pool import pool
from tests.common.metrics.made_objects import detections, make, truth

A, B, C = (0, 0, 50, 50), (100, 0, 150, 50), (200, 0, 250, 50)
NEAR_A, NOWHERE = (5, 0, 55, 50), (0, 200, 50, 250)  # IoU 45/55 with A


def verdicts(truths, found, thresholds=(0.5, 0.5)):
    return judge(pool(truths, found, len(thresholds)), thresholds)


def matrix(truths, found, thresholds=(0.5, 0.5)):
    names = ["cat", "dog", "eel"][: len(thresholds)]
    made = confusion_matrix(verdicts(truths, found, thresholds), names)
    assert list(made.class_names) == [*names, "background"]
    return [list(row.counts) for row in made.rows]


def test_rows_are_true_and_columns_are_predicted():
    """A cat found, a cat taken for a dog, a dog missed, and a dog where nothing is."""
    truths = [truth((A, 0), (B, 0)), truth((C, 1))]
    found = [detections((A, 0, 0.9), (B, 1, 0.8)), detections((NOWHERE, 1, 0.7))]

    assert matrix(truths, found) == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]


def test_each_class_has_its_own_threshold_and_a_score_equal_to_it_counts():
    truths = [truth((A, 0), (B, 1))]
    found = [detections((A, 0, 0.5), (B, 1, 0.5))]

    assert matrix(truths, found, (0.5, 0.75)) == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_an_object_is_found_once():
    """By the higher score, though it be of another class; the other is a false find."""
    found = [detections((NEAR_A, 1, 0.9), (A, 0, 0.8))]

    assert matrix([truth((A, 0))], found) == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_less_overlap_than_half_is_no_find():
    """IoU 1/3: missed, and a false find."""
    found = [detections(((25, 0, 75, 50), 0, 0.9))]

    assert matrix([truth((A, 0))], found) == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_the_own_class_is_preferred_where_two_objects_overlap_as_much():
    truths = [truth((A, 0), (A, 1)), truth((A, 1), (A, 0))]
    found = [detections((A, 0, 0.9)), detections((A, 0, 0.9))]

    assert matrix(truths, found) == [[2, 0, 0], [0, 0, 2], [0, 0, 0]]


def test_crowds_and_difficult_objects_are_left_out_with_what_finds_them():
    """Of whatever class, and in a crowd any number; elsewhere a find stays false."""
    truths = [truth((A, 0, "difficult"), ((90, 0, 300, 100), 0, "crowd"))]
    found = [detections((A, 1, 0.9), (B, 0, 0.8), (C, 1, 0.7), (C, 0, 0.6), (NOWHERE, 0, 0.6))]

    assert matrix(truths, found) == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_mistakes_are_counted_for_each_image():
    truths = [truth((A, 0), (B, 0), (C, 0)), truth((A, 1)), truth()]
    found = [detections((A, 1, 0.9)), detections((A, 1, 0.9)), detections((A, 0, 0.9), (B, 1, 0.1))]

    missed_N, false_N, confused_N = verdicts(truths, found).mistakes()

    assert missed_N.tolist() == [2, 0, 0]
    assert false_N.tolist() == [0, 0, 1]
    assert confused_N.tolist() == [1, 0, 0]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), ties=st.booleans(), threshold=st.floats(0, 1))
def test_every_object_is_counted_once(seed, ties, threshold):
    """Rows add up to the true objects, columns to the detections that count."""
    truths, found = make(seed, image_count=8, ties=ties)
    judged = judge(pool(truths, found, 4), [threshold] * 4)

    made = confusion_matrix(judged, list("abcd"))

    counts_CC = np.array([row.counts for row in made.rows])
    assert counts_CC[:4].sum(axis=1).tolist() == judged.pool.support().tolist()
    predicted = np.bincount(judged.pool.label_D[judged.counted_D], minlength=4)
    assert counts_CC[:, :4].sum(axis=0).tolist() == predicted.tolist()
    assert counts_CC[4, 4] == 0
    missed_N, false_N, confused_N = judged.mistakes()
    assert missed_N.sum() == counts_CC[:4, 4].sum()
    assert false_N.sum() == counts_CC[4, :4].sum()
    assert confused_N.sum() == counts_CC[:4, :4].sum() - np.trace(counts_CC)


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_a_slow_obvious_count(seed):
    truths, found = make(seed, difficult=0, crowd=0)

    expected = np.zeros((5, 5), dtype=int)
    for true, one in zip(truths, found, strict=True):
        free = list(range(len(true)))
        for box, label, score in zip(one.boxes_K4, one.labels_K, one.scores_K, strict=True):
            if score < 0.3:
                continue
            best = max(free, key=lambda number: _iou(box, true.boxes_K4[number]), default=None)
            if best is not None and _iou(box, true.boxes_K4[best]) >= 0.5:
                free.remove(best)
                expected[true.labels_K[best], label] += 1
            else:
                expected[4, label] += 1
        for number in free:
            expected[true.labels_K[number], 4] += 1

    made = confusion_matrix(judge(pool(truths, found, 4), [0.3] * 4), list("abcd"))
    assert [list(row.counts) for row in made.rows] == expected.tolist()


def _iou(one, other):
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    inner = np.prod(np.maximum(high - low, 0), dtype=np.float64)
    areas = [np.prod(box[2:] - box[:2], dtype=np.float64) for box in (one, other)]
    return inner / (sum(areas) - inner)
