"""How well pixels are classified.

Two people count differently unless it is said: here pixels of all images are pooled before
anything is divided, unless a name ends in `per_image`; void pixels are not counted; a class that
neither truth nor prediction has is left out of averages, and what has no value is NaN.

Sources: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015,
section 5, https://arxiv.org/abs/1411.4038 (pixel accuracy, mean accuracy, mean IU, frequency
weighted IU); Dice, "Measures of the Amount of Ecologic Association Between Species", 1945.

Shape letters: H height, W width, C classes, K cells of a confusion matrix that are not 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.masks.label_maps import VOID

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.integer]
    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

_BLOCK_SIZE = 1 << 16
"""Pixels counted at once, so that what is computed of them stays in the processor's cache."""

_MOST_BINS = 1 << 21
"""Of more, which only thousands of classes have, most are empty: pairs are sorted instead."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A confusion matrix without its empty cells: small, however many classes there are.

    Attributes:
        true_K: Row of each cell, ascending.
        predicted_K: Column of each cell.
        pixels_K: What it counts, at least 1.
    """

    true_K: Ints
    predicted_K: Ints
    pixels_K: Ints

    def add_to(self, confusion_CC: Ints) -> None:
        """Add them to a confusion matrix, in place."""
        confusion_CC[self.true_K, self.predicted_K] += self.pixels_K


def confusion(
    predicted_HW: Integers, true_HW: Integers, class_count: int, void: int = VOID
) -> Ints:
    """Count how often pixels of a class were given each class.

    Args:
        predicted_HW: Class of each pixel, in [0, C); where the truth is void it has no say.
        true_HW: The same for the ground truth, or `void`.
        class_count: C.
        void: Pixels with this true label are not counted.

    Returns:
        int64 (C, C): a row for each true class, a column for each predicted class.

    Raises:
        ValueError: The shapes differ, there is no pixel, or a counted label is not a class.
    """
    confusion_CC = np.zeros((class_count, class_count), dtype=np.int64)
    confusion_cells(predicted_HW, true_HW, class_count, void).add_to(confusion_CC)
    return confusion_CC


def confusion_cells(
    predicted_HW: Integers, true_HW: Integers, class_count: int, void: int = VOID
) -> Cells:
    """Count as `confusion` does, for one image of a data set with many classes.

    Raises:
        ValueError: See `confusion`.
    """
    if predicted_HW.shape != true_HW.shape:
        raise ValueError(
            f"the prediction has the shape {predicted_HW.shape}, the truth {true_HW.shape}"
        )
    if not true_HW.size:
        raise ValueError("there is no pixel")
    predicted, true = predicted_HW.ravel(), true_HW.ravel()
    bin_count = class_count**2 + 1  # The last is that of void pixels.
    if bin_count <= _MOST_BINS:
        counts = np.zeros(bin_count, dtype=np.int64)
        size = max(_BLOCK_SIZE, bin_count)
        for start in range(0, len(true), size):
            block = slice(start, start + size)
            pairs = _pairs(predicted[block], true[block], class_count, void)
            counts += np.bincount(pairs, minlength=bin_count)
        bins_K = np.flatnonzero(counts[:-1])
        pixels_K = counts[bins_K]
    else:
        pairs = _pairs(predicted, true, class_count, void)
        bins_K, pixels_K = np.unique(pairs[pairs < bin_count - 1], return_counts=True)
    true_K, predicted_K = np.divmod(bins_K, class_count)
    return Cells(true_K, predicted_K, pixels_K)


def _pairs(predicted: Integers, true: Integers, class_count: int, void: int) -> Ints:
    """Number the pairs of labels, those of a true class one after the other; void is last."""
    is_void = true == void
    row, column = true.astype(np.int64), predicted.astype(np.int64)
    for labels in (row, column):
        labels[is_void] = 0
        if labels.min() < 0 or labels.max() >= class_count:
            raise ValueError(f"a label is neither in [0, {class_count}) nor void")
    row *= class_count
    row += column
    row[is_void] = class_count**2
    return row


@dataclass(frozen=True)
class Areas:
    """Pixels of classes, of an image or of many, and what follows from them.

    Any axes may come before that of the classes; averages have these axes.

    Attributes:
        hits_C: Pixels of each class that were given it.
        true_C: Pixels of each class.
        predicted_C: Pixels given each class.
    """

    hits_C: Integers
    true_C: Integers
    predicted_C: Integers

    @classmethod
    def of(cls, confusion_CC: Ints) -> Areas:
        """Take them from a confusion matrix."""
        return cls(confusion_CC.diagonal(), confusion_CC.sum(axis=1), confusion_CC.sum(axis=0))

    @property
    def iou_C(self) -> Floats:
        """Intersection over union; NaN for a class that neither truth nor prediction has."""
        return _fraction(self.hits_C, self.true_C + self.predicted_C - self.hits_C)

    @property
    def dice_C(self) -> Floats:
        """Dice coefficient, which is F1 over pixels; NaN where IoU is."""
        return _fraction(2 * self.hits_C, self.true_C + self.predicted_C)

    @property
    def accuracy_C(self) -> Floats:
        """Fraction of a class's pixels given it; NaN if there are none."""
        return _fraction(self.hits_C, self.true_C)

    @property
    def precision_C(self) -> Floats:
        """Fraction of the pixels given a class that are of it; NaN if there are none."""
        return _fraction(self.hits_C, self.predicted_C)

    @property
    def mean_iou(self) -> Floats:
        """IoU, averaged over the classes that truth or prediction has."""
        return mean_of_some(self.iou_C)

    @property
    def mean_dice(self) -> Floats:
        """Dice coefficient, averaged over the classes that truth or prediction has."""
        return mean_of_some(self.dice_C)

    @property
    def mean_class_accuracy(self) -> Floats:
        """Accuracy, averaged over the classes that the truth has."""
        return mean_of_some(self.accuracy_C)

    @property
    def pixel_accuracy(self) -> Floats:
        """Fraction of pixels given their class."""
        return _fraction(self.hits_C.sum(axis=-1), self.true_C.sum(axis=-1))

    @property
    def micro_iou(self) -> Floats:
        """Intersections of all classes together over their unions."""
        hits = self.hits_C.sum(axis=-1)
        return _fraction(hits, (self.true_C + self.predicted_C).sum(axis=-1) - hits)

    @property
    def frequency_weighted_iou(self) -> Floats:
        """IoU, each class weighing as many times as the truth has pixels of it."""
        weighted = (np.nan_to_num(self.iou_C) * self.true_C).sum(axis=-1)
        return _fraction(weighted, self.true_C.sum(axis=-1))


def mean_of_some(values_C: Floats) -> Floats:
    """Average over the last axis what is not NaN; NaN if all is."""
    is_there_C = ~np.isnan(values_C)
    return _fraction(np.where(is_there_C, values_C, 0).sum(axis=-1), is_there_C.sum(axis=-1))


def _fraction(numerator: NDArray[np.number], denominator: Integers) -> Floats:
    """Divide; NaN where there is nothing to divide by."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.true_divide(numerator, denominator))
