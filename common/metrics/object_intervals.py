"""Confidence intervals of average precision, by the bootstrap over images.

Matching is done once: what a detection finds depends on its own image alone. In a resample an image
only weighs as often as it was drawn, so its detections and true objects count that many times. That
gives what COCO's evaluation would give for a data set in which images are repeated; only where
several detections of an image have the very same score may the order of their copies differ.

A class with few objects has a higher average precision in resamples, on average, than on the images
themselves: the best precision at any higher recall grows with every fluctuation. With many classes
that is more than an interval is wide, so intervals are moved to where their median was measured.

Shape letters: N images, R resamples, T IoU thresholds, C classes, D detections of a class, P those
of them that are right, G true objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.metrics.bootstrap import RESAMPLE_COUNT, percentile_intervals
from common.metrics.coco import IOU_T, RECALL_R
from common.metrics.object_matching import by_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from common.metrics.object_matching import Matches
    from common.metrics.object_pool import Pool

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

LEAST_RESAMPLES = 100
WORK = 400_000_000
"""Detections times resamples: about ten seconds. Up to 400,000 detections, right ones counted
once for each IoU threshold, there are 1,000 resamples; of four million or more there are 100, whose
ends are as wide but less steady."""
_BLOCK_SIZE = 2_000_000
"""Numbers held at once in an array: 16 MB."""


def ap_intervals(
    pool: Pool,
    matches: Matches,
    measured: Mapping[str, float],
    *,
    seed: int,
    resample_count: int | None = None,
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of `ap`, `ap50` and `ap75`; none if there is no true object.

    A resample that happens to hold no true object is left out.

    Args:
        pool: The objects.
        matches: Theirs, at `IOU_T`.
        measured: `ap`, `ap50` and `ap75` of the images themselves, which lie in the intervals.
        seed: Of the draws.
        resample_count: 1,000 if not given, or fewer on large data; see `WORK`.
    """
    if not pool.support().any():
        return {}
    if resample_count is None:
        work = len(pool.label_D) + int((matches.found_DT >= 0).sum())
        resample_count = resamples_for(work)
    ones_N = np.ones(pool.image_count, dtype=np.int64)
    return percentile_intervals(
        ones_N,
        WeightedAp(pool, matches),
        seed=seed,
        resample_count=resample_count,
        measured=measured,
    )


def resamples_for(work: int) -> int:
    """Return how many resamples are worth it if one takes so much work; see `WORK`."""
    return int(np.clip(WORK // max(work, 1), LEAST_RESAMPLES, RESAMPLE_COUNT))


@dataclass(frozen=True)
class _ClassMatches:
    """The detections of a class, highest scores first, and its true objects.

    Attributes:
        image_D: The image of each, up to the last that is right at any threshold: what comes after
            it has no say in average precision.
        right_DT: Whether it has found an object that counts.
        counted_DT: Whether it counts at all.
        true_image_G: The image of each true object that counts.
    """

    image_D: Ints
    right_DT: Bools
    counted_DT: Bools
    true_image_G: Ints


class WeightedAp:
    """Average precision when images weigh differently.

    Args:
        pool: The objects.
        matches: Theirs, at `IOU_T`.
    """

    def __init__(self, pool: Pool, matches: Matches) -> None:
        self._classes = list(_class_matches(pool, matches))

    def __call__(self, weight_RN: Ints) -> dict[str, Floats]:
        """Return `ap`, `ap50` and `ap75` (R,) for weights of images; NaN without true object."""
        sum_RT = np.zeros((len(weight_RN), len(IOU_T)))
        present_R = np.zeros(len(weight_RN))
        # The weights of an image side by side, and small: most of the time goes into moving them.
        weight_NR = np.ascontiguousarray(weight_RN.T, dtype=np.int32)
        for one in self._classes:
            width = max(1, _BLOCK_SIZE // max(len(one.image_D), len(one.true_image_G)))
            for start in range(0, len(weight_RN), width):
                block = slice(start, start + width)
                true_R = weight_NR[one.true_image_G, block].sum(axis=0)
                sum_RT[block] += _average_precision(one, weight_NR[:, block], true_R)
                present_R[block] += true_R > 0
        with np.errstate(invalid="ignore"):
            ap_RT = sum_RT / present_R[:, None]
        return {"ap": ap_RT.mean(axis=1), "ap50": ap_RT[:, 0], "ap75": ap_RT[:, 5]}


def _class_matches(pool: Pool, matches: Matches) -> Iterator[_ClassMatches]:
    support_C = pool.support()
    for index, chosen in enumerate(by_class(pool, matches)):
        if not support_C[index]:
            continue
        right_DT = (matches.found_DT[chosen] >= 0) & ~matches.ignored_DT[chosen]
        right = np.flatnonzero(right_DT.any(axis=1))
        until = int(right[-1]) + 1 if len(right) else 0
        yield _ClassMatches(
            pool.image_D[chosen[:until]],
            right_DT[:until],
            ~matches.ignored_DT[chosen[:until]],
            pool.true_image_G[(pool.true_label_G == index) & ~pool.ignored_G],
        )


def _average_precision(one: _ClassMatches, weight_NR: NDArray[np.int32], true_R: Ints) -> Floats:
    """Return the average precision of a class (R, T); 0 where it has no true object."""
    ap_RT = np.zeros((len(true_R), len(IOU_T)))
    seen_DR = np.cumsum(weight_NR[one.image_D], axis=0, dtype=np.int32)
    for column in range(len(IOU_T)):
        right = np.flatnonzero(one.right_DT[:, column])
        if not len(right):
            continue
        hits_PR = np.cumsum(weight_NR[one.image_D[right]], axis=0, dtype=np.int32)
        seen_PR = seen_DR[right]
        left_out = np.flatnonzero(~one.counted_DT[:, column])
        if len(left_out):
            left_out_DR = np.cumsum(weight_NR[one.image_D[left_out]], axis=0, dtype=np.int32)
            before = np.searchsorted(left_out, right)
            seen_PR = seen_PR - np.where(before[:, None] > 0, left_out_DR[before - 1], 0)
        precision_PR = hits_PR / np.maximum(seen_PR, 1)
        best_PR = np.maximum.accumulate(precision_PR[::-1], axis=0)[::-1]
        # Of the levels of recall, those that each detection is the first to reach.
        levels_PR = _levels_reached(hits_PR / np.maximum(true_R, 1))
        reached_PR = np.diff(levels_PR, axis=0, prepend=0)
        ap_RT[:, column] = (best_PR * reached_PR).sum(axis=0) / len(RECALL_R)
    return ap_RT * (true_R > 0)[:, None]


def _levels_reached(recall: Floats) -> Ints:
    """Count the levels in `RECALL_R` up to a recall: `searchsorted(side="right")`, but faster."""
    highest = (recall * (len(RECALL_R) - 1) + 1e-9).astype(np.int64)  # or one too high
    return np.asarray(highest + 1 - (RECALL_R[highest] > recall))
