"""RetinaNet.

Papers: Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense Object Detection", 2017,
https://arxiv.org/abs/1708.02002; Zhang et al., "Bridging the Gap Between Anchor-based and
Anchor-free Detection via Adaptive Training Sample Selection", 2019,
https://arxiv.org/abs/1912.02424 (the normalized heads and the loss of "v2").

Differs from torchvision: all layers are trained, normalizations too; as many objects are found as
`MAX_DETECTIONS`, with scores from `SCORE_FLOOR` on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchvision.models import detection

from common.architectures import Recipe
from common.objects.backbones import RESNET50_FPN
from common.objects.fixed_input import FixedInput, exact_inputs, exact_outputs
from services.detection.architectures.registry import MAX_DETECTIONS, SCORE_FLOOR, detectors

if TYPE_CHECKING:
    from torch import nn


@detectors.register(
    "retinanet_resnet50_fpn_v2",
    display_name="RetinaNet, ResNet-50 FPN v2",
    paper="https://arxiv.org/abs/1708.02002",
    parameter_count=36_352_630,
    pretrained_weights="RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1",
    fallbacks=[RESNET50_FPN],
    # Below, the last convolution has a single cell to look at, and then its gradient in bf16 is
    # wrong on CPUs (oneDNN leaves parts of it unset).
    input_minimum_px=96,
    recipe=Recipe(
        epoch_count=30, batch_size=4, image_size_px=512, learning_rate=2e-4, weight_decay=1e-4
    ),
)
def retinanet_resnet50_fpn_v2(class_count: int) -> nn.Module:
    """Build a RetinaNet of a ResNet-50; see `registry` for what goes in and comes out."""
    network: Any = detection.retinanet_resnet50_fpn_v2(
        weights=None,
        weights_backbone=None,
        num_classes=class_count,
        score_thresh=SCORE_FLOOR,
        detections_per_img=MAX_DETECTIONS,
    )
    # Each class has a sigmoid of its own, so there is no background.
    network.transform = FixedInput(label_offset=0)
    exact_inputs(network.anchor_generator)
    exact_outputs(network.head)
    adapted: nn.Module = network
    return adapted
