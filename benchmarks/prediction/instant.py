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
from services.classification.learner import ClassificationLearner
from services.classification.task import ClassificationTask

if TYPE_CHECKING:
    from torch import Tensor

    from common.training.learner import Learner

IMAGE_SIZE_PX = 32

_GREY_3SS = torch.full((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), 128, dtype=torch.uint8).permute(2, 0, 1)

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


class InstantLearner(ClassificationLearner):
    """Finds all classes equally likely, without looking."""

    registry = instant_only

    def forward(self, model: nn.Module, images_N3HW: Tensor) -> list[Tensor]:
        """Return zeros."""
        del model
        return [torch.zeros(2)] * len(images_N3HW)


def prepare_nothing(network: Network, data: bytes, max_pixels: int) -> Prepared:
    """Stand in for `Network.prepare`: take any bytes for a grey image."""
    del network, data, max_pixels
    return Prepared(_GREY_3SS, IMAGE_SIZE_PX, IMAGE_SIZE_PX)


class InstantTask(ClassificationTask):
    """Classification without a network."""

    def learner(self) -> Learner:
        """Make the half that needs torch."""
        return InstantLearner()


if __name__ == "__main__":
    setattr(Network, "prepare", prepare_nothing)  # noqa: B010 - types do not allow it otherwise
    main([InstantTask()])
