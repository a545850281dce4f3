"""The half of detection that needs torch.

Shape letters: N images, K objects of an image, C classes, H height, W width, S side of the
network's input, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from common.objects import targets as objects
from common.objects.evaluation import quick_ap, score_thresholds
from common.objects.learner import ObjectLearner, nothing_to_find
from common.objects.targets import Detections, Truth
from common.training.learner import Calibration
from services.detection import answers, augmentation, evaluation, exporting
from services.detection.architectures import detectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor, nn

    from common.training.learner import ImageSource, Measurement, Phase, Sample
    from nocode.vision.v1 import model_pb2, prediction_pb2


class DetectionLearner(ObjectLearner):
    """A target is a `Truth`, an output `Detections`, both in pixels of the network's input."""

    registry = detectors
    best_metric = "val_ap"
    tie_break = "val_ap50"

    # Training.

    def target(self, annotation: Mapping[str, Any], width: int, height: int, size_px: int) -> Truth:
        """Put the boxes into the letterbox."""
        return objects.to_input(objects.truth(annotation), width, height, size_px)

    def augment(
        self,
        images_N3HW: Tensor,
        targets: Sequence[Truth],
        phase: Phase,
        generators: Sequence[torch.Generator],
    ) -> tuple[Tensor, Sequence[Truth]]:
        """See `services.detection.augmentation`."""
        return augmentation.augment(images_N3HW, targets, phase, generators)

    # Inference.

    def forward(self, model: nn.Module, images_N3HW: Tensor) -> list[Detections]:
        """Return what is found in each image."""
        return [
            Detections(
                boxes_K4=found["boxes"].float().cpu().numpy(),
                labels_K=found["labels"].cpu().numpy(),
                scores_K=found["scores"].float().cpu().numpy(),
            )
            for found in model(images_N3HW)
        ]

    def validate(
        self, outputs: Sequence[Detections], targets: Sequence[Truth], class_count: int
    ) -> dict[str, float]:
        """Return AP and AP50 as COCO counts them, in the network's input.

        Without a true object to find there are none, and no epoch is better than another.
        """
        if nothing_to_find(targets):
            return {}
        found = quick_ap(targets, outputs, class_count)
        return {f"val_{name}": value for name, value in found.items()}

    def calibrate(
        self, outputs: Sequence[Detections], targets: Sequence[Truth], class_count: int
    ) -> Calibration:
        """Find the score from which a detection counts, for each class: that of the best F1."""
        return Calibration(score_thresholds=score_thresholds(targets, outputs, class_count))

    def measure(
        self,
        samples: Sequence[Sample],
        model: model_pb2.Model,
        image: ImageSource,
        *,
        seed: int = 0,
    ) -> Measurement:
        """See `services.detection.evaluation`."""
        return evaluation.measure(samples, model, image, seed=seed)

    def predict(
        self,
        output: Detections,
        model: model_pb2.Model,
        width: int,
        height: int,
        options: prediction_pb2.PredictOptions,
    ) -> prediction_pb2.Prediction:
        """See `services.detection.answers`."""
        return answers.predict(output, model, width, height, options)

    def draw(
        self, image_HW3: np.ndarray[Any, Any], prediction: prediction_pb2.Prediction
    ) -> np.ndarray[Any, Any]:
        """See `services.detection.answers`."""
        return answers.draw(image_HW3, prediction)

    # Export.

    def exportable(
        self, network: nn.Module, model: model_pb2.Model
    ) -> tuple[nn.Module, tuple[str, ...]]:
        """See `services.detection.exporting`."""
        return exporting.exportable(network, model)
