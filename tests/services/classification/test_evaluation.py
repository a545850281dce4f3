"""What an evaluation of a classifier consists of."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from common.errors import Internal
from common.training.learner import ImageSource, Sample
from nocode.vision.v1 import model_pb2
from services.classification.evaluation import measure

CLASSES = ["ant", "bee", "cat", "dog"]


class Patterns(ImageSource):
    """An image of its own for every index."""

    def __init__(self):
        self.loaded = []

    def load(self, index):
        self.loaded.append(index)
        return np.full((20 + index % 7, 30, 3), index % 256, dtype=np.uint8)


def samples(image_count=200, *, mistakes=0.3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, image_count)
    given = np.where(rng.random(image_count) < mistakes, (labels + 1) % 4, labels)
    logits = rng.normal(size=(image_count, 4)) + 6 * np.eye(4)[given]
    return [
        Sample(
            index=10 + number,
            file=f"test/{CLASSES[label]}/{number}.jpg",
            annotation={"label": int(label)},
            output=logit_C.astype(np.float32),
            width=30,
            height=20,
        )
        for number, (label, logit_C) in enumerate(zip(labels, logits, strict=True))
    ]


MODEL = model_pb2.Model(classes=CLASSES, temperature=1.7)


def test_metrics_equal_scikit_learn_on_the_rows():
    """The rows survive JSON without losing a digit."""
    measured = measure(samples(), MODEL, Patterns())

    rows = [json.loads(json.dumps(row)) for row in measured.rows]
    labels = [row["label"] for row in rows]
    shares = np.array([row["probabilities"] for row in rows])
    metrics = measured.metrics.classification
    assert [row["index"] for row in rows] == list(range(10, 210))
    assert [row["predicted_label"] for row in rows] == shares.argmax(axis=1).tolist()
    assert [CLASSES[row["label"]] for row in rows] == [row["class"] for row in rows]
    assert metrics.accuracy == sk.accuracy_score(
        [row["class"] for row in rows], [row["predicted_class"] for row in rows]
    )
    assert metrics.log_loss == sk.log_loss(labels, shares, labels=range(4))
    assert metrics.macro.f1 == sk.f1_score(labels, shares.argmax(axis=1), average="macro")
    assert metrics.top_k[1].accuracy == sk.top_k_accuracy_score(
        labels, shares, k=3, labels=range(4)
    )


def test_probabilities_are_those_at_the_temperature():
    """Softmax of logits over the model's temperature; 1 if the model has none."""
    one = samples(1)
    z = one[0].output.astype(np.float64)

    (row,) = measure(one, MODEL, Patterns()).rows
    (plain,) = measure(one, model_pb2.Model(classes=CLASSES), Patterns()).rows

    assert row["probabilities"] == pytest.approx(np.exp(z / 1.7) / np.exp(z / 1.7).sum())
    assert plain["probabilities"] == pytest.approx(np.exp(z) / np.exp(z).sum())


def test_the_sheet_shows_the_mistakes_made_with_most_confidence():
    images = Patterns()

    measured = measure(samples(), MODEL, images)

    wrong = [row for row in measured.rows if row["label"] != row["predicted_label"]]
    wrong.sort(key=lambda row: -max(row["probabilities"]))
    assert images.loaded == [row["index"] for row in wrong[:20]]
    assert [title for title, _ in measured.plots] == [
        "Confusion matrix",
        "Precision, recall and F1 by class",
        "Reliability",
        "Most confident mistakes",
    ]
    assert all(png.startswith(b"\x89PNG") for _, png in measured.plots)


def test_without_a_mistake_the_sheet_shows_what_was_nearly_one():
    images = Patterns()

    measured = measure(samples(mistakes=0), MODEL, images)

    rows = sorted(measured.rows, key=lambda row: max(row["probabilities"]))
    assert measured.metrics.classification.accuracy == 1
    assert images.loaded == [row["index"] for row in rows[:20]]
    assert measured.plots[-1][0] == "Least certain answers"


def test_the_same_samples_give_the_same_measurement():
    """Metrics, intervals and pictures; another seed changes the intervals only."""
    first, again = (measure(samples(40), MODEL, Patterns()) for _ in range(2))
    other = measure(samples(40), MODEL, Patterns(), seed=1)

    assert first.metrics == again.metrics
    assert first.plots == again.plots
    assert first.metrics != other.metrics
    for metrics in (first.metrics, other.metrics):
        metrics.classification.ClearField("confidence_intervals")
    assert first.metrics == other.metrics


def test_an_answer_that_is_no_number_is_named():
    broken = samples(5)
    broken[3].output[2] = np.nan

    with pytest.raises(Internal, match=r"1 of 5 images, e\.g\. test/.*/3\.jpg"):
        measure(broken, MODEL, Patterns())
