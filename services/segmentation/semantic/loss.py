"""The loss of semantic segmentation: cross-entropy and Dice.

Cross-entropy asks every pixel alike, so that large regions drown small ones; Dice asks every class
of an image alike, but knows no certainty. Together they give both.

Papers: Milletari, Navab, Ahmadi, "V-Net: Fully Convolutional Neural Networks for Volumetric Medical
Image Segmentation", 2016, https://arxiv.org/abs/1606.04797 (Dice); Zhao et al., "Pyramid Scene
Parsing Network", 2016, https://arxiv.org/abs/1612.01105 (the loss of a second classifier).

Everything is averaged over the pixels, or the classes, of an image, then over images, so that the
parts of a split batch add up to the batch.

Shape letters: N images, C classes, H height, W width, P pixels of an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from common.masks.label_maps import VOID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

AUXILIARY = 0.4
"""Weight of what the second classifier says, as in the paper."""

MOST_WEIGHT = 30.0
"""A pixel of the rarest class counts at most so many times as much as one of the most frequent."""

_SMOOTHING_PX = 1.0
"""Added to both sizes that Dice compares, so that a class of a few pixels does not jump from all
wrong to all right."""


def pixel_loss(
    answers: Mapping[str, Tensor], labels_NHW: Tensor, class_weights_C: Tensor | None
) -> Tensor:
    """Return the loss of a batch, in float32 whatever the network computes in.

    Args:
        answers: `out` and perhaps `aux`: logits (N, C, h, w) of any resolution.
        labels_NHW: int64, the class of each pixel or `VOID`, on the network's device.
        class_weights_C: As the chassis gives them, inverse to the pixels of each class; see
            `tempered`.
    """
    weights_C = None if class_weights_C is None else tempered(class_weights_C)
    with torch.autocast(labels_NHW.device.type, enabled=False):
        likelihood_NCHW = _log_likelihood(answers["out"], labels_NHW)
        total = cross_entropy(likelihood_NCHW, labels_NHW, weights_C) + dice(
            likelihood_NCHW.exp(), labels_NHW
        )
        if "aux" in answers:
            second_NCHW = _log_likelihood(answers["aux"], labels_NHW)
            total = total + AUXILIARY * cross_entropy(second_NCHW, labels_NHW, weights_C)
    return total


def tempered(weights_C: Tensor) -> Tensor:
    """Return the square roots of class weights, so that a pixel's is 1 on average again.

    Of objects, the rarest class may have a tenth of the most frequent; of pixels it easily has a
    thousandth. With weights inverse to that, a handful of pixels would decide on a step, and the
    network would see its class everywhere. Where it has a millionth, even the root is too much:
    none is more than `MOST_WEIGHT` times the least, so that no weight is more than that.

    Args:
        weights_C: Inverse to the pixels of each class, 1 for a pixel on average; 0 for a class
            without any.
    """
    present_C = weights_C > 0
    roots_C = weights_C.sqrt()
    roots_C = roots_C.clamp(max=MOST_WEIGHT * roots_C[present_C].min())
    # The share of a class is 1 / (classes × weight).
    mean = (roots_C[present_C] / weights_C[present_C]).mean()
    return roots_C / mean


def cross_entropy(
    likelihood_NCHW: Tensor, labels_NHW: Tensor, weights_C: Tensor | None = None
) -> Tensor:
    """Return the mean over images of the mean over pixels that are not void; 0 where all are.

    Args:
        likelihood_NCHW: Logarithms of the probabilities of the classes.
        labels_NHW: int64, the class of each pixel or `VOID`.
        weights_C: What a pixel of each class counts.
    """
    losses_NHW = functional.nll_loss(
        likelihood_NCHW, labels_NHW, weights_C, ignore_index=VOID, reduction="none"
    )
    pixels_N = (labels_NHW != VOID).sum(dim=(1, 2))
    return (losses_NHW.sum(dim=(1, 2)) / pixels_N.clamp(min=1)).mean()


def dice(probabilities_NCHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Return the mean over images of 1 less the mean Dice coefficient of the classes in each.

    Dice is twice what prediction and truth share over what both have, here with probabilities in
    place of pixels. Void pixels do not count; without any other, an image has 0.

    Args:
        probabilities_NCHW: Of the classes.
        labels_NHW: int64, the class of each pixel or `VOID`.
    """
    known_NHW = labels_NHW != VOID
    truth_NCHW = torch.zeros_like(probabilities_NCHW).scatter_(
        1, labels_NHW.clamp(min=0)[:, None], known_NHW[:, None].to(probabilities_NCHW.dtype)
    )
    shared_NC = torch.einsum("nchw,nchw->nc", probabilities_NCHW, truth_NCHW)
    predicted_NC = torch.einsum(
        "nchw,nhw->nc", probabilities_NCHW, known_NHW.to(probabilities_NCHW.dtype)
    )
    true_NC = truth_NCHW.sum(dim=(2, 3))
    dice_NC = (2 * shared_NC + _SMOOTHING_PX) / (predicted_NC + true_NC + _SMOOTHING_PX)
    present_NC = true_NC > 0
    missed_N = ((1 - dice_NC) * present_NC).sum(dim=1) / present_NC.sum(dim=1).clamp(min=1)
    return missed_N.mean()


def _log_likelihood(logits_Nchw: Tensor, labels_NHW: Tensor) -> Tensor:
    """Enlarge logits to the size of the labels, and take the logarithm of their softmax."""
    logits_NCHW = logits_Nchw.float()
    if logits_NCHW.shape[2:] != labels_NHW.shape[1:]:
        logits_NCHW = functional.interpolate(
            logits_NCHW, size=labels_NHW.shape[1:], mode="bilinear", align_corners=False
        )
    return functional.log_softmax(logits_NCHW, dim=1)
