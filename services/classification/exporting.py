"""A classifier for other programs: images in, probabilities out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from nocode.vision.v1 import model_pb2


class Probabilities(nn.Module):
    """A network and what turns its logits into calibrated probabilities.

    Args:
        network: Images (N, 3, S, S) to logits (N, C).
        temperature: Divides the logits.
    """

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        """From normalized images (N, 3, S, S) to probabilities (N, C)."""
        logits: Tensor = self.network(images)
        return torch.softmax(logits / self.temperature, dim=1)


def exportable(network: nn.Module, model: model_pb2.Model) -> tuple[nn.Module, tuple[str, ...]]:
    """Return the classifier and the names of its outputs."""
    return Probabilities(network, model.temperature or 1.0), ("probabilities",)
