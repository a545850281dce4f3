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

    import numpy as np
    from torch import Tensor, nn

    from common.training.learner import ImageSource, Measurement, Phase, Sample
    from nocode.vision.v1 import model_pb2, pipeline_pb2, prediction_pb2


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

    def measure(
        self,
        samples: Sequence[Sample],
        model: model_pb2.Model,
        image: ImageSource,
        *,
        seed: int = 0,
    ) -> Measurement:
        """See `services.classification.evaluation`."""
        return evaluation.measure(samples, model, image, seed=seed)

    def predict(
        self,
        output: Tensor,
        model: model_pb2.Model,
        width: int,
        height: int,
        options: prediction_pb2.PredictOptions,
    ) -> prediction_pb2.Prediction:
        """See `services.classification.answers`."""
        return answers.predict(output, model, width, height, options)

    def draw(
        self, image_HW3: np.ndarray[Any, Any], prediction: prediction_pb2.Prediction
    ) -> np.ndarray[Any, Any]:
        """See `services.classification.answers`."""
        return answers.draw(image_HW3, prediction)

    def difference(
        self, outputs: Sequence[Tensor], references: Sequence[Tensor], model: model_pb2.Model
    ) -> float:
        """Return the largest one of an image; see `services.classification.answers`."""
        pairs = zip(outputs, references, strict=True)
        return max(answers.difference(output, reference, model) for output, reference in pairs)

    # Export.

    def exportable(
        self, network: nn.Module, model: model_pb2.Model
    ) -> tuple[nn.Module, tuple[str, ...]]:
        """See `services.classification.exporting`."""
        return exporting.exportable(network, model)
