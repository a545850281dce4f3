"""Which true objects are found, missed or taken for another class, and what is found that is not.

Shape letters: N images, C classes, G true objects, D detections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.metrics.object_matching import match
from nocode.vision.v1 import evaluation_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from common.metrics.object_pool import Pool

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

IOU = 0.5
BACKGROUND = "background"


@dataclass(frozen=True)
class Verdicts:
    """What became of every object once scores are cut.

    Attributes:
        pool: The objects.
        score_thresholds: For each class the score from which a detection counts.
        shown_D: Whether a detection has the score that its class needs.
        found_D: The true object it has found, of whatever class; -1 if none.
        counted_D: Whether it is shown, and what it has found, if anything, is not ignored.
        finder_G: The detection that found a true object; -1 if none.
    """

    pool: Pool
    score_thresholds: Sequence[float]
    shown_D: Bools
    found_D: Ints
    counted_D: Bools
    finder_G: Ints

    @property
    def right_D(self) -> Bools:
        """Detections that have found an object of their class."""
        true_label_D = np.append(self.pool.true_label_G, -1)[self.found_D]
        return np.asarray(self.counted_D & (true_label_D == self.pool.label_D))

    @property
    def missed_G(self) -> Bools:
        """True objects that nothing has found, without those that are ignored."""
        return np.asarray((self.finder_G < 0) & ~self.pool.ignored_G)

    def mistakes(self) -> tuple[Ints, Ints, Ints]:
        """Count missed, false and confused objects of each image: three times (N,)."""
        false_D = self.counted_D & (self.found_D < 0)
        confused_D = self.counted_D & (self.found_D >= 0) & ~self.right_D
        return (
            self._per_image(self.pool.true_image_G[self.missed_G]),
            self._per_image(self.pool.image_D[false_D]),
            self._per_image(self.pool.image_D[confused_D]),
        )

    def _per_image(self, image_K: Ints) -> Ints:
        return np.bincount(image_K, minlength=self.pool.image_count)


def judge(pool: Pool, score_thresholds: Sequence[float]) -> Verdicts:
    """Let the detections with enough score find true objects at IoU 0.50, of whatever class.

    In each image they choose in the order of falling scores, each the object it overlaps most; of
    several that it overlaps as much, one of its own class. What finds only a crowd or a difficult
    object, of whatever class, is left out.

    Args:
        pool: The objects; overlaps are those of masks, if there are masks.
        score_thresholds: For each class the score from which a detection counts.
    """
    shown_D = pool.score_D >= np.asarray(score_thresholds, dtype=np.float64)[pool.label_D]
    matches = match(
        pool,
        max(len(pool.label_D), 1),
        iou_T=np.array([IOU]),
        across_classes=True,
        candidate_D=shown_D,
    )
    found_D = matches.found_DT[:, 0].astype(np.int64)
    finder_G = np.full(len(pool.true_label_G), -1)
    finders = np.flatnonzero(found_D >= 0)
    finder_G[found_D[finders]] = finders
    counted_D = shown_D & ~matches.ignored_DT[:, 0]
    return Verdicts(pool, score_thresholds, shown_D, found_D, counted_D, finder_G)


def confusion_matrix(verdicts: Verdicts, class_names: Sequence[str]) -> pb.ConfusionMatrix:
    """Count how often an object of each class is found as each class.

    The last row is of what was found where nothing is, the last column of what was missed; their
    corner is 0.

    Args:
        verdicts: What became of every object.
        class_names: The C names; `background` comes after them.
    """
    background = len(class_names)
    pool, counted_D = verdicts.pool, verdicts.counted_D
    true_label_D = np.append(pool.true_label_G, background)[verdicts.found_D]
    missed = pool.true_label_G[verdicts.missed_G]
    rows = np.concatenate([true_label_D[counted_D], missed])
    columns = np.concatenate([pool.label_D[counted_D], np.full(len(missed), background)])
    counts_CC = np.zeros((background + 1, background + 1), dtype=np.int64)
    np.add.at(counts_CC, (rows, columns), 1)
    return pb.ConfusionMatrix(
        class_names=[*class_names, BACKGROUND],
        rows=[pb.ConfusionMatrix.Row(counts=row) for row in counts_CC.tolist()],
    )
