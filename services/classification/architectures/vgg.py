"""VGG.

Paper: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
2014, https://arxiv.org/abs/1409.1556

Differs from the paper, as torchvision has it: features are pooled to 7×7, so that any image size
works, and weights start as He et al. (2015) propose, so that it trains in one go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torchvision

from common.architectures import Recipe
from services.classification.architectures.registry import classifiers

if TYPE_CHECKING:
    from torch import nn


@classifiers.register(
    "vgg16",
    display_name="VGG-16",
    paper="https://arxiv.org/abs/1409.1556",
    parameter_count=134_268_738,
    pretrained_weights="VGG16_Weights.IMAGENET1K_V1",
    recipe=Recipe(epoch_count=20, batch_size=16, image_size_px=96, learning_rate=1e-4),
)
def vgg16(class_count: int) -> nn.Module:
    """Build a VGG-16: images (N, 3, H, W) to logits (N, class_count)."""
    network: nn.Module = torchvision.models.vgg16(weights=None, num_classes=class_count)
    return network
