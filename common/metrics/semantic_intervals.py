"""Confidence intervals of what is measured on pixels, by the bootstrap over images.

Pixels of an image are alike, so that images are drawn, not pixels. In a resample an image weighs as
often as it was drawn: its counts of pixels are taken that many times, and pooled as ever.

A resample lacks the classes of images that were not drawn, so rare ones, of which a model knows the
least, are in fewer averages than they should be: with many of them, an average over classes is
higher in nearly all resamples than on the images. Intervals of such averages are moved to where
their median was measured.

Shape letters: N images, R resamples, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.metrics.bootstrap import percentile_intervals
from common.metrics.object_intervals import resamples_for
from common.metrics.semantic import Areas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.metrics.semantic_pool import SemanticPool

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

_OVER_CLASSES = ("mean_iou", "mean_dice", "mean_class_accuracy", "mean_boundary_iou")

_BLOCK_SIZE = 2_000_000
"""Numbers held at once in an array: 16 MB."""


def semantic_intervals(
    pool: SemanticPool, *, seed: int, resample_count: int | None = None
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals, by the field of `SemanticSegmentationMetrics`; none if all is void.

    A class that a resample happens not to have is left out of its averages; for what that does, and
    how it is mended, see this module's docstring.

    Args:
        pool: The counts of at least one image.
        seed: Of the draws.
        resample_count: 1,000 if not given, or fewer on large data; see
            `common.metrics.object_intervals.WORK`.
    """
    if not pool.confusion_CC.any():
        return {}
    weighted = WeightedAreas(pool)
    if resample_count is None:
        resample_count = resamples_for(weighted.work)
    ones_N = np.ones(len(pool), dtype=np.int64)
    measured = weighted(ones_N[None])
    return percentile_intervals(
        ones_N,
        weighted,
        seed=seed,
        resample_count=resample_count,
        measured={name: float(measured[name][0]) for name in _OVER_CLASSES},
    )


class WeightedAreas:
    """What is measured when images weigh differently.

    Args:
        pool: The counts of the images.
    """

    def __init__(self, pool: SemanticPool) -> None:
        self._counts_NC = pool.by_image()
        self._by_image = {
            "mean_iou_per_image": pool.mean_iou_N(),
            "mean_dice_per_image": pool.mean_dice_N(),
        }
        self._class_count = pool.class_count

    @property
    def work(self) -> int:
        """How much there is to add up for a resample."""
        return sum(counts_NC.nnz for counts_NC in self._counts_NC)

    def __call__(self, weight_RN: Ints) -> dict[str, Floats]:
        """Return each value (R,) for weights of images; NaN if only void weighs."""
        size = max(1, _BLOCK_SIZE // self._class_count)
        blocks = [
            self._measured(weight_RN[start : start + size])
            for start in range(0, len(weight_RN), size)
        ]
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    def _measured(self, weight_RN: Ints) -> dict[str, Floats]:
        sums = [weight_RN @ counts_NC for counts_NC in self._counts_NC]
        areas = Areas(*sums[:3])
        values = {
            "mean_iou": areas.mean_iou,
            "pixel_accuracy": areas.pixel_accuracy,
            "mean_class_accuracy": areas.mean_class_accuracy,
            "frequency_weighted_iou": areas.frequency_weighted_iou,
            "mean_dice": areas.mean_dice,
            "micro_iou": areas.micro_iou,
            "mean_boundary_iou": Areas(*sums[3:]).mean_iou,
        }
        for name, value_N in self._by_image.items():
            is_there_N = ~np.isnan(value_N)
            weight_RM = weight_RN[:, is_there_N]
            with np.errstate(invalid="ignore"):
                values[name] = (weight_RM @ value_N[is_there_N]) / weight_RM.sum(axis=1)
        return values
