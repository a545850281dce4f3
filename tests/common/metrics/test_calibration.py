"""Temperature scaling, against data whose temperature is known."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from common.metrics.calibration import BOUNDS, fit_temperature, probabilities
from common.metrics.classification import expected_calibration_error


def planted(temperature, *, image_count=4000, class_count=6, seed=0):
    """Labels drawn from softmax(z), and logits that are `temperature` times too large."""
    rng = np.random.default_rng(seed)
    z = rng.normal(scale=2.0, size=(image_count, class_count))
    labels = (probabilities(z).cumsum(axis=1) < rng.random((image_count, 1))).sum(axis=1)
    return (z * temperature).astype(np.float32), labels.clip(0, class_count - 1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_finds_the_temperature_that_was_planted(temperature):
    logits, labels = planted(temperature)

    fitted = fit_temperature(logits, labels)

    assert fitted == pytest.approx(temperature, rel=0.05)
    assert expected_calibration_error(labels, probabilities(logits, fitted)) < 0.02


@pytest.mark.parametrize("image_count", [20, 137, 2000])
def test_is_the_minimum_of_the_smoothed_cross_entropy(image_count):
    """As a general minimizer finds it, from the definition."""
    logits, labels = planted(2.5, image_count=image_count, seed=5)
    smoothed = np.full(logits.shape, 1 / (image_count + 2) / logits.shape[1])
    smoothed[np.arange(image_count), labels] += 1 - 1 / (image_count + 2)

    def cross_entropy(temperature):
        return -(smoothed * np.log(probabilities(logits, temperature))).sum(axis=1).mean()

    found = minimize_scalar(cross_entropy, bounds=BOUNDS, method="bounded", options={"xatol": 1e-9})

    assert fit_temperature(logits, labels) == pytest.approx(found.x, rel=1e-5)


def test_a_network_without_mistakes_does_not_become_certain():
    """On 50 images it may be sure of itself, but not surer than 50 images allow."""
    labels = np.arange(50) % 5
    logits = np.eye(5)[labels] * 3.0

    fitted = fit_temperature(logits, labels)

    assert 0.95 < probabilities(logits, fitted).max() < 0.995


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        pytest.param(np.eye(2)[np.zeros(40, int)] * -50, BOUNDS[1], id="always wrong"),
        pytest.param(np.eye(2)[np.zeros(40, int)] * 1e-3, BOUNDS[0], id="right by a hair"),
    ],
)
def test_stays_in_bounds(logits, expected):
    assert fit_temperature(logits, np.zeros(40, int)) == expected


def test_few_images_change_nothing():
    logits, labels = planted(3.0, image_count=19)

    assert fit_temperature(logits, labels) == 1.0
    assert fit_temperature(np.zeros((0, 3)), []) == 1.0


def test_large_logits_do_not_overflow():
    assert probabilities([[1e4, 0.0], [-1e4, 0.0]]).tolist() == [[1.0, 0.0], [0.0, 1.0]]
