"""DeepLabv3.

Papers: Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image
Segmentation", 2017, https://arxiv.org/abs/1706.05587; Howard et al., "Searching for MobileNetV3",
2019, https://arxiv.org/abs/1905.02244; Zhao et al., "Pyramid Scene Parsing Network", 2016,
https://arxiv.org/abs/1612.01105 (the second classifier).

Differs from the paper, as torchvision does: no grid of several dilations within a stage. Differs
from torchvision: the statistics of a MobileNet's normalizations follow the last ten steps rather
than the last hundred, since on a few hundred images a training is short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import BatchNorm2d
from torchvision.models import segmentation

from common.architectures import Recipe
from common.training.depthwise import quicken
from services.segmentation.semantic.architectures import dilated
from services.segmentation.semantic.architectures.registry import segmenters

if TYPE_CHECKING:
    from torch import nn

_PAPER = "https://arxiv.org/abs/1706.05587"
_MOMENTUM = 0.1


@segmenters.register(
    "deeplabv3_mobilenet_v3_large",
    display_name="DeepLabv3, MobileNetV3-Large",
    paper=_PAPER,
    parameter_count=11_024_236,
    pretrained_weights="DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1",
    fallbacks=[dilated.MOBILENET],
    recipe=Recipe(
        epoch_count=60, batch_size=8, image_size_px=384, learning_rate=1e-3, weight_decay=0.01,
        early_stopping_patience=20, min_step_count=1000,
    ),
)  # fmt: skip
def deeplabv3_mobilenet_v3_large(class_count: int) -> nn.Module:
    """Build a DeepLabv3 of a MobileNetV3, with logits of a sixteenth of the input's side."""
    network = segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=class_count, aux_loss=True
    )
    for module in network.modules():
        if isinstance(module, BatchNorm2d):
            module.momentum = _MOMENTUM
    quicken(network)
    return dilated.Dilated(network)


@segmenters.register(
    "deeplabv3_resnet50",
    display_name="DeepLabv3, ResNet-50",
    paper=_PAPER,
    parameter_count=41_994_308,
    pretrained_weights="DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1",
    fallbacks=[dilated.RESNET50],
    recipe=Recipe(
        epoch_count=40, batch_size=8, image_size_px=320, learning_rate=3e-4, weight_decay=0.01,
        early_stopping_patience=15,
    ),
)  # fmt: skip
def deeplabv3_resnet50(class_count: int) -> nn.Module:
    """Build a DeepLabv3 of a ResNet-50, with logits of an eighth of the input's side."""
    return dilated.Dilated(
        segmentation.deeplabv3_resnet50(
            weights=None, weights_backbone=None, num_classes=class_count, aux_loss=True
        )
    )
