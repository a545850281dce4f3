"""The half of instance segmentation that needs torch.

Shape letters: N images, K objects of an image, H height, W width, S side of the network's input, M
side of a mask as the network gives it, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from common.objects import masks
from common.objects import targets as objects
from common.objects.evaluation import quick_ap, score_thresholds
from common.objects.learner import ObjectLearner, nothing_to_find
from common.objects.targets import Detections, Truth
from common.training.learner import Calibration
from services.segmentation.instance import answers, evaluation, exporting
from services.segmentation.instance.architectures import instance_segmenters
from services.segmentation.instance.architectures.registry import MASK_SHIFT_PX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from common.masks.rle import Rle
    from common.objects.masks import Segmented


class InstanceLearner(ObjectLearner):
    """A target is a `Truth` with masks, an output `Detections` with masks, in the input's pixels.

    Validation keeps `Segmented` in pixels of the input, an evaluation in pixels of the image.
    """

    registry = instance_segmenters
    best_metric = "val_mask_ap"
    tie_break = "val_mask_ap50"
    slow_answers = True

    # Training.

    def target(self, annotation: Mapping[str, Any], width: int, height: int, size_px: int) -> Truth:
        """Put boxes and masks into the letterbox."""
        truth = objects.truth(annotation, (width, height))
        return objects.to_input(truth, width, height, size_px)

    def tensors(self, truth: Truth, size_px: int, device: torch.device) -> dict[str, Tensor]:
        """Return what a network takes as the objects of an image; masks are decoded only here."""
        masks_KSS = np.zeros((len(truth), size_px, size_px), np.uint8)
        for mask_SS, mask in zip(masks_KSS, _masks(truth), strict=True):
            masks.draw(mask, mask_SS)
        return super().tensors(truth, size_px, device) | {
            "masks": torch.from_numpy(masks_KSS).to(device)
        }

    # Inference.

    def forward(self, model: nn.Module, images_N3HW: Tensor) -> list[Detections]:
        """Return what is found in each image."""
        return [_detections(found) for found in model(images_N3HW)]

    def digest(self, output: Detections, target: Truth, class_count: int) -> Segmented:
        """See `services.segmentation.instance.evaluation`."""
        del class_count
        return evaluation.digest(output, target)

    condense = staticmethod(evaluation.condense)

    def validate(
        self, outputs: Sequence[Segmented], targets: Sequence[Truth], class_count: int
    ) -> dict[str, float]:
        """Return AP and AP50 of masks as COCO counts them, in the network's input.

        Without a true object to find there are none, and no epoch is better than another.
        """
        if nothing_to_find(targets):
            return {}
        found = [one.found for one in outputs]
        both = evaluation.masks_of(targets, outputs)
        measured = quick_ap(targets, found, class_count, masks=both)
        return {f"val_mask_{name}": value for name, value in measured.items()}

    def calibrate(
        self, outputs: Sequence[Segmented], targets: Sequence[Truth], class_count: int
    ) -> Calibration:
        """Find the score from which a mask counts, for each class: that of the best F1."""
        found = [one.found for one in outputs]
        both = evaluation.masks_of(targets, outputs)
        return Calibration(
            score_thresholds=score_thresholds(targets, found, class_count, masks=both)
        )

    measure = staticmethod(evaluation.measure)
    predict = staticmethod(answers.predict)
    draw = staticmethod(answers.draw)

    # Export.

    exportable = staticmethod(exporting.exportable)


def _detections(found: Mapping[str, Tensor]) -> Detections:
    boxes_K4 = found["boxes"].float().cpu().numpy()
    return Detections(
        boxes_K4=boxes_K4,
        labels_K=found["labels"].cpu().numpy(),
        scores_K=found["scores"].float().cpu().numpy(),
        masks_KMM=found["masks"][:, 0].float().cpu().numpy(),
        spans_K4=boxes_K4 + np.float32(MASK_SHIFT_PX),
    )


def _masks(truth: Truth) -> Sequence[Rle]:
    if truth.masks_K is None:
        raise ValueError("the objects have no masks")
    return list(truth.masks_K)
