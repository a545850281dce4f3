"""The pixels of many images, counted one image after the other.

Of an image stays what its classes have: some fifty bytes each. So neither images nor a confusion
matrix for each of them need be in memory.

Shape letters: N images, C classes, L those that an image has, E entries: the classes of all images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from common.metrics.boundaries import boundary_counts
from common.metrics.semantic import Areas, confusion_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.integer]
    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


class SemanticPool:
    """Counts of pixels, of all images together and of each.

    Args:
        class_count: C.

    Attributes:
        confusion_CC: Of all images: a row for each true class.
    """

    def __init__(self, class_count: int) -> None:
        self.class_count = class_count
        self.confusion_CC: Ints = np.zeros((class_count, class_count), dtype=np.int64)
        self._boundary_3C: Ints = np.zeros((3, class_count), dtype=np.int64)
        self._labels: list[NDArray[np.int32]] = []
        self._counts: list[NDArray[np.int32]] = []

    def __len__(self) -> int:
        """Count the images."""
        return len(self._labels)

    def add(self, predicted_HW: Integers, true_HW: Integers) -> None:
        """Count the pixels of an image.

        Args:
            predicted_HW: The class each pixel was given, in [0, C).
            true_HW: The class it is of, or `VOID`.

        Raises:
            ValueError: See `common.metrics.semantic.confusion`.
        """
        cells = confusion_cells(predicted_HW, true_HW, self.class_count)
        cells.add_to(self.confusion_CC)
        boundary_3C = boundary_counts(predicted_HW, true_HW, self.class_count)
        self._boundary_3C += boundary_3C
        area_3C = np.zeros((3, self.class_count), dtype=np.int64)
        is_hit_K = cells.true_K == cells.predicted_K
        np.add.at(area_3C[0], cells.true_K[is_hit_K], cells.pixels_K[is_hit_K])
        np.add.at(area_3C[1], cells.true_K, cells.pixels_K)
        np.add.at(area_3C[2], cells.predicted_K, cells.pixels_K)
        labels_L = np.flatnonzero(area_3C[1] + area_3C[2])
        self._labels.append(labels_L.astype(np.int32))
        # An image has fewer pixels than 31 bits can count.
        counts_6L = np.concatenate([area_3C[:, labels_L], boundary_3C[:, labels_L]])
        self._counts.append(counts_6L.astype(np.int32))

    @property
    def areas(self) -> Areas:
        """Of whole images, pooled."""
        return Areas.of(self.confusion_CC)

    @property
    def boundary_areas(self) -> Areas:
        """Of the bands along outlines, pooled."""
        return Areas(*self._boundary_3C)

    @property
    def image_count_C(self) -> Ints:
        """Count the images that truly have each class."""
        labels_E = np.concatenate(self._labels)
        has_it_E = np.concatenate([counts_6L[1] for counts_6L in self._counts]) > 0
        return np.bincount(labels_E[has_it_E], minlength=self.class_count)

    def classes_of(self, number: int) -> list[int]:
        """Return the classes that truth or prediction of an image has."""
        return [int(label) for label in self._labels[number]]

    def mean_iou_N(self) -> Floats:
        """Return the mean IoU of each image on its own; NaN where all is void."""
        return self._each("mean_iou")

    def mean_dice_N(self) -> Floats:
        """Return the mean Dice coefficient of each image on its own; NaN where all is void."""
        return self._each("mean_dice")

    def by_image(self) -> list[sparse.csr_array]:
        """Return the counts of each image, six times int64 (N, C).

        They are the three of `Areas` for whole images, then the three for the bands.
        """
        starts_N = np.cumsum([0, *(len(labels_L) for labels_L in self._labels)])
        labels_E = np.concatenate(self._labels)
        counts_6E = np.concatenate(self._counts, axis=1).astype(np.int64)
        shape = (len(self), self.class_count)
        return [
            sparse.csr_array((counts_E, labels_E, starts_N), shape=shape) for counts_E in counts_6E
        ]

    def _each(self, average: str) -> Floats:
        values = [
            getattr(Areas(*counts_6L[:3].astype(np.int64)), average) for counts_6L in self._counts
        ]
        return np.array(values, dtype=np.float64)
