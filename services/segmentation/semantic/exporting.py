"""A segmenter for other programs: images in, probabilities of the classes of pixels out.

Shape letters: N images, C classes, S side of the network's input, h and w sides of its answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from nocode.vision.v1 import model_pb2

OUTPUTS = ("probabilities",)
"""Of each class at each pixel of the network's input, (N, C, S, S)."""


class Probabilities(nn.Module):
    """A network and what turns its logits into calibrated probabilities of pixels.

    Args:
        network: Images (N, 3, S, S) to logits (N, C, h, w).
        temperature: Divides the logits.
        size_px: S.
    """

    def __init__(self, network: nn.Module, temperature: float, size_px: int) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.size_px = size_px

    def forward(self, images: Tensor) -> Tensor:
        """From normalized images (N, 3, S, S) to probabilities (N, C, S, S)."""
        logits: Tensor = self.network(images)
        if logits.shape[2:] != images.shape[2:]:
            logits = functional.interpolate(
                logits, size=(self.size_px, self.size_px), mode="bilinear", align_corners=False
            )
        return torch.softmax(logits / self.temperature, dim=1)


def exportable(network: nn.Module, model: model_pb2.Model) -> tuple[nn.Module, tuple[str, ...]]:
    """Return the segmenter and `OUTPUTS`."""
    size_px = model.preprocessing.image_size_px
    return Probabilities(network, model.temperature or 1.0, size_px), OUTPUTS
