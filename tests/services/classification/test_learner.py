"""What training asks of the classifier, by numbers worked out by hand."""

import math

import pytest
import torch

from nocode.vision.v1 import pipeline_pb2
from services.classification.learner import ClassificationLearner

LEARNER = ClassificationLearner()
LN3 = math.log(3)


class Logits(torch.nn.Module):
    """A network that says what it is told."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, images):
        return self.logits[: len(images)]


def loss(logits, targets, *, smoothing=0.0, weights=None):
    config = pipeline_pb2.TrainingConfig(label_smoothing=smoothing)
    images = torch.zeros(len(targets), 3, 1, 1)
    weights_C = None if weights is None else torch.tensor(weights)
    return LEARNER.loss(Logits(logits), images, targets, config, weights_C).item()


def test_the_target_is_the_label():
    """Whatever the size."""
    assert LEARNER.target({"label": 4}, 640, 480, 96) == 4


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # softmax of (ln 3, 0) is (3/4, 1/4)
        pytest.param({"targets": [0, 0]}, -math.log(3 / 4), id="right"),
        pytest.param({"targets": [0, 1]}, -(math.log(3 / 4) + math.log(1 / 4)) / 2, id="mean"),
        pytest.param(
            {"targets": [0, 1], "weights": [0.5, 1.5]},
            -(0.5 * math.log(3 / 4) + 1.5 * math.log(1 / 4)) / 2,
            id="weights, divided by the number of images",
        ),
        pytest.param(
            {"targets": [0], "smoothing": 0.2},
            -(0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4)),
            id="a fifth spread over both classes",
        ),
    ],
)
def test_loss(options, expected):
    """Two classes, logits (ln 3, 0)."""
    assert loss([[LN3, 0.0], [LN3, 0.0]], **options) == pytest.approx(expected, rel=1e-6)


def test_parts_of_a_batch_add_up():
    """Weighed by their sizes, which is what a split batch does."""
    logits = [[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]]
    weights = [0.25, 1.75]

    whole = loss(logits, [1, 0, 0], weights=weights)
    parts = loss(logits[:1], [1], weights=weights) + 2 * loss(logits[1:], [0, 0], weights=weights)

    assert whole == pytest.approx(parts / 3, rel=1e-6)


def test_forward_gives_each_image_its_logits():
    """On the CPU and in fp32, whatever the network computes in."""
    network = Logits([[1.0, 2.0], [3.0, 4.0]]).to(torch.bfloat16)

    outputs = LEARNER.forward(network, torch.zeros(2, 3, 1, 1))

    assert [output.tolist() for output in outputs] == [[1.0, 2.0], [3.0, 4.0]]
    assert all(output.dtype == torch.float32 for output in outputs)


def test_validate():
    """Two of three are right; the loss has neither smoothing nor weights."""
    outputs = [torch.tensor([LN3, 0.0])] * 3

    found = LEARNER.validate(outputs, [0, 0, 1], 2)

    assert found["val_accuracy"] == pytest.approx(2 / 3)
    assert found["val_loss"] == pytest.approx(-(2 * math.log(3 / 4) + math.log(1 / 4)) / 3)
    assert LEARNER.best_metric in found


def test_calibrate():
    """A network that is certain and wrong in a quarter of the cases is told to doubt."""
    outputs = [torch.tensor([10.0, 0.0])] * 40
    calibration = LEARNER.calibrate(outputs, [0] * 30 + [1] * 10, 2)

    # ln 3 is the logit of three quarters.
    assert calibration.temperature == pytest.approx(10 / LN3, rel=0.1)
    assert calibration.score_thresholds == ()
