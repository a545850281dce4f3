"""What an evaluation of a detector consists of: metrics, plots, and a row for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.objects import evaluation, targets
from common.objects.worst import worst_images
from common.training.learner import Measurement
from nocode.vision.v1 import evaluation_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.training.learner import ImageSource, Sample
    from nocode.vision.v1 import model_pb2


def measure(
    samples: Sequence[Sample], model: model_pb2.Model, image: ImageSource, *, seed: int = 0
) -> Measurement:
    """Evaluate a detector on images whose objects are known.

    Args:
        samples: At least one; outputs are `Detections` in pixels of the network's input,
            annotations as in `common.objects.annotation`.
        model: Gives classes, score thresholds and the size of the network's input.
        image: Where the images of the sheet come from.
        seed: Of the bootstrap.

    Raises:
        Internal: The network gave something else than finite numbers.
    """
    evaluation.check_finite(samples, [sample.output.is_finite for sample in samples])
    classes = list(model.classes)
    size_px = model.preprocessing.image_size_px
    truths = [targets.truth(sample.annotation) for sample in samples]
    detections = [
        targets.to_image(sample.output, sample.width, sample.height, size_px) for sample in samples
    ]
    thresholds = evaluation.thresholds_of(model)
    found = evaluation.evaluate(truths, detections, classes, thresholds, seed=seed)
    metrics = evaluation_pb2.DetectionMetrics(box=found.metrics, confusion_matrix=found.confusion)
    return Measurement(
        metrics=evaluation_pb2.Evaluation(detection=metrics),
        plots=[
            *evaluation.draw_plots(found),
            worst_images(samples, found.verdicts, classes, image),
        ],
        rows=evaluation.rows(samples, detections, classes),
    )
