"""FCN, the fully convolutional network.

Papers: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015,
https://arxiv.org/abs/1411.4038; Zhao et al., "Pyramid Scene Parsing Network", 2016,
https://arxiv.org/abs/1612.01105 (the second classifier).

Differs from the paper, as torchvision does: the classifier is a dilated ResNet-50, so that no
earlier layers are added to sharpen what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchvision.models import segmentation

from common.architectures import Recipe
from services.segmentation.semantic.architectures import dilated
from services.segmentation.semantic.architectures.registry import segmenters

if TYPE_CHECKING:
    from torch import nn


@segmenters.register(
    "fcn_resnet50",
    display_name="FCN, ResNet-50",
    paper="https://arxiv.org/abs/1411.4038",
    parameter_count=35_307_588,
    pretrained_weights="FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1",
    fallbacks=[dilated.RESNET50],
    recipe=Recipe(
        epoch_count=40, batch_size=8, image_size_px=320, learning_rate=3e-4, weight_decay=0.01,
        early_stopping_patience=15,
    ),
)  # fmt: skip
def fcn_resnet50(class_count: int) -> nn.Module:
    """Build an FCN of a ResNet-50, with logits of an eighth of the input's side."""
    return dilated.Dilated(
        segmentation.fcn_resnet50(
            weights=None, weights_backbone=None, num_classes=class_count, aux_loss=True
        )
    )
