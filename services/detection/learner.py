"""The half of detection that needs torch.

Shape letters: N images, K objects of an image, C classes, H height, W width, S side of the
network's input, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from common.objects import targets as objects
from common.objects import tiling
from common.objects.checks import LEAST_SIDE_PX
from common.objects.evaluation import quick_ap, score_thresholds
from common.objects.targets import Detections, Truth
from common.training.learner import Calibration, Learner
from services.detection import answers, augmentation, evaluation, exporting
from services.detection.architectures import detectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from common.data.findings import Report
    from common.serving.tiles import Tile
    from common.training.learner import ImageSource, Measurement, Phase, Sample
    from nocode.vision.v1 import model_pb2, pipeline_pb2, prediction_pb2


class DetectionLearner(Learner):
    """A target is a `Truth`, an output `Detections`, both in pixels of the network's input."""

    registry = detectors
    best_metric = "val_ap"
    tie_break = "val_ap50"
    resize = "letterbox"
    # On noise, where arithmetic shows most. A YOLOX stays below; on images like those that it was
    # trained on, nine of ten scores in bf16 differ by 0.012 at most, and AP not measurably.
    tolerance = 0.02
    tiles = True

    # Training.

    def target(self, annotation: Mapping[str, Any], width: int, height: int, size_px: int) -> Truth:
        """Put the boxes into the letterbox."""
        return objects.to_input(objects.truth(annotation), width, height, size_px)

    def check_targets(self, targets: Sequence[Truth], size_px: int, report: Report) -> None:
        """Report objects that are too small to be seen at the size that images have."""
        tiny = 0
        for truth in targets:
            sides_K2 = truth.boxes_K4[:, 2:] - truth.boxes_K4[:, :2]
            tiny += int((sides_K2 < LEAST_SIDE_PX).all(axis=1).sum())
        report.add("OBJECTS_TINY", [], count=tiny, minimum_px=LEAST_SIDE_PX, size_px=size_px)

    def augment(
        self,
        images_N3HW: Tensor,
        targets: Sequence[Truth],
        phase: Phase,
        generators: Sequence[torch.Generator],
    ) -> tuple[Tensor, Sequence[Truth]]:
        """See `services.detection.augmentation`."""
        return augmentation.augment(images_N3HW, targets, phase, generators)

    def loss(
        self,
        model: nn.Module,
        images_N3HW: Tensor,
        targets: Sequence[Truth],
        config: pipeline_pb2.TrainingConfig,
        class_weights_C: Tensor | None,
    ) -> Tensor:
        """Return the sum of the detector's losses; crowds are not trained on.

        Some detectors average over the objects of a batch, as their papers do: the parts of a split
        batch then weigh their objects a little differently than the batch as a whole.
        """
        del config, class_weights_C
        device = images_N3HW.device
        losses = model(images_N3HW, [_trainable(truth, device) for truth in targets])
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    # Inference.

    def in_bf16(self, model: nn.Module) -> nn.Module:
        """Return the network with its convolutions in bf16: boxes need more than its 8 bits."""
        return _Autocast(model)

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
        if all((truth.crowd_K | truth.difficult_K).all() for truth in targets):
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

    def merge(
        self,
        outputs: Sequence[Detections],
        tiles: Sequence[Tile],
        model: model_pb2.Model,
        width: int,
        height: int,
    ) -> Detections:
        """See `common.objects.tiling`."""
        return tiling.merge(outputs, tiles, width, height, model.preprocessing.image_size_px)

    def draw(
        self, image_HW3: np.ndarray[Any, Any], prediction: prediction_pb2.Prediction
    ) -> np.ndarray[Any, Any]:
        """See `services.detection.answers`."""
        return answers.draw(image_HW3, prediction)

    def difference(
        self,
        outputs: Sequence[Detections],
        references: Sequence[Detections],
        model: model_pb2.Model,
    ) -> float:
        """See `services.detection.answers`."""
        del model
        return answers.difference(outputs, references)

    # Export.

    def exportable(
        self, network: nn.Module, model: model_pb2.Model
    ) -> tuple[nn.Module, tuple[str, ...]]:
        """See `services.detection.exporting`."""
        return exporting.exportable(network, model)


class _Autocast(nn.Module):
    """A network in fp32 that computes what bears it in bf16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_N3SS: Tensor) -> Any:
        """Answer for normalized images."""
        with torch.autocast(images_N3SS.device.type, dtype=torch.bfloat16):
            return self.network(images_N3SS.float())


def _trainable(truth: Truth, device: torch.device) -> dict[str, Tensor]:
    truth = truth.pick(~truth.crowd_K)
    return {
        "boxes": torch.from_numpy(truth.boxes_K4).to(device),
        "labels": torch.from_numpy(truth.labels_K).to(device),
    }
