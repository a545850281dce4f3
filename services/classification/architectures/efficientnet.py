"""EfficientNet.

Paper: Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019,
https://arxiv.org/abs/1905.11946
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torchvision

from common.architectures import Recipe
from common.training.depthwise import quicken
from services.classification.architectures.registry import classifiers

if TYPE_CHECKING:
    from torch import nn


@classifiers.register(
    "efficientnet_b0",
    display_name="EfficientNet-B0",
    paper="https://arxiv.org/abs/1905.11946",
    parameter_count=4_010_110,
    pretrained_weights="EfficientNet_B0_Weights.IMAGENET1K_V1",
    recipe=Recipe(epoch_count=20, batch_size=16, image_size_px=96, learning_rate=1e-3),
)
def efficientnet_b0(class_count: int) -> nn.Module:
    """Build an EfficientNet-B0: images (N, 3, H, W) to logits (N, class_count)."""
    network: nn.Module = torchvision.models.efficientnet_b0(weights=None, num_classes=class_count)
    quicken(network)
    return network
