"""Metrics of classification, against scikit-learn and against counts done by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from common.metrics.classification import classification_metrics, rank_of_truth, reliability


@st.composite
def cases(draw):
    """Labels and probabilities: few images or many, absent classes, a single true class."""
    class_count = draw(st.integers(2, 12))
    image_count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    used = draw(st.integers(1, class_count))
    labels = rng.choice(rng.permutation(class_count)[:used], image_count)
    logits = rng.normal(size=(image_count, class_count))
    logits *= draw(st.sampled_from([0.1, 1.0, 30.0, 2000.0]))  # from unsure to 0 and 1
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def measure(labels, probabilities, resample_count=20, **options):
    names = [f"class {index}" for index in range(np.shape(probabilities)[1])]
    return classification_metrics(
        labels, probabilities, names, resample_count=resample_count, **options
    )


@settings(max_examples=60)
@given(cases())
def test_metrics_equal_scikit_learn(case):
    """To the last digit, whatever is absent."""
    labels, probabilities = case
    class_count = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)

    measured = measure(labels, probabilities)

    assert measured.accuracy == sk.accuracy_score(labels, predicted)
    assert measured.log_loss == sk.log_loss(labels, probabilities, labels=range(class_count))
    for average in ("macro", "weighted"):
        ours = getattr(measured, average)
        options = {"average": average, "zero_division": 0}
        assert ours.precision == sk.precision_score(labels, predicted, **options)
        assert ours.recall == sk.recall_score(labels, predicted, **options)
        assert ours.f1 == sk.f1_score(labels, predicted, **options)
    report = sk.classification_report(
        labels, predicted, labels=range(class_count), output_dict=True, zero_division=0
    )
    for index, one in enumerate(measured.per_class):
        assert one.class_name == f"class {index}"
        assert one.precision == report[str(index)]["precision"]
        assert one.recall == report[str(index)]["recall"]
        assert one.f1 == report[str(index)]["f1-score"]
        assert one.support == report[str(index)]["support"]
    rows = [list(row.counts) for row in measured.confusion_matrix.rows]
    assert rows == sk.confusion_matrix(labels, predicted, labels=range(class_count)).tolist()


@settings(max_examples=50)
@given(cases())
def test_top_k_equals_scikit_learn(case):
    """Where no two classes are equally likely; ties are settled in tests of their own."""
    labels, probabilities = case
    class_count = probabilities.shape[1]
    tied = any(len(np.unique(row)) < class_count for row in probabilities)

    measured = {top.k: top.accuracy for top in measure(labels, probabilities).top_k}

    assert list(measured) == [k for k in (1, 3, 5) if k < class_count]
    for k, accuracy in measured.items():
        if class_count > 2 and not tied:
            expected = sk.top_k_accuracy_score(
                labels, probabilities, k=k, labels=range(class_count)
            )
            assert accuracy == expected
        if k == 1:
            assert accuracy == sk.accuracy_score(labels, probabilities.argmax(axis=1))


@settings(max_examples=60)
@given(cases())
def test_calibration_error_equals_the_definition(case):
    """Bins (0, 1/15], (1/15, 2/15] … as in the paper, one image at a time."""
    labels, probabilities = case
    bins = [[] for _ in range(15)]
    for label, row in zip(labels, probabilities, strict=True):
        confidence = row.max()
        number = next(b for b in range(15) if confidence <= np.linspace(0, 1, 16)[b + 1] or b == 14)
        bins[number].append((confidence, row.argmax() == label))
    gaps = [
        len(members) * abs(np.mean([c for c, _ in members]) - np.mean([r for _, r in members]))
        for members in bins
        if members
    ]

    measured = measure(labels, probabilities).expected_calibration_error

    assert measured == pytest.approx(sum(gaps) / len(labels), abs=1e-12)


def test_metrics_counted_by_hand():
    """Three classes of which one is neither true nor given: it is left out of the macro average."""
    labels = [0, 0, 0, 1]
    probabilities = [[0.9, 0.1, 0], [0.8, 0.2, 0], [0.4, 0.6, 0], [0.3, 0.7, 0]]

    measured = measure(labels, probabilities)

    assert measured.accuracy == 3 / 4
    # class 0: 2 given, 2 right, 3 true; class 1: 2 given, 1 right, 1 true
    assert measured.macro.precision == (1 + 1 / 2) / 2
    assert measured.macro.recall == pytest.approx((2 / 3 + 1) / 2)
    assert measured.weighted.recall == pytest.approx((3 * 2 / 3 + 1 * 1) / 4)
    assert [one.support for one in measured.per_class] == [3, 1, 0]
    assert [one.f1 for one in measured.per_class] == pytest.approx([4 / 5, 2 / 3, 0])
    assert [list(row.counts) for row in measured.confusion_matrix.rows] == [
        [2, 1, 0],
        [0, 1, 0],
        [0, 0, 0],
    ]
    assert measured.log_loss == pytest.approx(-np.mean(np.log([0.9, 0.8, 0.4, 0.7])))
    # one image a bin: gaps 0.1, 0.2, 0.6 (wrong), 0.3
    assert measured.expected_calibration_error == pytest.approx((0.1 + 0.2 + 0.6 + 0.3) / 4)


@pytest.mark.parametrize(
    ("label", "rank"),
    [
        pytest.param(1, 0, id="the first of the likeliest is the guess"),
        pytest.param(2, 1, id="the second of the likeliest comes next"),
        pytest.param(0, 2, id="the first of the unlikely comes before the second"),
        pytest.param(3, 3, id="last"),
    ],
)
def test_of_equally_likely_classes_the_first_goes_first(label, rank):
    """So that top-1 accuracy is accuracy, whatever is tied."""
    tied = np.array([[0.1, 0.4, 0.4, 0.1]])

    assert rank_of_truth(np.array([label]), tied).tolist() == [rank]


def test_confidence_on_an_edge_belongs_to_the_bin_below():
    """The bins are (0, 1/5], (1/5, 2/5] …; 1 is in the last."""
    labels = np.array([0, 0])
    probabilities = np.array([[0.4, 0.3, 0.3], [1.0, 0.0, 0.0]])

    bins = reliability(labels, probabilities, bin_count=5)

    assert bins.count_B.tolist() == [0, 1, 0, 0, 1]
    assert np.isnan(bins.accuracy_B[0])
    assert bins.expected_calibration_error == pytest.approx(0.6 / 2)


def width(measured):
    interval = measured.confidence_intervals["accuracy"]
    return interval.high - interval.low


def test_intervals_hold_the_estimates():
    """Of every field that has one; wider with fewer images."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 8, 400)
    probabilities = rng.dirichlet(np.ones(8), 400)
    probabilities[np.arange(400), labels] += 0.15
    probabilities /= probabilities.sum(axis=1, keepdims=True)

    many = measure(labels, probabilities, resample_count=1000)
    few = measure(labels[:40], probabilities[:40], resample_count=1000)

    intervals = many.confidence_intervals
    assert set(intervals) == {
        "accuracy",
        *(f"{a}.{m}" for a in ("macro", "weighted") for m in ("precision", "recall", "f1")),
        *(f"top_k.{k}" for k in (1, 3, 5)),
    }
    assert intervals["accuracy"].low < many.accuracy < intervals["accuracy"].high
    assert intervals["macro.f1"].low < many.macro.f1 < intervals["macro.f1"].high
    assert intervals["weighted.recall"] == intervals["accuracy"]
    assert intervals["top_k.1"] == intervals["accuracy"]
    assert width(few) > 2 * width(many)


@pytest.mark.parametrize(
    ("labels", "probabilities", "names", "message"),
    [
        pytest.param([], np.zeros((0, 2)), ["a", "b"], "no image", id="no image"),
        pytest.param([0], [[1.0]], ["a"], "two classes", id="one class"),
        pytest.param([0, 1], [[1.0, 0.0]], ["a", "b"], "shape", id="too few probabilities"),
        pytest.param([2], [[1.0, 0.0]], ["a", "b"], "label", id="label beyond the classes"),
        pytest.param([-1], [[1.0, 0.0]], ["a", "b"], "label", id="negative label"),
        pytest.param([0], [[np.nan, 0.0]], ["a", "b"], "finite", id="not a number"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels, probabilities, names, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(labels, probabilities, names)
