"""MobileNetV3.

Paper: Howard et al., "Searching for MobileNetV3", 2019, https://arxiv.org/abs/1905.02244

Differs from the paper and from torchvision: the statistics of batch normalization follow the last
ten steps rather than the last hundred, since on a few hundred images a training is short.
"""

from __future__ import annotations

from functools import partial

import torchvision
from torch import nn

from common.architectures import Recipe
from common.training.depthwise import quicken
from services.classification.architectures.registry import classifiers

_PAPER = "https://arxiv.org/abs/1905.02244"
_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.1)


@classifiers.register(
    "mobilenet_v3_large",
    display_name="MobileNetV3-Large",
    paper=_PAPER,
    parameter_count=4_204_594,
    pretrained_weights="MobileNet_V3_Large_Weights.IMAGENET1K_V2",
    recipe=Recipe(epoch_count=20, batch_size=16, image_size_px=96, learning_rate=1e-3),
)
def mobilenet_v3_large(class_count: int) -> nn.Module:
    """Build a MobileNetV3-Large: images (N, 3, H, W) to logits (N, class_count)."""
    network: nn.Module = torchvision.models.mobilenet_v3_large(
        weights=None, num_classes=class_count, norm_layer=_NORM
    )
    quicken(network)
    return network


@classifiers.register(
    "mobilenet_v3_small",
    display_name="MobileNetV3-Small",
    paper=_PAPER,
    parameter_count=1_519_906,
    pretrained_weights="MobileNet_V3_Small_Weights.IMAGENET1K_V1",
    recipe=Recipe(epoch_count=20, batch_size=16, image_size_px=96, learning_rate=1e-3),
)
def mobilenet_v3_small(class_count: int) -> nn.Module:
    """Build a MobileNetV3-Small: images (N, 3, H, W) to logits (N, class_count)."""
    network: nn.Module = torchvision.models.mobilenet_v3_small(
        weights=None, num_classes=class_count, norm_layer=_NORM
    )
    quicken(network)
    return network
