"""Which detection finds which object: as pycocotools has it, to the last match."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from common.metrics import object_matching
from common.metrics.object_matching import by_class, match
from common.metrics.object_pool import Masks, pool
from tests.common.metrics.made_objects import detections, make, pycocotools, truth

LEFT, SAME, RIGHT = (0, 0, 100, 100), (0, 0, 100, 100), (20, 0, 120, 100)


def expected(evaluation, shape):
    """What pycocotools matched, of objects of all sizes; ids are places in the pool, from 1."""
    found_DT, considered_D = np.full(shape, -1), np.zeros(shape[0], dtype=bool)
    for image in evaluation.evalImgs:
        if image is None or image["aRng"] != [0, 1e10]:
            continue
        detected = np.array(image["dtIds"], dtype=int) - 1
        considered_D[detected] = True
        if len(detected):
            found_DT[detected] = image["dtMatches"].T - 1
    return found_DT, considered_D


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    ties=st.booleans(),
    limit=st.sampled_from([10, 25, 100]),
    block=st.sampled_from([1, 7, 10**6]),
)
def test_matches_are_those_of_pycocotools(seed, ties, limit, block):
    """However few pairs are computed at once; crowds, equal overlaps and scores among them."""
    truths, found = make(seed, image_count=10, ties=ties)
    if not sum(map(len, found)):
        return
    objects = pool(truths, found, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_matching, "_BLOCK_PAIRS", block)
        matches = match(objects, limit)

    found_DT, considered_D = expected(
        pycocotools(truths, found, 4, max_detections=limit), matches.found_DT.shape
    )
    assert matches.found_DT.tolist() == found_DT.tolist()
    assert matches.considered_D.tolist() == considered_D.tolist()


def test_matches_of_masks_are_those_of_pycocotools():
    truths, found = make(4, image_count=8, most=20, ties=True)

    def masks_of(images):
        return [[rle.frPyObjects([_triangle(box)], 400, 400)[0] for box in one.boxes_K4]
                for one in images]  # fmt: skip

    masks = Masks(masks_of(truths), masks_of(found))
    matches = match(pool(truths, found, 4, masks), 100)

    found_DT, _ = expected(pycocotools(truths, found, 4, masks=masks), matches.found_DT.shape)
    assert (found_DT >= 0).any()
    assert matches.found_DT.tolist() == found_DT.tolist()


def _triangle(box):
    xmin, ymin, xmax, ymax = box.tolist()
    return [xmin, ymin, xmax, ymin, xmin, ymax]


def test_the_higher_score_chooses_first():
    objects = pool(
        [truth((LEFT, 0))], [detections((RIGHT, 0, 0.9), (SAME, 0, 0.8))], 1
    )  # an overlap of 2/3, and a perfect one

    found_DT = match(objects, 100, iou_T=np.array([0.5, 0.75])).found_DT

    assert found_DT.tolist() == [[0, -1], [-1, 0]]


def test_across_classes_the_own_class_is_preferred_only_among_equal_overlaps():
    truths = [truth((LEFT, 0), (SAME, 1)), truth((LEFT, 0), (RIGHT, 1))]
    found = [detections((LEFT, 0, 0.9)), detections((LEFT, 1, 0.9))]

    matches = match(pool(truths, found, 2), 100, iou_T=np.array([0.5]), across_classes=True)

    assert matches.found_DT.tolist() == [[0], [2]]


def test_what_is_no_candidate_takes_nothing():
    objects = pool([truth((LEFT, 0))], [detections((LEFT, 0, 0.9), (LEFT, 0, 0.8))], 1)

    matches = match(objects, 100, candidate_D=np.array([False, True]))

    assert matches.considered_D.tolist() == [False, True]
    assert matches.found_DT[:, 0].tolist() == [-1, 0]


def test_detections_are_sorted_by_class_and_score():
    """In the order of images where scores are equal."""
    found = [
        detections((LEFT, 1, 0.9), (LEFT, 0, 0.5)),
        detections((LEFT, 1, 0.95), (LEFT, 0, 0.5)),
    ]
    objects = pool([truth(), truth()], found, 3)

    assert [one.tolist() for one in by_class(objects, match(objects, 100))] == [[1, 3], [2, 0], []]
