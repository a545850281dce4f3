"""An evaluation as tables."""

import pytest

from client import console, evaluations
from nocode.vision.v1 import evaluation_pb2
from tests.client.test_display import NAMES


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Tables that fold nothing."""
    monkeypatch.setattr(console.out, "width", 200)


@pytest.mark.parametrize("name", NAMES)
def test_an_evaluation_shows_its_classes_as_they_are(name, capsys):
    """In the row of each."""
    metrics = evaluation_pb2.ClassificationMetrics()
    metrics.per_class.add(class_name=name)

    evaluations.evaluation(evaluation_pb2.Evaluation(subset=name, classification=metrics))

    shown = capsys.readouterr().out
    assert f"0 images ({name})" in shown
    assert shown.count(name) == 2


def test_an_evaluation_of_a_detector_shows_every_metric_and_every_class(capsys):
    """With its interval; -1 is what COCO says where there is nothing to measure on."""
    box = evaluation_pb2.CocoMetrics(ap=0.4321, ap50=0.7654, ap75=0.5, ap_small=-1, ar_100=0.6)
    box.confidence_intervals["ap50"].low = 0.7111
    box.confidence_intervals["ap50"].high = 0.8222
    box.per_class.add(
        class_name="platelet", ap=0.25, ap50=0.625, support=36, best_f1=0.875, best_f1_threshold=0.4
    )
    box.per_class.add(class_name="unseen", ap=-1, ap50=-1)
    measured = evaluation_pb2.Evaluation(
        subset="test", image_count=12, detection=evaluation_pb2.DetectionMetrics(box=box)
    )

    evaluations.evaluation(measured)

    rows = {
        cells[0]: cells[1:]
        for line in capsys.readouterr().out.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("│┃").split("│")]) > 1
    }
    assert rows["box.ap"] == ["0.4321", ""]
    assert rows["box.ap50"] == ["0.7654", "0.7111 – 0.8222"]
    assert rows["box.ap_small"][0] == "–"
    assert rows["platelet"] == ["0.2500", "0.6250", "36", "0.8750", "0.4000"]
    assert rows["unseen"][:3] == ["–", "–", "0"]


def rows_of(shown):
    """Rows of all tables by their first cell, without lines and headings."""
    return {
        cells[0]: cells[1:]
        for line in shown.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("│┃").split("│")]) > 1
    }


def test_an_evaluation_of_pixels_shows_every_metric_and_every_class(capsys):
    """-1 is where there is nothing to measure on."""
    metrics = evaluation_pb2.SemanticSegmentationMetrics(
        mean_iou=0.6123, pixel_accuracy=0.9, mean_class_accuracy=0.7, mean_dice=0.75,
        mean_boundary_iou=0.4,
    )  # fmt: skip
    metrics.confidence_intervals["mean_iou"].low = 0.5
    metrics.confidence_intervals["mean_iou"].high = 0.7
    metrics.per_class.add(
        class_name="window", iou=0.5, dice=0.6667, accuracy=0.8, pixel_count=1234, precision=0.25,
        boundary_iou=0.125, image_count=7,
    )  # fmt: skip
    metrics.per_class.add(class_name="car", iou=-1, dice=-1, accuracy=-1)
    measured = evaluation_pb2.Evaluation(subset="test", semantic_segmentation=metrics)

    evaluations.evaluation(measured)

    rows = rows_of(capsys.readouterr().out)
    assert rows["mean_iou"] == ["0.6123", "0.5000 – 0.7000"]
    assert rows["pixel_accuracy"][0] == "0.9000"
    assert rows["mean_class_accuracy"][0] == "0.7000"
    assert rows["mean_dice"][0] == "0.7500"
    assert rows["mean_boundary_iou"][0] == "0.4000"
    assert rows["window"] == ["0.5000", "0.6667", "0.8000", "1234", "0.2500", "0.1250", "7"]
    assert rows["car"][:3] == ["–", "–", "–"]
    assert evaluations.headline(measured) == "mean_iou 0.6123"


def test_boxes_and_masks_are_side_by_side(capsys):
    """Each with its interval; and class by class."""
    measured = evaluation_pb2.Evaluation(subset="test", image_count=12)
    box, mask = measured.instance_segmentation.box, measured.instance_segmentation.mask
    box.ap, box.ap50, box.ap_small, mask.ap, mask.ap50, mask.ap_small = 0.5, 0.75, -1, 0.4, 0.7, 0.1
    mask.confidence_intervals["ap"].low, mask.confidence_intervals["ap"].high = 0.35, 0.45
    box.per_class.add(class_name="window", ap=0.5, ap50=0.75, support=36, best_f1=0.9)
    mask.per_class.add(
        class_name="window", ap=0.4, ap50=0.7, support=36, best_f1=0.875, best_f1_threshold=0.3
    )

    evaluations.evaluation(measured)

    shown = capsys.readouterr().out
    rows = rows_of(shown)
    assert rows["ap"] == ["0.5000", "", "0.4000", "0.3500 – 0.4500"]
    assert rows["ap50"] == ["0.7500", "", "0.7000", ""]
    assert rows["ap_small"] == ["–", "", "0.1000", ""]
    assert rows["window"] == [
        "36", "0.5000", "0.4000", "0.7500", "0.7000", "0.9000", "0.8750", "0.0000", "0.3000",
    ]  # fmt: skip
    headings = next(line for line in shown.splitlines() if "box ap50" in line)
    assert [cell.strip() for cell in headings.strip("┃").split("┃")][2:6] == [
        "box ap", "mask ap", "box ap50", "mask ap50",
    ]  # fmt: skip


def test_of_objects_with_masks_the_masks_matter_most():
    """Their AP is what a list of models shows."""
    measured = evaluation_pb2.Evaluation()
    measured.instance_segmentation.box.ap = 0.5
    measured.instance_segmentation.mask.ap = 0.4

    assert evaluations.headline(measured) == "mask ap 0.4000"
    assert evaluations.headline(evaluation_pb2.Evaluation()) == ""
