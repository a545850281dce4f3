"""What an evaluation of pixels consists of: metrics, plots, and a row for each image.

Images are looked at one by one: of each only counts are kept.

Shape letters: N images, C classes, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from common.masks import rle
from common.masks.label_maps import VOID
from common.metrics import semantic_plots
from common.metrics.semantic import mean_of_some
from common.metrics.semantic_intervals import semantic_intervals
from common.metrics.semantic_pool import SemanticPool
from common.training.learner import Measurement
from nocode.vision.v1 import evaluation_pb2 as pb
from services.segmentation.semantic import annotation
from services.segmentation.semantic.outputs import CERTAIN
from services.segmentation.semantic.worst import worst_images

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from common.training.learner import ImageSource, Sample
    from nocode.vision.v1 import model_pb2

MISSING = -1.0
"""What stands where there is nothing to measure on."""


def measure(
    samples: Sequence[Sample], model: model_pb2.Model, image: ImageSource, *, seed: int = 0
) -> Measurement:
    """Evaluate a model on images of whose pixels the classes are known.

    Args:
        samples: At least one; outputs are `PixelClasses`, annotations as in
            `services.segmentation.semantic.annotation`, both of the image's own size.
        model: Gives classes.
        image: Where the images of the sheet come from.
        seed: Of the bootstrap.

    Raises:
        ValueError: See `common.metrics.semantic.confusion`.
    """
    classes = list(model.classes)
    pool = SemanticPool(len(classes))
    confidence_N = np.zeros(len(samples))
    for number, sample in enumerate(samples):
        pool.add(sample.output.labels.unpack(), annotation.read(sample.annotation))
        confidence_N[number] = sample.output.confidence_HW.mean() / CERTAIN
    metrics = semantic_metrics(pool, classes, seed=seed)
    plots = [("Confusion matrix", semantic_plots.confusion_matrix(metrics.confusion_matrix))]
    if pool.confusion_CC.any():
        plots += [
            ("Intersection over union by class", semantic_plots.iou_by_class(metrics.per_class)),
            ("Mean IoU of each image", semantic_plots.iou_per_image(pool.mean_iou_N())),
        ]
    return Measurement(
        metrics=pb.Evaluation(semantic_segmentation=metrics),
        plots=[*plots, worst_images(samples, pool, confidence_N, classes, image)],
        rows=_rows(samples, classes),
    )


def semantic_metrics(
    pool: SemanticPool, class_names: Sequence[str], *, seed: int = 0
) -> pb.SemanticSegmentationMetrics:
    """Measure counted pixels.

    Args:
        pool: Those of at least one image.
        class_names: The C names.
        seed: Of the bootstrap.
    """
    areas, along = pool.areas, pool.boundary_areas
    metrics = pb.SemanticSegmentationMetrics(
        mean_iou=_number(areas.mean_iou),
        pixel_accuracy=_number(areas.pixel_accuracy),
        mean_class_accuracy=_number(areas.mean_class_accuracy),
        frequency_weighted_iou=_number(areas.frequency_weighted_iou),
        mean_dice=_number(areas.mean_dice),
        mean_boundary_iou=_number(along.mean_iou),
        micro_iou=_number(areas.micro_iou),
        mean_iou_per_image=_number(mean_of_some(pool.mean_iou_N())),
        mean_dice_per_image=_number(mean_of_some(pool.mean_dice_N())),
        confusion_matrix=pb.ConfusionMatrix(
            class_names=class_names,
            rows=[pb.ConfusionMatrix.Row(counts=row) for row in pool.confusion_CC.tolist()],
        ),
    )
    columns = (
        areas.iou_C,
        areas.dice_C,
        areas.accuracy_C,
        areas.precision_C,
        along.iou_C,
        areas.true_C,
        pool.image_count_C,
    )
    for name, iou, dice, accuracy, precision, boundary_iou, pixel_count, image_count in zip(
        class_names, *columns, strict=True
    ):
        metrics.per_class.add(
            class_name=name,
            iou=_number(iou),
            dice=_number(dice),
            accuracy=_number(accuracy),
            precision=_number(precision),
            boundary_iou=_number(boundary_iou),
            pixel_count=int(pixel_count),
            image_count=int(image_count),
        )
    for name, (low, high) in semantic_intervals(pool, seed=seed).items():
        metrics.confidence_intervals[name].low = low
        metrics.confidence_intervals[name].high = high
    return metrics


def _number(value: Any) -> float:
    return MISSING if np.isnan(value) else float(value)


def _rows(samples: Sequence[Sample], class_names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the regions that were predicted in each image, and those that are there."""
    for sample in samples:
        predicted_HW = sample.output.labels.unpack()
        yield {
            "index": sample.index,
            "file": sample.file,
            "width": sample.width,
            "height": sample.height,
            "regions": list(_regions(predicted_HW, class_names, sample.output.confidence_HW)),
            "truth": list(_regions(annotation.read(sample.annotation), class_names)),
        }


def _regions(
    labels_HW: NDArray[np.int16],
    class_names: Sequence[str],
    confidence_HW: NDArray[np.uint8] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield each class of an image, the largest first, with its mask."""
    count_C = np.bincount(labels_HW.ravel() - VOID, minlength=len(class_names) + 1)[1:]
    # Runs go down the columns, so each class is found faster if these lie in memory one by one.
    labels_HW = np.asfortranarray(labels_HW)
    if confidence_HW is not None:
        confidence_HW = np.asfortranarray(confidence_HW)
    for label in np.argsort(-count_C, kind="stable").tolist():
        if not count_C[label]:
            return
        is_it_HW = labels_HW == label
        region = {"label": label, "class": class_names[label], "pixel_count": int(count_C[label])}
        if confidence_HW is not None:
            region["mean_score"] = float(confidence_HW.T[is_it_HW.T].mean() / CERTAIN)
        region["counts"] = rle.text_of(rle.encode(is_it_HW))
        yield region
