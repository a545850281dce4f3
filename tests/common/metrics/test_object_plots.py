"""Pictures of found objects: what they show is what was measured, and can be read."""

import numpy as np
import pytest

from common.metrics import object_plots, plots
from common.metrics.coco import count_coco
from common.metrics.object_confusion import confusion_matrix, judge
from common.metrics.object_curves import f1_curves
from common.metrics.object_matching import match
from common.metrics.object_pool import pool
from nocode.vision.v1 import evaluation_pb2 as pb
from tests.common.metrics.made_objects import make
from tests.common.metrics.reading import assert_readable, visible_texts


def names(class_count):
    return [f"kind {index}" for index in range(class_count)]


def prepared(class_count, image_count=60):
    truths, found = make(class_count, class_count=class_count, image_count=image_count)
    return pool(truths, found, class_count)


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


@pytest.mark.parametrize("class_count", [2, 10, 40])
def test_precision_recall_is_readable_and_shows_the_most_frequent_classes(drawn, class_count):
    objects = prepared(class_count)
    counts, support = count_coco(objects, areas=("all",)), objects.support().tolist()

    object_plots.precision_recall(counts, names(class_count), support)

    assert_readable(drawn[0])
    by_class, by_iou = drawn[0].axes
    shown = lines(by_class)
    # One class has no true object.
    assert len(shown) == min(class_count - 1, 10) + 1
    most = int(np.argmax(support))
    line = shown[f"kind {most}  {counts.ap_TC[0, most]:.3f}"]
    assert line.get_ydata().tolist() == counts.precision_TRCA[0, :, most, 0].tolist()
    ap50 = counts.ap_TC[0][np.array(support) > 0].mean()
    mean = shown[f"mean of all  {ap50:.3f}"].get_ydata()
    assert np.mean(mean) == pytest.approx(ap50)
    assert {text[:8] for text in lines(by_iou)} == {"IoU 0.50", "IoU 0.75", "IoU 0.90"}
    below = [text for text, _ in visible_texts(drawn[0])]
    assert any("the 10 of 39 classes" in text for text in below) == (class_count == 40)


@pytest.mark.parametrize("class_count", [2, 10, 40])
def test_f1_curves_are_readable_and_marked_at_the_thresholds_in_use(drawn, class_count):
    objects = prepared(class_count)
    curves = f1_curves(objects, match(objects, 100))
    thresholds = np.linspace(0.2, 0.7, class_count)

    object_plots.f1_curves(curves, names(class_count), thresholds)

    assert_readable(drawn[0])
    dots = [
        line.get_xydata()[0] for line in drawn[0].axes[0].get_lines() if line.get_marker() == "o"
    ]
    assert len(dots) == min(class_count - 1, 10)
    f1_at = {threshold: curve.at(np.array([threshold]))[0]
             for threshold, curve in zip(thresholds, curves, strict=True)}  # fmt: skip
    assert all(f1_at[x] == y for x, y in dots)


def test_bars_are_of_classes_with_true_objects_worst_first(drawn):
    classes = [
        pb.CocoMetrics.ClassMetrics(class_name=name, ap=ap, ap50=ap50, support=support)
        for name, ap, ap50, support in [("a", 0.5, 0.9, 4), ("b", -1, -1, 0), ("c", 0.25, 0.5, 2)]
    ]

    object_plots.ap_by_class(classes)

    assert_readable(drawn[0])
    bars = {
        made.get_label(): [bar.get_width() for bar in made] for made in drawn[0].axes[0].containers
    }
    assert bars == {"AP": [0.25, 0.5], "AP50": [0.5, 0.9]}
    texts = [text for text, _ in visible_texts(drawn[0])]
    assert "c (2)" in texts
    assert "Worst first; in brackets the number of true objects" in texts


@pytest.mark.parametrize("class_count", [1, 3, 12, 80, 81])
def test_the_confusion_matrix_with_background_is_readable(drawn, class_count):
    judged = judge(prepared(class_count), [0.3] * class_count)

    plots.confusion_matrix(confusion_matrix(judged, names(class_count)), counted="objects")

    assert_readable(drawn[0])
    texts = [text for text, _ in visible_texts(drawn[0])]
    assert any(" objects, " in text for text in texts)
    assert texts.count("background") == 2
