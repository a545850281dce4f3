"""ResNet.

Paper: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015,
https://arxiv.org/abs/1512.03385

Differs from the paper, as torchvision has it: in ResNet-50 the convolution with stride 2 is the
3×3 one ("v1.5"), which is more accurate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torchvision

from common.architectures import Recipe
from services.classification.architectures.registry import classifiers

if TYPE_CHECKING:
    from torch import nn

_PAPER = "https://arxiv.org/abs/1512.03385"


@classifiers.register(
    "resnet18",
    display_name="ResNet-18",
    paper=_PAPER,
    parameter_count=11_177_538,
    pretrained_weights="ResNet18_Weights.IMAGENET1K_V1",
    recipe=Recipe(epoch_count=8, batch_size=16, image_size_px=96, learning_rate=1e-3),
)
def resnet18(class_count: int) -> nn.Module:
    """Build a ResNet-18: images (N, 3, H, W) to logits (N, class_count)."""
    network: nn.Module = torchvision.models.resnet18(weights=None, num_classes=class_count)
    return network


@classifiers.register(
    "resnet50",
    display_name="ResNet-50",
    paper=_PAPER,
    parameter_count=23_512_130,
    pretrained_weights="ResNet50_Weights.IMAGENET1K_V2",
    recipe=Recipe(epoch_count=20, batch_size=16, image_size_px=96, learning_rate=1e-3),
)
def resnet50(class_count: int) -> nn.Module:
    """Build a ResNet-50: images (N, 3, H, W) to logits (N, class_count)."""
    network: nn.Module = torchvision.models.resnet50(weights=None, num_classes=class_count)
    return network
