"""COCO's numbers: those of pycocotools, and some counted by hand."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from common.metrics.coco import choose_max_detections, coco_numbers, count_coco
from common.metrics.object_pool import Masks, pool
from tests.common.metrics.made_objects import detections, make, pycocotools, truth

TWELVE = [
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
]
A, B = (10, 10, 50, 50), (100, 100, 160, 160)


def numbers(truths, found, class_count, *, max_detections=100, masks=None):
    metrics = coco_numbers(count_coco(pool(truths, found, class_count, masks), max_detections))
    return [getattr(metrics, name) for name in TWELVE]


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), ties=st.booleans())
def test_the_twelve_numbers_equal_pycocotools(seed, ties):
    """Crowds, empty images, a class without truth, equal scores and overlaps."""
    truths, found = make(seed, image_count=15, ties=ties)
    if not sum(map(len, found)):
        return
    with contextlib.redirect_stdout(io.StringIO()):
        reference = pycocotools(truths, found, 4)
        reference.summarize()

    assert numbers(truths, found, 4) == pytest.approx(reference.stats.tolist(), abs=1e-9)


@pytest.mark.parametrize("max_detections", [10, 100, 250])
@pytest.mark.parametrize("ties", [False, True])
def test_every_precision_and_recall_equals_pycocotools(max_detections, ties):
    """At each IoU, recall, class, area and limit; more detections than the limit, too."""
    truths, found = make(3, most=300, image_count=12, class_count=3, ties=ties)
    reference = pycocotools(truths, found, 3, max_detections=max_detections)

    counts = count_coco(pool(truths, found, 3), max_detections)

    assert counts.precision_TRCA == pytest.approx(reference.eval["precision"][..., -1], abs=1e-12)
    assert counts.recall_TCAM == pytest.approx(reference.eval["recall"], abs=1e-12)


def test_masks_are_measured_as_pycocotools_does():
    """By their own overlap; sizes of detections are those of their masks."""
    truths, found = make(8, image_count=10, most=15)
    rng = np.random.default_rng(0)

    def masks_of(images):
        return [[_ellipse(rng, box) for box in one.boxes_K4] for one in images]

    masks = Masks(masks_of(truths), masks_of(found))
    with contextlib.redirect_stdout(io.StringIO()):
        reference = pycocotools(truths, found, 4, masks=masks)
        reference.summarize()

    measured = numbers(truths, found, 4, masks=masks)

    assert measured == pytest.approx(reference.stats.tolist(), abs=1e-9)
    assert measured[0] > 0.02
    assert measured != pytest.approx(numbers(truths, found, 4), abs=1e-3)


def _ellipse(rng, box):
    y, x = np.mgrid[:400, :400]
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * rng.uniform(0.8, 1.1)
    inside = ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 1
    return rle.encode(np.asfortranarray(inside.astype(np.uint8)))


def test_perfect_detections_are_perfect():
    truths = [truth((A, 0), (B, 1)), truth()]
    found = [detections((A, 0, 0.9), (B, 1, 0.8)), detections()]

    measured = dict(zip(TWELVE, numbers(truths, found, 2), strict=True))

    # A is of 40², B of 60² pixels: both are medium.
    assert measured == pytest.approx(
        dict.fromkeys(TWELVE, 1.0) | dict.fromkeys(("ap_small", "ap_large"), -1.0)
        | dict.fromkeys(("ar_small", "ar_large"), -1.0)
    )  # fmt: skip


def test_without_true_objects_there_is_no_number():
    assert numbers([truth()], [detections((A, 0, 0.9))], 1) == [-1.0] * 12


def test_nothing_found_is_zero():
    assert numbers([truth((A, 0))], [detections()], 1)[:3] == [0.0] * 3


def test_a_crowd_takes_any_number_of_detections():
    """What is inside of it is neither right nor wrong."""
    truths = [truth((A, 0), ((90, 90, 300, 300), 0, "crowd"))]
    inside = [((100 + 10 * n, 100, 150 + 10 * n, 150), 0, 0.9) for n in range(5)]

    assert numbers(truths, [detections(*inside, (A, 0, 0.5))], 1)[0] == pytest.approx(1)


def test_a_difficult_object_counts_neither_when_found_nor_when_missed():
    truths = [truth((A, 0), (B, 0, "difficult"))]

    assert numbers(truths, [detections((B, 0, 0.9), (A, 0, 0.5))], 1)[0] == pytest.approx(1)
    assert numbers(truths, [detections((A, 0, 0.5))], 1)[0] == pytest.approx(1)


def test_a_second_detection_of_a_difficult_object_is_false():
    truths = [truth((A, 0), (B, 0, "difficult"))]
    found = [detections((B, 0, 0.9), (B, 0, 0.8), (A, 0, 0.5))]

    assert numbers(truths, found, 1)[0] == pytest.approx(0.5)


@pytest.mark.parametrize(("count", "limit"), [(0, 100), (100, 100), (101, 101), (700, 500)])
def test_more_detections_are_looked_at_where_an_image_has_more_objects_of_a_class(count, limit):
    assert choose_max_detections([truth(), truth(*[(A, 1)] * count)]) == limit


def test_objects_of_other_classes_need_no_more_detections():
    """The limit is on the detections of one class in an image."""
    assert choose_max_detections([truth(*[(A, 0)] * 80, *[(B, 1)] * 80)]) == 100


def test_ap_at_iou_has_all_ten_and_averages_to_ap():
    truths, found = make(5)

    metrics = coco_numbers(count_coco(pool(truths, found, 4)))

    ious = [one.iou for one in metrics.ap_at_iou]
    assert ious == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert np.mean([one.ap for one in metrics.ap_at_iou]) == pytest.approx(metrics.ap)
    assert metrics.ap_at_iou[5].ap == metrics.ap75


@pytest.mark.parametrize(
    ("truths", "found", "message"),
    [
        ([], [], "no image"),
        ([truth()], [], "1 images have truth, 0"),
        ([truth((A, 2))], [detections()], "a label is not in"),
        ([truth()], [detections((A, -1, 0.5))], "a label is not in"),
        ([truth()], [detections((A, 0, np.nan))], "not a finite number"),
        ([truth()], [detections(((0, 0, np.inf, 1), 0, 0.5))], "not a finite number"),
    ],
)
def test_what_cannot_be_measured_is_refused(truths, found, message):
    with pytest.raises(ValueError, match=message):
        pool(truths, found, 2)


def test_each_object_needs_its_mask():
    with pytest.raises(ValueError, match="one mask for each object"):
        pool([truth((A, 0))], [detections()], 1, Masks([[]], [[]]))
