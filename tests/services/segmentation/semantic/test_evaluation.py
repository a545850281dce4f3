"""What an evaluation of pixels consists of."""

import json
import tracemalloc

import numpy as np
import pytest
from pycocotools import mask as coco
from sklearn import metrics as sklearn_metrics

from common.masks.label_maps import VOID
from nocode.vision.v1 import model_pb2
from services.segmentation.semantic import annotation
from services.segmentation.semantic.evaluation import measure
from tests.services.segmentation.semantic.made_samples import Noise, sample, samples

CLASSES = ["sky", "sea", "ship", "gull"]
MODEL = model_pb2.Model(classes=CLASSES)
INTERVALS = {
    *("mean_iou", "pixel_accuracy", "mean_class_accuracy", "frequency_weighted_iou", "mean_dice"),
    *("micro_iou", "mean_boundary_iou", "mean_iou_per_image", "mean_dice_per_image"),
}


def evaluate(made, **options):
    return measure(made, MODEL, Noise(made), **options)


def labels_of(regions, height, width):
    """Lay the masks of regions on each other as pycocotools decodes them."""
    labels_HW = np.full((height, width), VOID)
    for region in regions:
        mask_HW = coco.decode({"size": [height, width], "counts": region["counts"].encode()})
        assert mask_HW.sum() == region["pixel_count"]
        assert region["class"] == CLASSES[region["label"]]
        assert (labels_HW[mask_HW == 1] == VOID).all()  # no pixel is of two regions
        labels_HW[mask_HW == 1] = region["label"]
    return labels_HW


def test_metrics_equal_scikit_learn_on_the_rows():
    """Whoever reads the rows, as JSON, gets the same numbers; images are not pooled by us alone."""
    evaluated = evaluate(samples())

    true, predicted, iou_of_images = [], [], []
    for row in map(json.loads, map(json.dumps, evaluated.rows)):
        true_HW = labels_of(row["truth"], row["height"], row["width"])
        predicted_HW = labels_of(row["regions"], row["height"], row["width"])
        assert (predicted_HW != VOID).all()
        is_known_HW = true_HW != VOID
        true.append(true_HW[is_known_HW])
        predicted.append(predicted_HW[is_known_HW])
        if is_known_HW.any():
            iou_of_images.append(
                sklearn_metrics.jaccard_score(true[-1], predicted[-1], average="macro")
            )
    true, predicted = np.concatenate(true), np.concatenate(predicted)
    found = evaluated.metrics.semantic_segmentation
    assert found.mean_iou == pytest.approx(
        sklearn_metrics.jaccard_score(true, predicted, average="macro")
    )
    assert found.mean_dice == pytest.approx(
        sklearn_metrics.f1_score(true, predicted, average="macro")
    )
    assert found.pixel_accuracy == pytest.approx(sklearn_metrics.accuracy_score(true, predicted))
    assert found.mean_class_accuracy == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(true, predicted)
    )
    assert found.frequency_weighted_iou == pytest.approx(
        sklearn_metrics.jaccard_score(true, predicted, average="weighted")
    )
    assert found.micro_iou == pytest.approx(
        sklearn_metrics.jaccard_score(true, predicted, average="micro")
    )
    assert found.mean_iou_per_image == pytest.approx(np.mean(iou_of_images))
    columns = [
        sklearn_metrics.jaccard_score(true, predicted, average=None),
        *sklearn_metrics.precision_recall_fscore_support(true, predicted),
    ]
    for one, (iou, precision, recall, f1, support) in zip(
        found.per_class, zip(*columns, strict=True), strict=True
    ):
        measured = [one.iou, one.precision, one.accuracy, one.dice, one.pixel_count]
        assert measured == pytest.approx([iou, precision, recall, f1, support])
    counts_CC = [list(row.counts) for row in found.confusion_matrix.rows]
    assert counts_CC == sklearn_metrics.confusion_matrix(true, predicted).tolist()


def test_every_field_by_hand():
    """A sky of 20×40 pixels over a sea of 20×40, of which the lowest row is taken for a ship.

    The band is a pixel wide, 2 % of a diagonal of 57. True sea has 116 pixels along its outline,
    found sea, a row less, 114. Both have the upper row of 40 and 18 at either side: 76.
    """
    true_HW = np.repeat([0, 1], 20)[:, None] * np.ones((1, 40), int)
    predicted_HW = true_HW.copy()
    predicted_HW[-1] = 2

    found = evaluate([sample(0, predicted_HW, true_HW)]).metrics.semantic_segmentation

    sky, sea, ship, gull = found.per_class
    assert (sky.iou, sky.boundary_iou, sky.pixel_count, sky.image_count) == (1, 1, 800, 1)
    assert (sea.iou, sea.accuracy, sea.precision) == (0.95, 0.95, 1)
    assert sea.boundary_iou == pytest.approx(76 / (116 + 114 - 76))
    assert (ship.iou, ship.dice, ship.precision, ship.boundary_iou) == (0, 0, 0, 0)
    assert (ship.accuracy, ship.pixel_count, ship.image_count) == (-1, 0, 0)
    assert [gull.iou, gull.dice, gull.accuracy, gull.precision, gull.boundary_iou] == [-1] * 5
    assert found.mean_iou == found.mean_iou_per_image == pytest.approx(1.95 / 3)
    assert found.mean_dice == found.mean_dice_per_image
    assert found.mean_class_accuracy == pytest.approx(1.95 / 2)
    assert found.mean_boundary_iou == pytest.approx((1 + 76 / 154) / 3)
    assert found.pixel_accuracy == pytest.approx(1560 / 1600)
    assert found.micro_iou == pytest.approx(1560 / 1640)


def test_rows_hold_regions_and_truth():
    """The largest first, each with the mean of its pixels' confidence; void is in none."""
    true_HW = [[1, 1, 0], [VOID, 1, 0]]
    predicted_HW = [[2, 2, 2], [0, 0, 2]]
    confidence_HW = np.array([[0.2, 0.4, 0.6], [1, 0.6, 0.8]])

    (row,) = evaluate([sample(7, predicted_HW, true_HW, confidence_HW)]).rows

    assert (row["index"], row["file"], row["width"], row["height"]) == (7, "7.jpg", 3, 2)
    assert [one["class"] for one in row["regions"]] == ["ship", "sky"]
    assert [one["mean_score"] for one in row["regions"]] == pytest.approx([0.5, 0.8])
    assert [one["pixel_count"] for one in row["truth"]] == [3, 2]
    assert (labels_of(row["truth"], 2, 3) == true_HW).all()
    assert (labels_of(row["regions"], 2, 3) == predicted_HW).all()


def test_it_has_every_part():
    evaluated = evaluate(samples(), seed=3)

    found = evaluated.metrics.semantic_segmentation
    assert set(found.confidence_intervals) == INTERVALS
    for name, interval in found.confidence_intervals.items():
        assert interval.low < getattr(found, name) < interval.high, name
    assert [one.class_name for one in found.per_class] == CLASSES
    assert list(found.confusion_matrix.class_names) == CLASSES
    assert [title for title, _ in evaluated.plots] == [
        "Confusion matrix",
        "Intersection over union by class",
        "Mean IoU of each image",
        "Worst images",
    ]
    again = evaluate(samples(), seed=3)
    assert again.metrics == evaluated.metrics
    assert again.plots == evaluated.plots


def test_an_image_of_void_has_no_numbers():
    """-1 stands where there is nothing to measure on, and there still are pictures."""
    zero_HW = np.zeros((8, 9), int)

    evaluated = evaluate([sample(0, zero_HW, zero_HW + VOID)])

    found = evaluated.metrics.semantic_segmentation
    assert {getattr(found, name) for name in INTERVALS} == {-1}
    assert not found.confidence_intervals
    assert [title for title, _ in evaluated.plots] == ["Confusion matrix", "Least certain images"]
    (row,) = evaluated.rows
    assert (len(row["regions"]), len(row["truth"])) == (1, 0)


def test_classes_dropped_from_the_annotation_are_void():
    """What an imported data set calls a class that the model lacks is not measured."""
    true_HW = np.repeat([0, 1], 10)[:, None] * np.ones((1, 20), int)
    made = sample(0, np.zeros_like(true_HW), true_HW)
    written = made.annotation
    written["labels"][written["labels"].index(1)] = None

    found = evaluate([made]).metrics.semantic_segmentation

    assert (annotation.read(written) == VOID).sum() == 200
    assert (found.pixel_accuracy, found.mean_iou) == (1, 1)
    assert found.per_class[1].pixel_count == 0


def test_no_more_than_an_image_is_in_memory_at_once():
    """Of twelve images more, half a megapixel or 1.5 MB each, no four are kept."""
    true_HW = np.repeat(np.arange(4), 125)[:, None] * np.ones((1, 1000), int)

    def peak(count):
        made = [sample(0, true_HW, true_HW) for _ in range(count)]
        tracemalloc.start()
        for _ in evaluate(made).rows:
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)  # what is loaded once, like type
    assert peak(24) < peak(12) + 6_000_000
