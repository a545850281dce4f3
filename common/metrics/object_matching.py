"""Which detection finds which true object, by COCO's rule, for many images at once.

faster-coco-eval keeps its matches to itself, and curves, score thresholds, intervals and confusion
matrices need them. The rule: in each group (the objects of a class in an image), detections choose
in the order of falling scores. Each takes the true object with which it overlaps most among those
that are not taken; of several with the same overlap, the last. Objects that are ignored are only
taken if no other will do, and crowds may be taken again and again.

All groups take their turns together: first the best detection of each group chooses, then the
second of each, and so on. Only pairs that overlap enough are held in memory, so it takes few passes
over small arrays.

Shape letters: G true objects, D detections, E pairs of both that overlap, T IoU thresholds,
C classes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from faster_coco_eval.core import mask as rle

from common.metrics.coco import IOU_T

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from common.metrics.object_pool import Pool

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

_BLOCK_PAIRS = 1_000_000
"""Pairs whose overlaps are computed at once: about 100 MB."""
_ALMOST = 1 - 1e-10
"""COCO asks for no more overlap than this, so that a perfect one is enough for a threshold of 1."""


@dataclass(frozen=True)
class Matches:
    """What each detection has found.

    Attributes:
        found_DT: The true object that a detection has taken, at each IoU threshold; -1 if none.
        ignored_DT: Whether that object is ignored, so that the detection does not count.
        considered_D: Whether it was among the detections of its group that are looked at.
    """

    found_DT: NDArray[np.int32]
    ignored_DT: Bools
    considered_D: Bools


def match(
    pool: Pool,
    max_detections: int,
    *,
    iou_T: Floats = IOU_T,
    across_classes: bool = False,
    candidate_D: Bools | None = None,
) -> Matches:
    """Let detections take true objects.

    Args:
        pool: The objects; overlaps are those of masks, if there are masks.
        max_detections: Detections of a group to look at, those with the highest scores.
        iou_T: Overlaps from which a detection may take an object, rising.
        across_classes: A group is an image with all its classes. If a detection overlaps several
            objects as much, it takes one of its own class.
        candidate_D: The detections that take part; all if not given.
    """
    group_D, group_G = pool.image_D, pool.true_image_G
    if not across_classes:
        group_D = group_D * pool.class_count + pool.label_D
        group_G = group_G * pool.class_count + pool.true_label_G
    order_D = np.lexsort((-pool.score_D, group_D))
    if candidate_D is not None:
        order_D = order_D[candidate_D[order_D]]
    group_D = group_D[order_D]
    rank_D = np.arange(len(group_D)) - np.searchsorted(group_D, group_D)
    order_D, group_D, rank_D = (
        array_D[rank_D < max_detections] for array_D in (order_D, group_D, rank_D)
    )
    considered_D = np.zeros(len(pool.label_D), dtype=bool)
    considered_D[order_D] = True
    found_DT = np.full((len(pool.label_D), len(iou_T)), -1, dtype=np.int32)
    order_G = np.argsort(group_G, kind="stable")
    first_D = np.searchsorted(group_G[order_G], group_D, side="left")
    count_D = np.searchsorted(group_G[order_G], group_D, side="right") - first_D
    for block in _blocks(group_D, count_D):
        count = count_D[block]
        det_E = np.repeat(order_D[block], count)
        step_E = np.arange(len(det_E)) - np.repeat(np.cumsum(count) - count, count)
        true_E = order_G[np.repeat(first_D[block], count) + step_E]
        rank_E = np.repeat(rank_D[block], count)
        iou_E = _overlaps(pool, det_E, true_E)
        enough_E = iou_E >= min(iou_T[0], _ALMOST)
        det_E, true_E, rank_E, iou_E = (
            array_E[enough_E] for array_E in (det_E, true_E, rank_E, iou_E)
        )
        if across_classes:  # less than any difference that means something
            iou_E = iou_E + 1e-9 * (pool.label_D[det_E] == pool.true_label_G[true_E])
        turn_E = np.lexsort((true_E, det_E, rank_E))
        det_E, true_E, rank_E, iou_E = (
            array_E[turn_E] for array_E in (det_E, true_E, rank_E, iou_E)
        )
        _choose(pool, det_E, true_E, iou_E, rank_E, iou_T, found_DT)
    # Padded so that -1, which is no true object, is not an ignored one either.
    ignored_DT = np.append(pool.ignored_G, False)[found_DT]
    return Matches(found_DT, ignored_DT, considered_D)


def by_class(pool: Pool, matches: Matches) -> list[Ints]:
    """Return, for each class, the detections that are looked at, highest scores first."""
    order_D = np.lexsort((-pool.score_D, pool.label_D))
    order_D = order_D[matches.considered_D[order_D]]
    ends = np.searchsorted(pool.label_D[order_D], np.arange(pool.class_count + 1))
    return [order_D[start:end] for start, end in itertools.pairwise(ends)]


def _blocks(group_D: Ints, count_D: Ints) -> Iterator[slice]:
    """Cut the detections between groups into blocks of `_BLOCK_PAIRS` or, rarely, one group."""
    pairs_D = np.cumsum(count_D)
    start = 0
    while start < len(group_D):
        before = int(pairs_D[start - 1]) if start else 0
        end = int(np.searchsorted(pairs_D, before + _BLOCK_PAIRS, side="right"))
        if end < len(group_D):
            own = int(np.searchsorted(group_D, group_D[end]))
            end = own if own > start else int(np.searchsorted(group_D, group_D[end], side="right"))
        yield slice(start, end)
        start = end


def _choose(
    pool: Pool,
    det_E: Ints,
    true_E: Ints,
    iou_E: Floats,
    rank_E: Ints,
    iou_T: Floats,
    found_DT: NDArray[np.int32],
) -> None:
    """Go through the turns, and write what was taken to `found_DT`."""
    if not len(det_E):
        return
    objects, local_E = np.unique(true_E, return_inverse=True)
    taken_GT = np.zeros((len(objects), len(iou_T)), dtype=bool)
    ignored_E1 = pool.ignored_G[true_E][:, None]
    crowd_E1 = pool.crowd_G[true_E][:, None]
    enough_ET = iou_E[:, None] >= np.minimum(iou_T, _ALMOST)
    turns = np.flatnonzero(np.diff(rank_E, prepend=-1, append=rank_E[-1] + 1))
    for start, end in itertools.pairwise(turns):
        turn = slice(start, end)
        firsts = np.flatnonzero(np.diff(det_E[turn], prepend=-1))  # each detection's first pair
        free_ET = enough_ET[turn] & (~taken_GT[local_E[turn]] | crowd_E1[turn])
        wanted_DT = _last_of_best(iou_E[turn], free_ET & ~ignored_E1[turn], firsts)
        spare_DT = _last_of_best(iou_E[turn], free_ET & ignored_E1[turn], firsts)
        pair_DT = np.where(wanted_DT >= 0, wanted_DT, spare_DT)
        rows, columns = np.nonzero(pair_DT >= 0)
        pairs = start + pair_DT[rows, columns]
        taken_GT[local_E[pairs], columns] = True
        found_DT[det_E[pairs], columns] = true_E[pairs]


def _last_of_best(iou_E: Floats, may_ET: Bools, firsts: Ints) -> Ints:
    """Return which of its pairs each detection prefers, the last of equal ones; -1 if none."""
    value_ET = np.where(may_ET, iou_E[:, None], -1.0)
    sizes = np.diff(firsts, append=len(iou_E))
    best_ET = value_ET == np.repeat(np.maximum.reduceat(value_ET, firsts), sizes, axis=0)
    place_E1 = np.arange(len(iou_E))[:, None]
    return np.asarray(np.maximum.reduceat(np.where(best_ET & may_ET, place_E1, -1), firsts))


def _overlaps(pool: Pool, det_E: Ints, true_E: Ints) -> Floats:
    """Return the intersection over union of pairs; with a crowd, over the detection alone.

    Sums are in the order of pycocotools', so that thresholds are passed by the same pairs.
    """
    if pool.masks is not None:
        return _mask_overlaps(pool, det_E, true_E)
    low_D2, size_D2 = pool.box_D4[:, :2], pool.box_D4[:, 2:] - pool.box_D4[:, :2]
    low_G2, size_G2 = pool.true_box_G4[:, :2], pool.true_box_G4[:, 2:] - pool.true_box_G4[:, :2]
    high_D2, high_G2 = low_D2 + size_D2, low_G2 + size_G2
    inner_E2 = np.minimum(high_D2[det_E], high_G2[true_E]) - np.maximum(
        low_D2[det_E], low_G2[true_E]
    )
    meet_E = (inner_E2 > 0).all(axis=1)
    intersection_E = np.where(meet_E, inner_E2[:, 0] * inner_E2[:, 1], 0.0)
    area_D, area_G = size_D2[:, 0] * size_D2[:, 1], size_G2[:, 0] * size_G2[:, 1]
    union_E = area_D[det_E] + np.where(pool.crowd_G[true_E], 0.0, area_G[true_E] - intersection_E)
    return np.divide(intersection_E, union_E, out=np.zeros(len(det_E)), where=meet_E)


def _mask_overlaps(pool: Pool, det_E: Ints, true_E: Ints) -> Floats:
    if pool.masks is None or pool.true_masks is None or not len(det_E):
        return np.zeros(len(det_E))
    iou_E = np.empty(len(det_E))
    firsts = np.flatnonzero(np.diff(det_E, prepend=-1))
    start = 0
    while start < len(firsts):
        # Detections of a group come one after the other, each with the same true objects.
        first = firsts[start]
        size = int(np.diff(firsts[start : start + 2], append=len(det_E))[0])
        trues = true_E[first : first + size]
        end = start + 1
        while end < len(firsts) and true_E[firsts[end]] == trues[0]:
            end += 1
        dets = det_E[firsts[start:end]]
        matrix = rle.iou(
            [pool.masks[number] for number in dets.tolist()],
            [pool.true_masks[number] for number in trues.tolist()],
            pool.crowd_G[trues].astype(int).tolist(),
        )
        iou_E[first : first + size * len(dets)] = np.asarray(matrix).ravel()
        start = end
    return iou_E
