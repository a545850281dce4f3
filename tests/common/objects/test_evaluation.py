"""What an evaluation of found objects consists of."""

import numpy as np
import pytest

from common.metrics import figures
from common.objects import evaluation
from common.objects.evaluation import evaluate, quick_ap, score_thresholds
from nocode.vision.v1 import model_pb2
from tests.common.metrics.made_objects import detections, make, truth
from tests.common.metrics.reading import visible_texts

A, B, NOWHERE = (0, 0, 50, 50), (100, 0, 150, 50), (0, 200, 50, 250)
NAMES = ["cat", "dog", "eel", "fox"]


def measured(truths, found, names=NAMES, **options):
    return evaluate(truths, found, names, [0.5] * len(names), **options)


def test_every_class_has_its_numbers_in_order():
    """Two cats, one found before a false one; a dog missed; an eel that is nowhere."""
    truths = [truth((A, 0), (B, 0)), truth((A, 1))]
    found = [detections((A, 0, 0.875), (NOWHERE, 0, 0.75)), detections((NOWHERE, 2, 0.5))]

    metrics = measured(truths, found, NAMES[:3], seed=None).metrics

    cat, dog, eel = metrics.per_class
    assert [one.class_name for one in metrics.per_class] == NAMES[:3]
    assert [one.support for one in metrics.per_class] == [2, 1, 0]
    # Recall reaches 1/2 with precision 1: 51 of the 101 levels.
    assert (cat.ap, cat.ap50) == pytest.approx((51 / 101, 51 / 101))
    assert (cat.best_f1, cat.best_f1_threshold) == pytest.approx((2 / 3, (0.875 + 0.75) / 2))
    assert (dog.ap, dog.ap50, dog.best_f1, dog.best_f1_threshold) == (0, 0, 0, 0.5)
    assert (eel.ap, eel.ap50, eel.best_f1, eel.best_f1_threshold) == (-1, -1, -1, 0.5)
    assert metrics.ap == pytest.approx((51 / 101 + 0) / 2)
    assert metrics.max_detections == 100


def test_intervals_are_there_if_asked_for():
    truths, found = make(1)

    metrics = measured(truths, found, seed=0).metrics

    assert set(metrics.confidence_intervals) == {"ap", "ap50", "ap75"}
    assert metrics.confidence_intervals["ap"].low < metrics.ap
    assert metrics.ap < metrics.confidence_intervals["ap"].high
    assert metrics == measured(truths, found, seed=0).metrics
    assert not measured(truths, found, seed=None).metrics.confidence_intervals


def test_more_than_a_hundred_objects_of_a_class_raise_the_limit():
    """120 objects in a row, all found: with 100 detections recall would end at 5/6."""
    boxes = [(10 * n, 0, 10 * n + 8, 8) for n in range(120)]
    truths = [truth(*[(box, 0) for box in boxes])]
    found = [detections(*[(box, 0, 0.9) for box in boxes])]

    metrics = measured(truths, found, ["cat"]).metrics

    assert metrics.max_detections == 120
    assert metrics.ap == pytest.approx(1)
    assert metrics.ar_100 == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_quick_ap_is_that_of_the_evaluation(seed):
    truths, found = make(seed)

    metrics = measured(truths, found, seed=None).metrics

    assert quick_ap(truths, found, 4) == pytest.approx({"ap": metrics.ap, "ap50": metrics.ap50})


def test_the_quick_ap_of_nothing_is_a_number():
    """An epoch's metric must be finite, whatever the split."""
    assert quick_ap([truth()], [detections()], 2) == {"ap": -1, "ap50": -1}
    assert quick_ap([truth((A, 0))], [detections()], 2) == {"ap": 0, "ap50": 0}


def test_score_thresholds_are_those_of_the_best_f1():
    truths, found = make(7)

    thresholds = score_thresholds(truths, found, 4)

    per_class = measured(truths, found, seed=None).metrics.per_class
    assert thresholds == tuple(one.best_f1_threshold for one in per_class)
    # The last class has no true object.
    assert thresholds[3] == 0.5
    at_them = evaluate(truths, found, NAMES, thresholds, seed=None)
    for one, curve, threshold in zip(per_class, at_them.curves, thresholds, strict=True):
        assert not one.support or curve.at(np.array([threshold]))[0] == one.best_f1


def test_a_model_without_thresholds_has_the_fallback():
    with_some = model_pb2.Model(classes=["cat", "dog"], score_thresholds=[0.25, 0.75])

    assert evaluation.thresholds_of(with_some) == [0.25, 0.75]
    assert evaluation.thresholds_of(model_pb2.Model(classes=["cat", "dog"])) == [0.5, 0.5]


def test_pictures_are_drawn_even_if_there_is_nothing():
    """Without a true object there are no curves; the matrix shows what is false."""
    full = measured(*make(1), seed=None)
    empty = measured([truth()], [detections((A, 0, 0.9))], seed=None)

    assert [title for title, _ in evaluation.draw_plots(full, of=" of masks")] == [
        "Precision and recall of masks",
        "F1 against score threshold of masks",
        "Average precision by class of masks",
        "Confusion matrix of masks",
    ]
    assert [title for title, _ in evaluation.draw_plots(empty)] == ["Confusion matrix"]
    assert all(png.startswith(b"\x89PNG") for _, png in evaluation.draw_plots(full))


def test_what_was_falsely_seen_is_not_called_an_object(monkeypatch):
    """The matrix counts a cat that is missed, and two detections of nothing."""
    drawn, render = [], figures.png
    monkeypatch.setattr(figures, "png", lambda made: drawn.append(made) or render(made))
    found = measured([truth((A, 0))], [detections((B, 0, 0.9), (NOWHERE, 1, 0.9))], seed=None)

    evaluation.draw_plots(found)

    texts = [text for text, _ in visible_texts(drawn[-1])]
    assert "3 true or falsely seen objects, 0 on the diagonal are right" in texts


def test_the_confusion_matrix_is_that_at_the_thresholds():
    truths = [truth((A, 0), (B, 1))]
    found = [detections((A, 0, 0.9), (B, 1, 0.4))]

    confusion = evaluate(truths, found, NAMES[:2], [0.5, 0.3]).confusion

    assert np.array([row.counts for row in confusion.rows]).tolist() == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 0],
    ]
