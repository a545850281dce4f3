"""Pixels along the outlines of classes, for Boundary IoU.

Paper: Cheng, Girshick, Dollár, Berg, Kirillov, "Boundary IoU: Improving Object-Centric Image
Segmentation Evaluation", CVPR 2021, https://arxiv.org/abs/2103.16562

A pixel is within the band of its class if the square of (2d + 1) × (2d + 1) pixels around it holds
anything else: another class, void, or the outside of the image. That is what is left of a mask
without its erosion by d steps of 3 × 3 pixels, as the authors' code has it, but one look at the
squares does for all classes. Whether a square is of one class is found by doubling: of two
stretches of 8 equal pixels follow those of 16, and so on. So the work grows neither with the number
of classes nor, but for its logarithm, with d, and takes few bytes a pixel.

Shape letters: H height, W width, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.masks.label_maps import VOID

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Ints = NDArray[np.int64]

BAND_OF_DIAGONAL = 0.02
"""Width of the band as a fraction of the image's diagonal, as in the paper."""


def band_px(width: int, height: int) -> int:
    """Return how wide the band of an image is: at least a pixel."""
    return max(1, round(BAND_OF_DIAGONAL * float(np.hypot(width, height))))


def band(labels_HW: NDArray[np.integer], distance: int) -> Bools:
    """Say which pixels lie along the outline of what has their label, on the inside.

    Args:
        labels_HW: Any labels.
        distance: Width of the band in pixels, at least 1. What is closer than that to the border of
            the image is within, too.
    """
    height, width = labels_HW.shape
    is_band_HW = np.ones((height, width), dtype=bool)
    if min(height, width) <= 2 * distance:
        return is_band_HW
    middle = (slice(distance, height - distance), slice(distance, width - distance))
    # Rows that are the same from end to end, then as many of them; they are the same as each other
    # if the column in the middle is.
    same_across = _all_of(labels_HW[:, 1:] == labels_HW[:, :-1], 2 * distance, axis=1)
    same_down = _all_of(labels_HW[1:] == labels_HW[:-1], 2 * distance, axis=0)
    inner = _all_of(same_across, 2 * distance + 1, axis=0)
    inner &= same_down[:, middle[1]]
    is_band_HW[middle] = ~inner
    return is_band_HW


def boundary_counts(
    predicted_HW: NDArray[np.integer], true_HW: NDArray[np.integer], class_count: int
) -> Ints:
    """Count the pixels of an image's bands that agree, of the truth's, and of the prediction's.

    Where the truth is void the prediction is void as well, so that both have an outline there, and
    what was predicted has no say.

    Args:
        predicted_HW: A class for each pixel.
        true_HW: The same, or `VOID`.
        class_count: C.

    Returns:
        int64 (3, C). Boundary IoU is the first over the sum of the others without the first.
    """
    distance = band_px(true_HW.shape[1], true_HW.shape[0])
    known_HW = np.where(true_HW == VOID, true_HW, predicted_HW)
    along_truth_HW = np.where(band(true_HW, distance), true_HW, VOID)
    along_found_HW = np.where(band(known_HW, distance), known_HW, VOID)
    both_HW = np.where(along_truth_HW == along_found_HW, along_truth_HW, VOID)
    return np.stack([_count(one, class_count) for one in (both_HW, along_truth_HW, along_found_HW)])


def _all_of(is_so_HW: Bools, length: int, axis: int) -> Bools:
    """Say where `length` of them in a row, from here on, are so."""
    reached = 1
    while reached < length:
        step = min(reached, length - reached)
        if axis == 0:
            is_so_HW = is_so_HW[:-step] & is_so_HW[step:]
        else:
            is_so_HW = is_so_HW[:, :-step] & is_so_HW[:, step:]
        reached += step
    return is_so_HW


def _count(labels_HW: NDArray[np.integer], class_count: int) -> Ints:
    # Void, which is -1, becomes 0.
    return np.bincount(labels_HW.ravel() + 1, minlength=class_count + 1)[1:]
