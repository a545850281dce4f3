"""Faster R-CNN.

Papers: Ren, He, Girshick, Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region
Proposal Networks", 2015, https://arxiv.org/abs/1506.01497; Lin et al., "Feature Pyramid Networks
for Object Detection", 2016, https://arxiv.org/abs/1612.03144; Li et al., "Benchmarking Detection
Transfer Learning with Vision Transformers", 2021, https://arxiv.org/abs/2111.11429 (the heads of
"v2").

Differs from torchvision: see `common.objects.two_stages`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchvision.models import detection

from common.architectures import Recipe
from common.objects.backbones import RESNET50_FPN
from common.objects.two_stages import OPTIONS, adapted
from common.training.depthwise import quicken
from services.detection.architectures import backbones
from services.detection.architectures.registry import MAX_DETECTIONS, detectors

if TYPE_CHECKING:
    from torch import nn

_PAPER = "https://arxiv.org/abs/1506.01497"


@detectors.register(
    "fasterrcnn_resnet50_fpn_v2",
    display_name="Faster R-CNN, ResNet-50 FPN v2",
    paper=_PAPER,
    parameter_count=43_261_278,
    pretrained_weights="FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1",
    fallbacks=[RESNET50_FPN],
    recipe=Recipe(
        epoch_count=30, batch_size=4, image_size_px=512, learning_rate=2e-4, weight_decay=1e-4
    ),
)
def fasterrcnn_resnet50_fpn_v2(class_count: int) -> nn.Module:
    """Build a Faster R-CNN of a ResNet-50; see `registry` for what goes in and comes out."""
    return adapted(detection.fasterrcnn_resnet50_fpn_v2(num_classes=class_count + 1, **OPTIONS))


@detectors.register(
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    display_name="Faster R-CNN, MobileNetV3-Large 320 FPN",
    paper=_PAPER,
    parameter_count=18_959_754,
    pretrained_weights="FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1",
    fallbacks=[backbones.MOBILENET_FPN],
    recipe=Recipe(
        epoch_count=40, batch_size=8, image_size_px=320, learning_rate=5e-4, weight_decay=1e-4
    ),
)
def fasterrcnn_mobilenet_v3_large_320_fpn(class_count: int) -> nn.Module:
    """Build a Faster R-CNN of a MobileNetV3-Large; see `registry`.

    torchvision looks at no more than 150 proposals, and only at those with an objectness of 0.05.
    That would be all that is ever found in a crowded image; and early in a training, or in images
    without an object, no proposal may be left, of which no loss can be computed (it is NaN).
    """
    network = detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        num_classes=class_count + 1,
        rpn_pre_nms_top_n_test=1000,
        rpn_post_nms_top_n_test=MAX_DETECTIONS,
        rpn_score_thresh=0.0,
        **OPTIONS,
    )
    quicken(network)
    return adapted(network)
