"""The head: at each anchor a box, whether an object is there, and its class.

Classes and boxes have convolutions of their own ("decoupled"), which the paper found to learn
faster and better than common ones.

Shape letters: N images, A anchors, C classes, 4 what tells a box.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from services.detection.architectures.yolox import anchors as anchoring
from services.detection.architectures.yolox.blocks import ConvBlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from services.detection.architectures.yolox.anchors import Anchors
    from services.detection.architectures.yolox.blocks import MakeConv

# What an untrained network says of everything: nearly all anchors are background, and a loss that
# starts from one half would spend the first steps on learning nothing but that.
_PRIOR = 0.01


class Told(NamedTuple):
    """What a network tells at each anchor, float32.

    Attributes:
        boxes_NA4: As `anchors.decode` reads it.
        objects_NA: Logits of there being an object.
        classes_NAC: Logits of each class, should there be one.
        anchors: The anchors.
    """

    boxes_NA4: Tensor
    objects_NA: Tensor
    classes_NAC: Tensor
    anchors: Anchors


class DecoupledHead(nn.Module):
    """Features of strides 8, 16 and 32 to what is told at their anchors.

    Args:
        class_count: Number of classes.
        in_widths: Channels of the features.
        width: Channels within.
        conv: Makes 3×3 convolutions.
    """

    def __init__(
        self, class_count: int, in_widths: Sequence[int], width: int, conv: MakeConv
    ) -> None:
        super().__init__()
        levels = range(len(in_widths))
        self.cls_convs = nn.ModuleList(_two(width, conv) for _ in levels)
        self.reg_convs = nn.ModuleList(_two(width, conv) for _ in levels)
        self.cls_preds = nn.ModuleList(nn.Conv2d(width, class_count, 1) for _ in levels)
        self.reg_preds = nn.ModuleList(nn.Conv2d(width, 4, 1) for _ in levels)
        self.obj_preds = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in levels)
        self.stems = nn.ModuleList(ConvBlock(in_width, width, 1) for in_width in in_widths)
        for last in (*self.cls_preds, *self.obj_preds):
            nn.init.constant_(last.bias, math.log(_PRIOR / (1 - _PRIOR)))

    def forward(self, features: Sequence[Tensor]) -> Told:
        """Return what is told, in the order of the anchors."""
        boxes, objects, classes = [], [], []
        for level, feature in enumerate(features):
            stem = self.stems[level](feature)
            of_classes = self.cls_convs[level](stem)
            of_boxes = self.reg_convs[level](stem)
            classes.append(_rows(self.cls_preds[level](of_classes)))
            boxes.append(_rows(self.reg_preds[level](of_boxes)))
            objects.append(_rows(self.obj_preds[level](of_boxes)))
        # What follows, boxes above all, needs more than the eight bits of bf16. It multiplies no
        # matrices, which is all that autocast would turn back.
        shapes = [(feature.shape[2], feature.shape[3]) for feature in features]
        return Told(
            torch.cat(boxes, dim=1).float(),
            torch.cat(objects, dim=1).squeeze(2).float(),
            torch.cat(classes, dim=1).float(),
            anchoring.make(shapes, features[0].device),
        )


def _two(width: int, conv: MakeConv) -> nn.Sequential:
    return nn.Sequential(conv(width, width, 3, 1), conv(width, width, 3, 1))


def _rows(x_NCHW: Tensor) -> Tensor:
    """Turn (N, C, H, W) into (N, H·W, C)."""
    return x_NCHW.permute(0, 2, 3, 1).flatten(1, 2)
