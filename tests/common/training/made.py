"""Small trainings on made images, for tests: two classes of noisy squares, told by their colour."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import nn

from common.architectures import IMAGENET_MEAN, IMAGENET_STD
from common.data.loading import CachedImages
from common.training.batches import Subset
from common.training.distributed import Ranks, alone
from common.training.loop import Trainer, Training
from common.training.precision import Precision
from nocode.vision.v1 import model_pb2, pipeline_pb2
from services.classification.learner import ClassificationLearner

CPU = torch.device("cpu")
SIZE_PX = 32
PREPROCESSING = model_pb2.Preprocessing(
    image_size_px=SIZE_PX,
    resize="stretch",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)


def subset(count: int, *, first: int = 0) -> Subset:
    """Images of both classes in turn, numbered from `first`."""
    rng = np.random.default_rng(first)
    pixels_NSS3 = rng.integers(0, 100, (count, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    targets = [number % 2 for number in range(count)]
    for row, target in enumerate(targets):
        pixels_NSS3[row, 8:24, 8:24, 2 * target] += 120
    return Subset(CachedImages(pixels_NSS3), range(first, first + count), targets)


def config(**values: object) -> pipeline_pb2.TrainingConfig:
    """Settings of two short epochs, all filled in."""
    defaults: dict[str, object] = {
        "epoch_count": 2,
        "batch_size": 8,
        "image_size_px": SIZE_PX,
        "learning_rate": 1e-3,
        "optimizer": "adamw",
        "weight_decay": 0.05,
        "augmentation": "standard",
        "precision": "fp32",
        "seed": 0,
        "early_stopping_patience": 1000,
        "label_smoothing": 0.1,
        "warmup_epoch_count": 1.0,
        "weight_average_decay": 0.9,
    }
    return pipeline_pb2.TrainingConfig(**defaults | values)


def network(seed: int = 0) -> nn.Module:
    """A small network that has all that makes repeating hard: normalization and dropout."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(16, 2),
    )


def plain_network() -> nn.Module:
    """A network whose answer for an image does not depend on the rest of the batch."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 2)
    )


class Recorder:
    """Is told how a training goes."""

    def __init__(self) -> None:
        self.reports: list[dict[str, object]] = []
        self.history: dict[int, dict[str, float]] = {}
        self.ended_s: dict[int, float] = {}

    def progress(self, **values: object) -> None:
        """Note it down."""
        self.reports.append(values)

    def add_history(self, epoch: int, metrics: dict[str, float], ended_s: float) -> None:
        """Note it down."""
        self.history[epoch], self.ended_s[epoch] = metrics, ended_s


def training(**values: object) -> Training:
    """20 images to train on and 8 to validate on; settings by name, or parts of `Training`."""
    parts = {name: values.pop(name) for name in list(values) if name in Training.__annotations__}
    defaults: dict[str, object] = {
        "learner": ClassificationLearner(),
        "config": config(**values),
        "preprocessing": PREPROCESSING,
        "class_count": 2,
        "architecture": "resnet18",
        "class_weights_C": None,
        "train": subset(20),
        "val": subset(8, first=100),
        "precision": Precision("fp32", "a test says so"),
    }
    return Training(**defaults | parts)


def trainer(
    what: Training, model: nn.Module | None = None, ranks: Ranks | None = None, **options: object
) -> Trainer:
    """Ready to `fit`."""
    reporter = options.pop("reporter", Recorder())
    return Trainer(what, model or network(), ranks or alone(CPU), reporter, **options)


def digest(weights: dict[str, torch.Tensor]) -> str:
    """A hash of weights to the last bit."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        hashed.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return hashed.hexdigest()
