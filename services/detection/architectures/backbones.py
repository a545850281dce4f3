"""Published classifiers as a detector's first layers, for where no whole detector can be had.

Which weights, and where they go, is as torchvision's own builders have it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from common.architectures import Published
from common.objects.backbones import below_pyramid

if TYPE_CHECKING:
    from torch import Tensor

    Weights = dict[str, Tensor]

# Layers of VGG-16 from the fourth pooling on are an SSD's second part.
_VGG_SECOND_PART = 23
# In the expansion of this block of MobileNetV3, an SSDlite looks for its smallest objects. What
# follows has half of the channels there.
_MOBILENET_LAST_BLOCK = 13


def _in_ssd(published: Weights) -> Weights:
    """Place the convolutions of a VGG-16."""
    placed = {}
    for name, tensor in published.items():
        if match := re.fullmatch(r"features\.(\d+)\.(\w+)", name):
            number = int(match[1])
            second = number - _VGG_SECOND_PART
            place = f"features.{number}" if second < 0 else f"extra.0.{second}"
            placed[f"backbone.{place}.{match[2]}"] = tensor
    return placed


def _in_ssdlite(published: Weights) -> Weights:
    """Place a MobileNetV3-Large, as far as an SSDlite has the same layers."""
    placed = {}
    for name, tensor in published.items():
        if match := re.fullmatch(r"features\.(\d+)\.(.+)", name):
            number, rest = int(match[1]), match[2]
            if number == _MOBILENET_LAST_BLOCK and rest.startswith("block.0."):
                rest = rest.removeprefix("block.0.")
            elif number >= _MOBILENET_LAST_BLOCK:
                continue
            placed[f"backbone.features.0.{number}.{rest}"] = tensor
    return placed


_MOBILENET = "MobileNet_V3_Large_Weights.IMAGENET1K_V1"

MOBILENET_FPN = Published(torchvision=_MOBILENET, convert=below_pyramid, partial=True)
MOBILENET_SSDLITE = Published(torchvision=_MOBILENET, convert=_in_ssdlite, partial=True)
VGG16_SSD = Published(
    torchvision="VGG16_Weights.IMAGENET1K_FEATURES", convert=_in_ssd, partial=True
)
