"""Honest probabilities: temperature scaling.

Paper: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017, section 4.2,
https://arxiv.org/abs/1706.04599

Differs from the paper: the labels are smoothed as Platt smooths his (see `fit_temperature`), so
that a network without a mistake on the validation images does not become certain of everything.

Shape letters: N images, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MIN_IMAGES = 20
"""A temperature fitted on fewer would be noise."""

BOUNDS = (0.05, 20.0)
"""Temperatures outside are not believed."""


def probabilities(logits: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of logits (…, C) over a temperature, in float64."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def fit_temperature(logits_NC: ArrayLike, labels_N: ArrayLike) -> float:
    """Find the temperature that makes the labels likeliest.

    Minimizes the cross-entropy of `probabilities(logits_NC, temperature)`, which is convex in the
    inverse temperature. Each label is smoothed by 1 / (N + 2), as if one more image had been seen
    on which every class is as likely: without it a network that makes no mistake on N images
    would be given temperature 0, however small N is.

    Args:
        logits_NC: What the network said of the validation images.
        labels_N: Their classes, in [0, C).

    Returns:
        A number in `BOUNDS`; 1, which changes nothing, for fewer than `MIN_IMAGES` images.

    Source of the smoothing: Platt, "Probabilistic Outputs for Support Vector Machines and
    Comparisons to Regularized Likelihood Methods", 1999, section 2.2.
    """
    z_NC = np.asarray(logits_NC, dtype=np.float64)
    label_N = np.asarray(labels_N, dtype=np.int64)
    image_count = len(label_N)
    if image_count < MIN_IMAGES:
        return 1.0
    smoothing = 1 / (image_count + 2)
    true_N = z_NC[np.arange(image_count), label_N]
    wanted = np.mean((1 - smoothing) * true_N + smoothing * z_NC.mean(axis=1))

    def slope(inverse_temperature: float) -> float:
        """Of the cross-entropy: the mean logit expected by the network, less the wanted one."""
        expected_N = (probabilities(z_NC, 1 / inverse_temperature) * z_NC).sum(axis=1)
        return float(expected_N.mean() - wanted)

    low, high = 1 / BOUNDS[1], 1 / BOUNDS[0]
    if slope(low) >= 0:
        return BOUNDS[1]
    if slope(high) <= 0:
        return BOUNDS[0]
    return float(1 / optimize.brentq(slope, low, high))
