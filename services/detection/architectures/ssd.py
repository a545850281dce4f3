"""SSD, and SSDlite.

Papers: Liu et al., "SSD: Single Shot MultiBox Detector", 2015, https://arxiv.org/abs/1512.02325;
Howard et al., "Searching for MobileNetV3", 2019, https://arxiv.org/abs/1905.02244, section 6.3
(SSDlite).

Differs from torchvision: all layers are trained, normalizations too, whose statistics follow the
last ten steps; as many objects are found as `MAX_DETECTIONS`, with scores from `SCORE_FLOOR` on;
SSD's default boxes cover images of any size.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator

from common.architectures import Recipe
from common.objects.fixed_input import FixedInput, exact_inputs, exact_outputs
from common.training.depthwise import quicken
from services.detection.architectures import backbones
from services.detection.architectures.registry import MAX_DETECTIONS, SCORE_FLOOR, detectors

if TYPE_CHECKING:
    from torch import Tensor

_OPTIONS: dict[str, Any] = {
    "weights": None,
    "weights_backbone": None,
    "score_thresh": SCORE_FLOOR,
    "detections_per_img": MAX_DETECTIONS,
    # Of each class, before suppression, which leaves a fraction where objects are crowded.
    "topk_candidates": 2 * MAX_DETECTIONS,
}


@detectors.register(
    "ssdlite320_mobilenet_v3_large",
    display_name="SSDlite 320, MobileNetV3-Large",
    paper="https://arxiv.org/abs/1905.02244",
    parameter_count=2_220_380,
    pretrained_weights="SSDLite320_MobileNet_V3_Large_Weights.COCO_V1",
    fallbacks=[backbones.MOBILENET_SSDLITE],
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    recipe=Recipe(
        epoch_count=60, batch_size=8, image_size_px=320, learning_rate=1e-3, weight_decay=1e-4
    ),
)
def ssdlite320_mobilenet_v3_large(class_count: int) -> nn.Module:
    """Build an SSDlite; see `registry` for what goes in and comes out."""
    network = detection.ssdlite320_mobilenet_v3_large(
        num_classes=class_count + 1,
        norm_layer=partial(nn.BatchNorm2d, eps=0.001, momentum=0.1),
        **_OPTIONS,
    )
    quicken(network)
    return _adapted(network)


@detectors.register(
    "ssd300_vgg16",
    display_name="SSD300, VGG-16",
    paper="https://arxiv.org/abs/1512.02325",
    parameter_count=23_879_570,
    pretrained_weights="SSD300_VGG16_Weights.COCO_V1",
    fallbacks=[backbones.VGG16_SSD],
    # The published weights are older than the habit of dividing by 255.
    mean=(0.48235, 0.45882, 0.40784),
    std=(1 / 255, 1 / 255, 1 / 255),
    input_multiple_px=4,
    input_minimum_px=268,
    recipe=Recipe(
        epoch_count=40, batch_size=8, image_size_px=300, learning_rate=2e-4, weight_decay=5e-4
    ),
)
def ssd300_vgg16(class_count: int) -> nn.Module:
    """Build an SSD300; see `registry` for what goes in and comes out.

    Below its smallest size the last convolutions have nothing to look at.
    """
    network: Any = detection.ssd300_vgg16(num_classes=class_count + 1, **_OPTIONS)
    with torch.no_grad():
        # Random weights are made for inputs around 1; these are around 64. Without normalization
        # in between, all that follows would be 64 times too large.
        network.backbone.features[0].weight /= 64
    published = network.anchor_generator
    network.anchor_generator = _DefaultBoxes(
        published.aspect_ratios, scales=published.scales, steps=published.steps
    )
    return _adapted(network)


class _DefaultBoxes(DefaultBoxGenerator):  # type: ignore[misc]  # torchvision has no types
    """SSD300's default boxes, for images of any size.

    They lie 8, 16, 32 and 64 pixels apart on the first four maps, as the network is built. On the
    last two, of 3×3 and one cell in an image of 300 pixels, they lie 100 and 300 apart: evenly over
    the image. torchvision keeps these numbers for any image; in one of 512 pixels, where the last
    map has 4×4 cells, most of its boxes would then be outside.
    """

    def _grid_default_boxes(
        self,
        grid_sizes: list[list[int]],
        image_size: list[int],
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        self.steps = [8, 16, 32, 64, *(image_size[0] / grid[0] for grid in grid_sizes[4:])]
        boxes: Tensor = super()._grid_default_boxes(grid_sizes, image_size, dtype)
        return boxes


def _adapted(network: Any) -> nn.Module:
    network.transform = FixedInput(label_offset=1)
    exact_inputs(network.anchor_generator)
    exact_outputs(network.head)
    adapted: nn.Module = network
    return adapted
