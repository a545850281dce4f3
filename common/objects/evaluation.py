"""What an evaluation of found objects consists of, by boxes or by masks.

Shape letters: C classes, D detections and G true objects of all images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.errors import Internal
from common.masks import rle
from common.metrics import object_plots, plots
from common.metrics.coco import (
    CocoCounts,
    choose_max_detections,
    coco_numbers,
    count_coco,
    mean_where_true,
)
from common.metrics.object_confusion import Verdicts, confusion_matrix, judge
from common.metrics.object_curves import FALLBACK_THRESHOLD, F1Curve, f1_curves
from common.metrics.object_intervals import ap_intervals
from common.metrics.object_matching import match
from common.metrics.object_pool import pool
from common.reasons import Reason
from nocode.vision.v1 import evaluation_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from common.masks.rle import Rle
    from common.metrics.object_pool import Masks
    from common.objects.targets import Detections, Truth
    from common.training.learner import Sample
    from nocode.vision.v1 import model_pb2


@dataclass(frozen=True)
class ObjectEvaluation:
    """How well objects are found.

    Attributes:
        metrics: All of it, with intervals if they were asked for.
        confusion: At IoU 0.50 and the model's score thresholds, with background.
        counts: What precision-recall curves are drawn from.
        curves: F1 against the score threshold, for each class.
        verdicts: What became of each object at the thresholds.
    """

    metrics: pb.CocoMetrics
    confusion: pb.ConfusionMatrix
    counts: CocoCounts
    curves: Sequence[F1Curve]
    verdicts: Verdicts


def check_finite(samples: Sequence[Sample], is_finite: Sequence[bool]) -> None:
    """Check that what a network gave for images is numbers.

    Args:
        samples: The images.
        is_finite: For each, whether it is.

    Raises:
        Internal: It is not; some image is named.
    """
    bad = [sample.file for sample, fine in zip(samples, is_finite, strict=True) if not fine]
    if bad:
        raise Internal(
            Reason.DIVERGED,
            f"The model's answer for {len(bad)} of {len(samples)} images, e.g. {bad[0]}, is not "
            "finite. Train it again, with a lower learning rate.",
            example=bad[0],
        )


def evaluate(
    truths: Sequence[Truth],
    detections: Sequence[Detections],
    class_names: Sequence[str],
    score_thresholds: Sequence[float],
    *,
    masks: Masks | None = None,
    seed: int | None = 0,
) -> ObjectEvaluation:
    """Measure what was found in images against what is there.

    Args:
        truths: What each image holds; at least one image.
        detections: What was found in it, all scores; boxes in the same pixels, those of the image
            as sent, since COCO's small, medium and large objects are so in them.
        class_names: In the order of labels.
        score_thresholds: What the model uses for each class, for the confusion matrix.
        masks: Given if masks are to be measured instead of boxes.
        seed: Of the bootstrap; no intervals if it is None.

    Raises:
        ValueError: See `common.metrics.object_pool.pool`.
    """
    objects = pool(truths, detections, len(class_names), masks)
    max_detections = choose_max_detections(truths)
    counts = count_coco(objects, max_detections)
    matches = match(objects, max_detections)
    curves = f1_curves(objects, matches)
    metrics = coco_numbers(counts)
    metrics.max_detections = max_detections
    for name, ap_T, curve in zip(class_names, counts.ap_TC.T, curves, strict=True):
        best_f1, threshold = curve.best
        metrics.per_class.add(
            class_name=name,
            ap=ap_T.mean(),
            ap50=ap_T[0],
            support=curve.support,
            best_f1=best_f1,
            best_f1_threshold=threshold,
        )
    if seed is not None:
        measured = {"ap": metrics.ap, "ap50": metrics.ap50, "ap75": metrics.ap75}
        for name, (low, high) in ap_intervals(objects, matches, measured, seed=seed).items():
            metrics.confidence_intervals[name].low = low
            metrics.confidence_intervals[name].high = high
    verdicts = judge(objects, score_thresholds)
    return ObjectEvaluation(
        metrics, confusion_matrix(verdicts, class_names), counts, curves, verdicts
    )


def quick_ap(
    truths: Sequence[Truth],
    detections: Sequence[Detections],
    class_count: int,
    *,
    masks: Masks | None = None,
) -> dict[str, float]:
    """Return `ap` and `ap50` alone, as `evaluate` does; -1 if there is no true object."""
    objects = pool(truths, detections, class_count, masks)
    ap_TC = count_coco(objects, choose_max_detections(truths), areas=("all",)).ap_TC
    return {"ap": mean_where_true(ap_TC), "ap50": mean_where_true(ap_TC[0])}


def score_thresholds(
    truths: Sequence[Truth],
    detections: Sequence[Detections],
    class_count: int,
    *,
    masks: Masks | None = None,
) -> tuple[float, ...]:
    """Find the score from which a detection should count, for each class: that of the best F1.

    F1 is that at IoU 0.50 of the detections with `score >= threshold`; see `F1Curve.best`. A class
    that has no true object, or is never found, has `FALLBACK_THRESHOLD`.
    """
    objects = pool(truths, detections, class_count, masks)
    matches = match(objects, choose_max_detections(truths))
    return tuple(curve.best[1] for curve in f1_curves(objects, matches))


def thresholds_of(model: model_pb2.Model) -> list[float]:
    """Return a model's score thresholds, or the fallback for each class if it has none."""
    return list(model.score_thresholds) or [FALLBACK_THRESHOLD] * len(model.classes)


def draw_plots(
    found: ObjectEvaluation, *, of: str = "", with_matrix: bool = True
) -> list[tuple[str, bytes]]:
    """Draw an evaluation; each picture has its title. Without true objects only the matrix.

    Args:
        found: The evaluation.
        of: What comes after a title, e.g. ` of masks`.
        with_matrix: Whether the confusion matrix is drawn.
    """
    classes = found.metrics.per_class
    drawn: list[tuple[str, bytes]] = []
    if any(one.support for one in classes):
        names, support = [one.class_name for one in classes], [one.support for one in classes]
        thresholds = found.verdicts.score_thresholds
        drawn = [
            ("Precision and recall", object_plots.precision_recall(found.counts, names, support)),
            ("F1 against score threshold", object_plots.f1_curves(found.curves, names, thresholds)),
            ("Average precision by class", object_plots.ap_by_class(classes)),
        ]
    if with_matrix:
        matrix = plots.confusion_matrix(found.confusion, counted="true or falsely seen objects")
        drawn.append(("Confusion matrix", matrix))
    return [(title + of, picture) for title, picture in drawn]


def rows(
    samples: Sequence[Sample],
    detections: Sequence[Detections],
    class_names: Sequence[str],
    *,
    masks: Sequence[Sequence[Rle]] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield what was found in each image, all scores, and what is there.

    Numbers are not rounded: whoever measures them gets the metrics to the last digit. `counts` are
    masks as COCO writes them, of the image's size.

    Args:
        samples: The images.
        detections: What was found in each.
        class_names: In the order of labels.
        masks: For each image those of what was found, if there are any.
    """
    for number, (sample, found) in enumerate(zip(samples, detections, strict=True)):
        columns = (found.labels_K.tolist(), found.scores_K.tolist(), found.boxes_K4.tolist())
        objects = [
            {"label": label, "class": class_names[label], "score": score, "box": box}
            for label, score, box in zip(*columns, strict=True)
        ]
        truth = [
            {**one, "class": class_names[one["label"]]} for one in sample.annotation["objects"]
        ]
        if masks is not None:
            for one, mask in zip(objects, masks[number], strict=True):
                one["counts"] = rle.text_of(mask)
            for one in truth:
                one["counts"] = one.pop("mask")
        yield {
            "index": sample.index,
            "file": sample.file,
            "width": sample.width,
            "height": sample.height,
            "objects": objects,
            "truth": truth,
        }
