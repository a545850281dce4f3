"""Answers of a classifier."""

import numpy as np
import pytest
import torch

from nocode.vision.v1.model_pb2 import Model
from nocode.vision.v1.prediction_pb2 import PredictOptions
from services.classification import answers
from tests.common.data.pictures import picture

MODEL = Model(classes=["ant", "bee", "cow", "dog"], temperature=1.0)


def named(prediction):
    return [score.class_name for score in prediction.classification.classes]


def test_scores_are_the_softmax_by_hand():
    """e^ln2 = 2 and e^0 = 1, so 2/5 and three times 1/5."""
    logits = torch.tensor([0.0, np.log(2.0), 0.0, 0.0])

    prediction = answers.predict(logits, MODEL, 40, 30, PredictOptions())

    scores = [score.score for score in prediction.classification.classes]
    assert scores == pytest.approx([0.4, 0.2, 0.2, 0.2])
    assert [score.class_index for score in prediction.classification.classes] == [1, 0, 2, 3]
    assert (prediction.image_width, prediction.image_height) == (40, 30)


def test_temperature_divides_the_logits():
    """At temperature 2, ln 4 weighs as much as ln 2."""
    model = Model(classes=MODEL.classes, temperature=2.0)

    prediction = answers.predict(
        torch.tensor([np.log(4.0), 0.0, 0.0, 0.0]), model, 1, 1, PredictOptions()
    )

    assert prediction.classification.classes[0].score == pytest.approx(0.4)


def test_equal_scores_are_in_the_order_of_the_classes():
    prediction = answers.predict(torch.zeros(4), MODEL, 1, 1, PredictOptions(top_k=3))

    assert named(prediction) == ["ant", "bee", "cow"]


@pytest.mark.parametrize(("top_k", "count"), [(0, 5), (1, 1), (6, 6), (1000, 8)])
def test_top_k_is_5_unless_told(top_k, count):
    model = Model(classes=[f"class-{i}" for i in range(8)])

    prediction = answers.predict(torch.arange(8.0), model, 1, 1, PredictOptions(top_k=top_k))

    assert len(prediction.classification.classes) == count


def test_what_scores_below_the_threshold_is_left_out():
    logits = torch.tensor([0.0, np.log(2.0), 0.0, 0.0])

    at = lambda threshold: named(  # noqa: E731
        answers.predict(logits, MODEL, 1, 1, PredictOptions(score_threshold=threshold))
    )

    assert at(0.3) == ["bee"]
    assert at(0.5) == []
    assert len(at(0.0)) == 4


def test_huge_logits_do_not_overflow():
    prediction = answers.predict(
        torch.tensor([5000.0, -5000.0, 0.0, 0.0]), MODEL, 1, 1, PredictOptions()
    )

    assert prediction.classification.classes[0].score == 1.0


def test_difference_is_the_largest_of_a_class():
    other = torch.tensor([0.0, np.log(2.0), 0.0, 0.0])  # 0.4 and 0.2 instead of 0.25

    assert answers.difference(other, torch.zeros(4), MODEL) == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("size", "zoom"),
    [
        pytest.param((640, 480), 1, id="usual"),
        pytest.param((28, 28), 12, id="small"),
        pytest.param((1, 400), 2, id="narrow"),
        pytest.param((1, 2000), 1, id="narrow and tall"),
        pytest.param((2000, 1), 1, id="low"),
    ],
)
def test_the_picture_is_kept_above_a_panel(size, zoom):
    pixels = picture(*size)
    prediction = answers.predict(torch.arange(4.0), MODEL, *size, PredictOptions())

    drawn = answers.draw(pixels, prediction)

    width, height = size[0] * zoom, size[1] * zoom
    assert drawn.shape[1] == max(width, 320)
    assert np.array_equal(drawn[:height:zoom, :width:zoom], pixels)
    panel = drawn[size[1] * zoom :]
    assert panel.shape[0] >= 28
    assert len(np.unique(panel.reshape(-1, 3), axis=0)) > 3  # text and bars


def test_bars_are_as_long_as_the_probabilities():
    prediction = answers.predict(
        torch.tensor([0.0, np.log(3.0)]), Model(classes=["a", "b"]), 640, 100, PredictOptions()
    )

    panel = answers.draw(picture(640, 100), prediction)[100:]

    bars = (panel == (37, 99, 235)).all(axis=2).sum(axis=1)
    lengths = sorted({int(length) for length in bars if length})
    assert lengths[-1] / lengths[0] == pytest.approx(3, rel=0.1)  # 0.75 and 0.25


def test_nothing_likely_enough_is_said():
    options = PredictOptions(score_threshold=0.99)
    prediction = answers.predict(torch.zeros(4), MODEL, 320, 200, options)

    assert answers.draw(picture(320, 200), prediction).shape[0] > 200
