"""F1 against the score threshold, and the threshold where it is best, for each class.

Counted at IoU 0.50, with the matches that COCO's rule gives to all detections: a detection does not
lose its object when those with lower scores are cut, so one matching serves every threshold.

Shape letters: K thresholds of a class, D detections of all images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.metrics.object_matching import by_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.metrics.object_matching import Matches
    from common.metrics.object_pool import Pool

    Floats = NDArray[np.float64]

FALLBACK_THRESHOLD = 0.5
"""For a class that has no true object, or of which none is found at any score."""


@dataclass(frozen=True)
class F1Curve:
    """F1 of a class when detections with at least some score count.

    Attributes:
        threshold_K: The scores that occur, falling.
        f1_K: In [0, 1]; harmonic mean of precision and recall.
        support: True objects, without those that are ignored.
    """

    threshold_K: Floats
    f1_K: Floats
    support: int

    @property
    def best(self) -> tuple[float, float]:
        """The best F1 and its threshold; of several scores from which it is best, the highest.

        The threshold is halfway from that score to the next lower one, which cuts these detections
        alike. At the score itself the least of few objects would just be found, and the next one
        that is a trifle less certain would not.

        The F1 is -1 if there is no true object, and 0 if none is found; the threshold is then
        `FALLBACK_THRESHOLD`.
        """
        if self.support == 0:
            return -1.0, FALLBACK_THRESHOLD
        if not len(self.f1_K) or self.f1_K.max() == 0:
            return 0.0, FALLBACK_THRESHOLD
        place = int(self.f1_K.argmax())
        score, below = np.append(self.threshold_K, 0.0)[place : place + 2].tolist()
        return float(self.f1_K[place]), (score + below) / 2

    def at(self, thresholds: Floats) -> Floats:
        """Return F1 when detections with `score >= threshold` count, for each threshold."""
        # How many of the scores that occur are at least the threshold; with none F1 is 0.
        count = np.searchsorted(-self.threshold_K, -thresholds, side="right")
        return np.concatenate([[0.0], self.f1_K])[count]


def f1_curves(pool: Pool, matches: Matches) -> list[F1Curve]:
    """Return the curve of each class.

    Args:
        pool: The objects.
        matches: Theirs, the first threshold being IoU 0.50.
    """
    curves = []
    for chosen, support in zip(by_class(pool, matches), pool.support().tolist(), strict=True):
        counted = chosen[~matches.ignored_DT[chosen, 0]]
        right_D = matches.found_DT[counted, 0] >= 0
        curves.append(_curve(pool.score_D[counted], right_D, support))
    return curves


def _curve(score_D: Floats, right_D: NDArray[np.bool_], support: int) -> F1Curve:
    """Count along falling scores; detections with the same score count together."""
    last_K = np.flatnonzero(np.diff(score_D, append=-np.inf))
    hits_K = np.cumsum(right_D)[last_K]
    # Found and true objects together are at least one, since last_K + 1 is.
    return F1Curve(score_D[last_K], 2 * hits_K / (last_K + 1 + support), support)
