"""The half of a task that needs torch: what training, evaluation and prediction ask of it.

Shape letters: N images, C classes, H height, W width, 3 colours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    import torch
    from torch import Tensor, nn

    from common.architectures import Registry
    from nocode.vision.v1 import evaluation_pb2, model_pb2, pipeline_pb2, prediction_pb2

Target = Any
"""What an image should be given, as the task's loss wants it; for classification an int."""

Output = Any
"""What the network says of one image, on the CPU; for classification logits (C,), float32."""


@dataclass(frozen=True)
class Calibration:
    """What is fitted on the validation images once the best weights are known.

    Attributes:
        temperature: Divides logits before the softmax; 1 changes nothing.
        score_thresholds: One a class, for tasks that have scores to cut.
    """

    temperature: float = 1.0
    score_thresholds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Sample:
    """An evaluated image, as far as plots and exported predictions need it.

    Attributes:
        index: Position in the data set.
        file: Path in the archive as uploaded.
        annotation: The truth, as in the manifest.
        output: What the network said.
        width: In pixels, after EXIF rotation.
        height: In pixels, after EXIF rotation.
    """

    index: int
    file: str
    annotation: Mapping[str, Any]
    output: Output
    width: int
    height: int


@dataclass(frozen=True)
class Measurement:
    """What an evaluation found.

    Attributes:
        metrics: With the task's `metrics` set, all else empty.
        plots: Title and PNG of each picture.
        rows: One JSON object an image, in the order of the samples; made as they are read, so
            that a million of them need not be in memory.
    """

    metrics: evaluation_pb2.Evaluation
    plots: list[tuple[str, bytes]] = field(default_factory=list)
    rows: Iterable[dict[str, Any]] = ()


class Learner(ABC):
    """What differs between tasks in training, evaluation and prediction."""

    registry: ClassVar[Registry]
    """The task's architectures."""

    best_metric: ClassVar[str]
    """The validation metric that decides on the best epoch, e.g. `val_accuracy`; more is better."""

    resize: ClassVar[str] = "stretch"
    """`Preprocessing.resize`: `stretch` or `letterbox`."""

    # Training.

    @abstractmethod
    def target(
        self, annotation: Mapping[str, Any], width: int, height: int, size_px: int
    ) -> Target:
        """Turn the annotation of a (width, height) image into the target of the resized one."""

    @abstractmethod
    def augment(
        self,
        images_N3HW: Tensor,
        targets: Sequence[Target],
        level: str,
        generators: Sequence[torch.Generator],
    ) -> tuple[Tensor, Sequence[Target]]:
        """Vary uint8 training images and their targets together; same generators, same result.

        Args:
            images_N3HW: The resized images, uint8, channels last in memory.
            targets: One for each image.
            level: `none`, `light`, `standard` or `strong`.
            generators: One for each image: the only source of randomness.
        """

    @abstractmethod
    def loss(
        self,
        model: nn.Module,
        images_N3HW: Tensor,
        targets: Sequence[Target],
        config: pipeline_pb2.TrainingConfig,
        class_weights_C: Tensor | None,
    ) -> Tensor:
        """Return the loss of normalized images, averaged over them; the model is in training mode.

        It must be a plain mean, weights included, so that the parts of a split batch add up.
        """

    # Inference.

    @abstractmethod
    def forward(self, model: nn.Module, images_N3HW: Tensor) -> list[Output]:
        """Run the network, in evaluation mode and without gradient, and take the answer apart."""

    @abstractmethod
    def validate(
        self, outputs: Sequence[Output], targets: Sequence[Target], class_count: int
    ) -> dict[str, float]:
        """Return the validation metrics of an epoch, `best_metric` and `val_loss` among them."""

    @abstractmethod
    def calibrate(
        self, outputs: Sequence[Output], targets: Sequence[Target], class_count: int
    ) -> Calibration:
        """Fit what turns outputs into honest scores, on the validation images."""

    @abstractmethod
    def measure(
        self,
        samples: Sequence[Sample],
        model: model_pb2.Model,
        image: ImageSource,
        *,
        seed: int = 0,
    ) -> Measurement:
        """Evaluate: metrics with intervals, plots, and a row for each image."""

    @abstractmethod
    def predict(
        self,
        output: Output,
        model: model_pb2.Model,
        width: int,
        height: int,
        options: prediction_pb2.PredictOptions,
    ) -> prediction_pb2.Prediction:
        """Turn an output into the answer for an image of (width, height) pixels as sent."""

    @abstractmethod
    def difference(self, output: Output, reference: Output, model: model_pb2.Model) -> float:
        """Return by how much a score of the answer differs at most from that of the reference.

        Decides whether faster arithmetic may stand for exact arithmetic.
        """

    @abstractmethod
    def draw(
        self, image_HW3: np.ndarray[Any, Any], prediction: prediction_pb2.Prediction
    ) -> np.ndarray[Any, Any]:
        """Draw an answer on a copy of the uint8 image.

        The image may have been made smaller, so what is in pixels of the prediction's
        `image_width` and `image_height` must be made smaller with it.
        """

    # Export.

    @abstractmethod
    def exportable(
        self, network: nn.Module, model: model_pb2.Model
    ) -> tuple[nn.Module, tuple[str, ...]]:
        """Return a module from normalized images (N, 3, S, S) to answers, and its outputs' names.

        The answers are final: scores are calibrated. It is traced, so nothing in it may depend on
        the content of the images.
        """


class ImageSource(ABC):
    """Gives `Learner.measure` the few images that it wants to show."""

    @abstractmethod
    def load(self, index: int) -> np.ndarray[Any, Any]:
        """Return an image of the data set as uint8 (H, W, 3), after EXIF rotation."""
