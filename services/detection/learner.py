"""The half of detection that needs torch.

Shape letters: N images, K objects of an image, C classes, H height, W width, S side of the
network's input, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.objects import targets as objects
from common.objects.evaluation import quick_ap, score_thresholds
from common.objects.learner import ObjectLearner, nothing_to_find
from common.objects.targets import Detections, Truth
from common.training.learner import Calibration
from services.detection import answers, augmentation, evaluation, exporting
from services.detection.architectures import detectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn


class DetectionLearner(ObjectLearner):
    """A target is a `Truth`, an output `Detections`, both in pixels of the network's input."""

    registry = detectors
    best_metric = "val_ap"
    tie_break = "val_ap50"

    # Training.

    def target(self, annotation: Mapping[str, Any], width: int, height: int, size_px: int) -> Truth:
        """Put the boxes into the letterbox."""
        return objects.to_input(objects.truth(annotation), width, height, size_px)

    augment = staticmethod(augmentation.augment)

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

    measure = staticmethod(evaluation.measure)
    predict = staticmethod(answers.predict)
    draw = staticmethod(answers.draw)

    # Export.

    exportable = staticmethod(exporting.exportable)
