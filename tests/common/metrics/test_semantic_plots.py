"""Pictures of how well pixels are classified."""

import warnings

import numpy as np
import pytest

from common.metrics import semantic_plots
from nocode.vision.v1 import evaluation_pb2 as pb
from tests.common.metrics.reading import assert_readable, pixels, visible_texts

ClassMetrics = pb.SemanticSegmentationMetrics.ClassMetrics


def classes(count):
    rng = np.random.default_rng(count)
    return [
        ClassMetrics(
            class_name=f"kind {index}",
            iou=rng.random(),
            accuracy=rng.random(),
            boundary_iou=rng.random(),
            pixel_count=int(10 ** rng.uniform(0, 9)),
        )
        for index in range(count)
    ]


def texts(figure):
    return [text for text, _ in visible_texts(figure)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (9_949, "9.9k"),
        (9_960, "10k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
        (123_456_789, "123M"),
        (2 * 10**12, "2.0T"),
        (5 * 10**15, "5000T"),
    ],
)
def test_numbers_of_pixels_are_short(count, expected):
    assert semantic_plots.short(count) == expected


@pytest.mark.parametrize("count", [1, 2, 11, 40, 100])
def test_bars_are_readable(drawn, count):
    png = semantic_plots.iou_by_class(classes(count))

    assert_readable(drawn[0])
    assert max(pixels(png).shape) < 2500


def test_bars_of_many_long_names_are_readable(drawn):
    """What stands over them is not as wide as if names were short."""
    many = classes(129)
    for index, one in enumerate(many):
        one.class_name = f"{index}: what is to be seen in the picture"

    semantic_plots.iou_by_class(many)

    assert_readable(drawn[0])


def test_bars_leave_out_classes_that_are_nowhere(drawn):
    """And show one that is only predicted, with its IoU of 0."""
    nowhere = ClassMetrics(class_name="nowhere", iou=-1, accuracy=-1, boundary_iou=-1)
    wrong = ClassMetrics(class_name="wrong", iou=0, accuracy=-1, boundary_iou=0)

    semantic_plots.iou_by_class([nowhere, wrong, *classes(2)])

    shown = texts(drawn[0])
    assert "wrong (0)" in shown
    assert "0.000" in shown
    assert not [text for text in shown if "nowhere" in text]


@pytest.mark.parametrize("count", [2, 11, 25])
def test_confusion_matrix_of_millions_of_pixels_is_readable(drawn, count):
    counts = (10 ** np.random.default_rng(count).uniform(0, 9.5, (count, count))).astype(int)
    matrix = pb.ConfusionMatrix(
        class_names=[f"kind {index}" for index in range(count)],
        rows=[pb.ConfusionMatrix.Row(counts=row) for row in counts.tolist()],
    )

    semantic_plots.confusion_matrix(matrix)

    assert_readable(drawn[0])


def test_confusion_matrix_counts_pixels(drawn):
    rows = [[3_000_000, 1_000_000], [0, 20]]
    matrix = pb.ConfusionMatrix(
        class_names=["sky", "sea"], rows=[pb.ConfusionMatrix.Row(counts=row) for row in rows]
    )

    semantic_plots.confusion_matrix(matrix)

    assert {"3.0M\n75%", "1.0M\n25%", "20\n100%"} <= set(texts(drawn[0]))
    assert "4,000,020 pixels, 3,000,020 on the diagonal are right" in texts(drawn[0])


@pytest.mark.parametrize("count", [1, 2, 30, 5000])
def test_spread_over_images_is_readable(drawn, count):
    """Without a warning, whether it is one image or thousands."""
    value_N = np.random.default_rng(count).beta(5, 2, count)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = semantic_plots.iou_per_image(value_N)

    assert_readable(drawn[0])
    assert semantic_plots.iou_per_image(value_N) == first


def test_spread_is_that_of_images_that_have_a_value(drawn):
    semantic_plots.iou_per_image(np.array([0.22, 0.32, 0.96, np.nan]))

    upper = drawn[0].axes[0]
    heights = [bar.get_height() for bar in upper.patches]
    assert sum(heights) == 3
    assert heights[4] == heights[6] == heights[19] == 1  # of 0.05 each, from 0
    shown = " ".join(texts(drawn[0]))
    assert "Of 3 images" in shown
    assert "Mean 0.500" in shown
    assert "Median 0.320" in shown
