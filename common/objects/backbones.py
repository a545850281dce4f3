"""Published classifiers as the first layers of a network with a feature pyramid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.architectures import Published

if TYPE_CHECKING:
    from torch import Tensor


def below_pyramid(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Place a ResNet or a MobileNet below a feature pyramid, without its classifier."""
    return {
        f"backbone.body.{name.removeprefix('features.')}": tensor
        for name, tensor in published.items()
        if not name.startswith(("fc.", "classifier."))
    }


RESNET50_FPN = Published(
    torchvision="ResNet50_Weights.IMAGENET1K_V1", convert=below_pyramid, partial=True
)
