"""The half of a task that needs torch: what training, evaluation and prediction ask of it.

Shape letters: N images, C classes, H height, W width, 3 colours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from common.training.precision import to_bf16

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    import torch
    from torch import Tensor, nn

    from common.architectures import Registry
    from common.data.findings import Report
    from common.serving.tiles import Tile
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
class Phase:
    """Where a training is, for what changes on its way.

    Attributes:
        architecture: What is trained.
        level: `none`, `light`, `standard` or `strong`: how much images are varied.
        done: Fraction of the epochs that is over, in [0, 1).
    """

    architecture: str
    level: str
    done: float


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


class Merger:
    """Makes the output for an image of those for its tiles, which come one by one, in any order.

    This one keeps them until all are there. Not thread-safe.

    Args:
        tile_count: Number of tiles.
        merge: Makes it, of all in the order of their tiles.
    """

    def __init__(self, tile_count: int, merge: Callable[[Sequence[Output]], Output]) -> None:
        self._outputs: list[Output] = [None] * tile_count
        self._merge = merge

    def add(self, number: int, output: Output) -> None:
        """Take the output for a tile; each has its turn once."""
        self._outputs[number] = output

    def end(self) -> Output:
        """Return the output for the image, once all tiles have had their turn."""
        return self._merge(self._outputs)


class Learner(ABC):
    """What differs between tasks in training, evaluation and prediction."""

    registry: ClassVar[Registry]
    """The task's architectures."""

    best_metric: ClassVar[str]
    """The validation metric that decides on the best epoch, e.g. `val_accuracy`; more is better."""

    tie_break: ClassVar[str]
    """The validation metric that decides among epochs with equal `best_metric`; more is better,
    unless its name ends in `loss`."""

    resize: ClassVar[str] = "stretch"
    """`Preprocessing.resize`: `stretch` or `letterbox`."""

    tolerance: ClassVar[float] = 0.01
    """How large `difference` may be for answers to count as equal."""

    slow_answers: ClassVar[bool] = False
    """Whether `predict` takes so long, for a large image, that other threads should do it."""

    tiles: ClassVar[bool] = False
    """Whether `merge` is there, so that large images may be cut into tiles."""

    # Training.

    @abstractmethod
    def target(
        self, annotation: Mapping[str, Any], width: int, height: int, size_px: int
    ) -> Target:
        """Turn the annotation of a (width, height) image into the target of the resized one."""

    def check_targets(  # noqa: B027 - most tasks have nothing to check
        self, targets: Sequence[Target], size_px: int, report: Report
    ) -> None:
        """Report what is odd about the targets of the training images at the size they have."""

    @abstractmethod
    def augment(
        self,
        images_N3HW: Tensor,
        targets: Sequence[Target],
        phase: Phase,
        generators: Sequence[torch.Generator],
    ) -> tuple[Tensor, Sequence[Target]]:
        """Vary uint8 training images and their targets together; same generators, same result.

        Args:
            images_N3HW: The resized images, uint8, channels last in memory.
            targets: One for each image.
            phase: How much, and where the training is.
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

        It should be a plain mean, weights included, so that the parts of a split batch add up.
        """

    # Inference.

    def in_bf16(self, model: nn.Module) -> nn.Module:
        """Return a network in evaluation mode that computes in bf16, from one that does in fp32.

        It takes images in bf16, and may share weights with the other.
        """
        return to_bf16(model)

    @abstractmethod
    def forward(self, model: nn.Module, images_N3HW: Tensor) -> list[Output]:
        """Run the network, in evaluation mode and without gradient, and take the answer apart."""

    def digest(self, output: Output, target: Target, class_count: int) -> Any:
        """Return what `validate` and `calibrate` need of an output, made as soon as it is there.

        For tasks whose outputs are too large to be kept for all validation images.
        """
        del target, class_count
        return output

    def condense(self, output: Output, model: model_pb2.Model, width: int, height: int) -> Output:
        """Return what `measure` needs of an output for an image of (width, height) pixels.

        For tasks whose outputs are too large to be kept for all images of an evaluation.
        """
        del model, width, height
        return output

    @abstractmethod
    def validate(
        self, outputs: Sequence[Any], targets: Sequence[Target], class_count: int
    ) -> dict[str, float]:
        """Return the validation metrics of an epoch, `best_metric` and `tie_break` among them.

        One that is no finite number ends the training.

        Args:
            outputs: What `digest` made of them.
            targets: One for each.
            class_count: Number of classes.
        """

    @abstractmethod
    def calibrate(
        self, outputs: Sequence[Any], targets: Sequence[Target], class_count: int
    ) -> Calibration:
        """Fit what turns outputs into honest scores, on the validation images; see `validate`."""

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

    def merge(
        self,
        outputs: Sequence[Output],
        tiles: Sequence[Tile],
        model: model_pb2.Model,
        width: int,
        height: int,
    ) -> Output:
        """Make the output for an image of (width, height) pixels of those for its tiles.

        Only asked of learners with `tiles`. `predict` takes what it returns as if the network had
        said it of the image as a whole.

        Args:
            outputs: One for each tile.
            tiles: Where they lie; the first one is the image as a whole.
            model: What answered.
            width: Of the image as sent.
            height: Of the image as sent.
        """
        raise NotImplementedError

    def merger(
        self, tiles: Sequence[Tile], model: model_pb2.Model, width: int, height: int
    ) -> Merger:
        """Return what does as `merge` does with outputs that come one by one.

        For tasks whose outputs are too large to be kept for all tiles of an image.
        """
        return Merger(len(tiles), lambda outputs: self.merge(outputs, tiles, model, width, height))

    @abstractmethod
    def difference(
        self, outputs: Sequence[Output], references: Sequence[Output], model: model_pb2.Model
    ) -> float:
        """Return by how much scores of some images differ from those of the references.

        Decides whether faster arithmetic may stand for exact arithmetic: it may up to `tolerance`.
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
