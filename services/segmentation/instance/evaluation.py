"""What an evaluation of an instance segmenter consists of: metrics, plots, and a row an image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from common.metrics.object_pool import Masks
from common.objects import evaluation, masks, targets
from common.objects.worst import worst_images
from common.training.learner import Measurement
from nocode.vision.v1 import evaluation_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.objects.masks import Segmented
    from common.objects.targets import Detections, Truth
    from common.training.learner import ImageSource, Sample
    from nocode.vision.v1 import model_pb2


def condense(output: Detections, model: model_pb2.Model, width: int, height: int) -> Segmented:
    """Lay what was found on its image: masks as they are measured, and a tenth as large."""
    found = targets.to_image(output, width, height, model.preprocessing.image_size_px)
    return masks.settle(found, width, height, is_finite=output.is_finite)


def digest(output: Detections, target: Truth) -> Segmented:
    """Lay what was found on the network's input, as far as validation needs it.

    Masks have the size of the true ones. Without any, nothing is compared with them, and the least
    size will do that holds them all.
    """
    if target.masks_K is not None and len(target):
        height, width = target.masks_K[0]["size"]
    else:
        width, height = (
            max(1, int(side)) for side in output.boxes_K4[:, 2:].max(axis=0, initial=1.0) + 1
        )
    return masks.settle(output, width, height)


def masks_of(truths: Sequence[Truth], found: Sequence[Segmented]) -> Masks:
    """Put the masks of images where the metrics want them."""
    return Masks(
        true=[[] if one.masks_K is None else list(one.masks_K) for one in truths],
        found=[one.masks_K for one in found],
    )


def measure(
    samples: Sequence[Sample], model: model_pb2.Model, image: ImageSource, *, seed: int = 0
) -> Measurement:
    """Evaluate a network on images whose objects are known, by boxes and by masks.

    Boxes are measured against the true boxes. What is small, medium or large is so by the area of
    the true mask, for both.

    Args:
        samples: At least one; outputs are as `condense` makes them, annotations as in
            `common.objects.annotation`, with masks.
        model: Gives classes and score thresholds.
        image: Where the images of the sheet come from.
        seed: Of the bootstrap.

    Raises:
        Internal: The network gave something else than finite numbers.
    """
    evaluation.check_finite(samples, [sample.output.is_finite for sample in samples])
    classes, thresholds = list(model.classes), evaluation.thresholds_of(model)
    truths = [targets.truth(one.annotation, (one.width, one.height)) for one in samples]
    outputs = [sample.output for sample in samples]
    found = [output.found for output in outputs]
    by_box = evaluation.evaluate(
        [replace(one, masks_K=None) for one in truths], found, classes, thresholds, seed=seed
    )
    by_mask = evaluation.evaluate(
        truths, found, classes, thresholds, masks=masks_of(truths, outputs), seed=seed
    )
    metrics = evaluation_pb2.InstanceSegmentationMetrics(
        box=by_box.metrics, mask=by_mask.metrics, confusion_matrix=by_mask.confusion
    )
    return Measurement(
        metrics=evaluation_pb2.Evaluation(instance_segmentation=metrics),
        plots=[
            *evaluation.draw_plots(by_mask, of=" of masks"),
            *evaluation.draw_plots(by_box, of=" of boxes", with_matrix=False),
            worst_images(samples, by_mask.verdicts, classes, image),
        ],
        rows=evaluation.rows(samples, found, classes, masks=[output.masks_K for output in outputs]),
    )
