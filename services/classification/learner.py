"""The half of classification that needs torch.

Shape letters: N images, C classes, H height, W width, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from common.metrics.calibration import fit_temperature
from common.training.learner import Calibration, Learner
from services.classification import answers, augmentation, evaluation, exporting
from services.classification.architectures import classifiers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from common.training.learner import Phase
    from nocode.vision.v1 import model_pb2, pipeline_pb2


class ClassificationLearner(Learner):
    """A target is the index of the class, an output the logits (C,)."""

    registry = classifiers
    best_metric = "val_accuracy"
    tie_break = "val_loss"

    # Training.

    def target(self, annotation: Mapping[str, Any], width: int, height: int, size_px: int) -> int:
        """Return the label; it does not depend on sizes."""
        del width, height, size_px
        return int(annotation["label"])

    def augment(
        self,
        images_N3HW: Tensor,
        targets: Sequence[int],
        phase: Phase,
        generators: Sequence[torch.Generator],
    ) -> tuple[Tensor, Sequence[int]]:
        """Vary images; their classes stay as they are."""
        return augmentation.augment(images_N3HW, phase.level, generators), targets

    def loss(
        self,
        model: nn.Module,
        images_N3HW: Tensor,
        targets: Sequence[int],
        config: pipeline_pb2.TrainingConfig,
        class_weights_C: Tensor | None,
    ) -> Tensor:
        """Return the cross-entropy, each image weighed as its class."""
        logits_NC = model(images_N3HW)
        label_N = torch.tensor(targets, device=logits_NC.device)
        losses_N = functional.cross_entropy(
            logits_NC.float(), label_N, label_smoothing=config.label_smoothing, reduction="none"
        )
        if class_weights_C is not None:
            losses_N = losses_N * class_weights_C[label_N]
        return losses_N.mean()

    # Inference.

    def forward(self, model: nn.Module, images_N3HW: Tensor) -> list[Tensor]:
        """Return the logits of each image."""
        return list(model(images_N3HW).float().cpu())

    def validate(
        self, outputs: Sequence[Tensor], targets: Sequence[int], class_count: int
    ) -> dict[str, float]:
        """Return accuracy, and the cross-entropy without label smoothing or weights."""
        del class_count
        logits_NC, label_N = torch.stack(list(outputs)), torch.tensor(targets)
        return {
            "val_accuracy": (logits_NC.argmax(dim=1) == label_N).double().mean().item(),
            "val_loss": functional.cross_entropy(logits_NC, label_N).item(),
        }

    def calibrate(
        self, outputs: Sequence[Tensor], targets: Sequence[int], class_count: int
    ) -> Calibration:
        """Fit the temperature."""
        del class_count
        return Calibration(temperature=fit_temperature(torch.stack(list(outputs)), targets))

    measure = staticmethod(evaluation.measure)
    predict = staticmethod(answers.predict)
    draw = staticmethod(answers.draw)

    def difference(
        self, outputs: Sequence[Tensor], references: Sequence[Tensor], model: model_pb2.Model
    ) -> float:
        """Return the largest one of an image; see `services.classification.answers`."""
        pairs = zip(outputs, references, strict=True)
        return max(answers.difference(output, reference, model) for output, reference in pairs)

    # Export.

    exportable = staticmethod(exporting.exportable)
