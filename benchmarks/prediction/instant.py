"""The classification service with a model that takes no time: what is left is the service.

`python -m benchmarks.prediction.instant` serves as `python -m services.classification` does. An
image passes through the same threads and the same queue, but is neither decoded nor looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from common.architectures import Recipe, Registry
from common.chassis import main
from common.serving.network import Network, Prepared
from nocode.vision.v1 import prediction_pb2 as pb
from services.classification.learner import ClassificationLearner
from services.classification.task import ClassificationTask

if TYPE_CHECKING:
    from common.training.learner import Learner

IMAGE_SIZE_PX = 32

instant_only = Registry()


@instant_only.register(
    "instant",
    display_name="Instant",
    paper="",
    parameter_count=2,
    recipe=Recipe(epoch_count=1, batch_size=1, image_size_px=IMAGE_SIZE_PX, learning_rate=1.0),
)
def instant(class_count: int) -> nn.Module:
    """Build a network that is not called."""
    return nn.Linear(1, class_count, bias=False)


_LOGITS_C = torch.zeros(2)
_PREPARED = Prepared(torch.zeros((3, IMAGE_SIZE_PX, IMAGE_SIZE_PX)), IMAGE_SIZE_PX, IMAGE_SIZE_PX)
_ANSWER = pb.Prediction(
    classification=pb.ClassificationPrediction(
        classes=[pb.ClassScore(class_name=name, score=0.5) for name in ("a", "b")]
    )
)


class InstantLearner(ClassificationLearner):
    """Answers always the same."""

    registry = instant_only

    def predict(self, *_: object) -> pb.Prediction:
        """Return the answer."""
        return _ANSWER


def take_no_time() -> None:
    """Let networks neither decode nor compute."""
    setattr(Network, "prepare", lambda *_: _PREPARED)  # noqa: B010 - types forbid an assignment
    setattr(Network, "forward", lambda _, images: [_LOGITS_C] * len(images))  # noqa: B010


class InstantTask(ClassificationTask):
    """Classification without a network."""

    def learner(self) -> Learner:
        """Make the half that needs torch."""
        return InstantLearner()


if __name__ == "__main__":
    take_no_time()
    main([InstantTask()])
