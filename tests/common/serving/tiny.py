"""A real task with a network small enough for tests, and its models in a real bucket."""

import hashlib
import threading
import time
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from common.architectures import IMAGENET_MEAN, IMAGENET_STD, Recipe, Registry
from common.storage import resources
from common.storage.bucket import Bucket
from common.training.learner import Learner
from nocode.vision.v1.model_pb2 import Model, Preprocessing
from nocode.vision.v1.pipeline_pb2 import Pipeline
from services.classification.learner import ClassificationLearner
from services.classification.task import ClassificationTask

SIZE_PX = 32
CLASSES = ("ant", "bee", "cow", "dog")

registry = Registry()


@registry.register(
    "tiny",
    display_name="Tiny",
    paper="",
    parameter_count=0,
    recipe=Recipe(epoch_count=1, batch_size=8, image_size_px=SIZE_PX, learning_rate=0.1),
)
def tiny(class_count: int) -> nn.Module:
    """Convolution, batch normalization, mean, linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, class_count),
    )


class TinyLearner(ClassificationLearner):
    """Classification, with the tiny network; notes its batches, and can be slow.

    Attributes:
        batch_sizes: Of the batches computed, warm-ups included.
        takes_s: What a batch takes longer than it must.
        memory_for: A larger batch is out of memory.
        shortages: How often one was.
        may_draw: While it is not set, drawings take their time.
    """

    registry = registry

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []
        self.takes_s = 0.0
        self.memory_for = 1000
        self.shortages = 0
        self.may_draw = threading.Event()
        self.may_draw.set()

    def forward(self, model: nn.Module, images_N3HW: torch.Tensor) -> list[torch.Tensor]:
        """Return answers, after a while."""
        if len(images_N3HW) > self.memory_for:
            self.shortages += 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.batch_sizes.append(len(images_N3HW))
        time.sleep(self.takes_s)
        return self.answers(model, images_N3HW)

    def answers(self, model: nn.Module, images_N3HW: torch.Tensor) -> list[Any]:
        """Return logits at once."""
        return super().forward(model, images_N3HW)

    def draw(self, image_HW3: Any, prediction: Any) -> Any:
        """Draw the answer, when it may be."""
        assert self.may_draw.wait(30)
        return super().draw(image_HW3, prediction)


class TinyTask(ClassificationTask):
    """Classification, with the tiny network.

    Attributes:
        made: Its learner.
        may_load: While it is not set, the first model takes its time to load.
    """

    def __init__(self) -> None:
        self.made = TinyLearner()
        self.may_load = threading.Event()
        self.may_load.set()

    def learner(self) -> Learner:
        """Return always the same one."""
        assert self.may_load.wait(30)
        return self.made


def put_model(bucket: Bucket, model_id: str, *, seed: int = 0, **fields: Any) -> Model:
    """Write a model with random weights to a bucket, as a training does."""
    torch.manual_seed(seed)
    network = tiny(len(CLASSES))
    with torch.no_grad():
        network[-1].weight.mul_(20)  # so that images are told apart
        network(torch.randn(64, 3, SIZE_PX, SIZE_PX))  # statistics that are not those of a new one
    weights = save(network.state_dict())
    model = Model(
        name=f"tasks/classification/models/{model_id}",
        architecture="tiny",
        classes=CLASSES,
        temperature=1.0,
        preprocessing=Preprocessing(
            image_size_px=SIZE_PX,
            resize="stretch",
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
        ),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_size_bytes=len(weights),
    )
    model.MergeFrom(Model(**fields))
    bucket.put(f"{model.name}/model.safetensors", weights)
    resources.models(bucket).create(model.name, model)
    return model


def put_pipeline(bucket: Bucket, pipeline_id: str, model: str = "") -> Pipeline:
    """Write a pipeline whose model this is."""
    pipeline = Pipeline(name=f"tasks/classification/pipelines/{pipeline_id}", model=model)
    resources.pipelines(bucket).create(pipeline.name, pipeline)
    return pipeline
