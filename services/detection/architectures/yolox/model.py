"""YOLOX: a detector without prepared boxes, which finds at each point at most one object.

Paper: Ge, Liu, Wang, Li, Sun, "YOLOX: Exceeding YOLO Series in 2021", 2021,
https://arxiv.org/abs/2107.08430

Names and shapes of weights are those of the checkpoints that Megvii published (Apache-2.0), as are
its choices where the paper is silent.

Differs from the paper: the L1 loss that its last epochs add is left out; the statistics of batch
normalization follow the last ten steps rather than the last thirty, since on a few hundred images
a training is short.

Shape letters: N images, S side of the input, A anchors, C classes, K objects of an image, 4 sides
of a box.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from common.architectures import Published, Recipe
from common.training.depthwise import quicken
from services.detection.architectures.registry import detectors
from services.detection.architectures.yolox import anchors as anchoring
from services.detection.architectures.yolox.backbone import CspDarknet
from services.detection.architectures.yolox.blocks import ConvBlock, DepthwiseBlock
from services.detection.architectures.yolox.head import DecoupledHead
from services.detection.architectures.yolox.losses import losses
from services.detection.architectures.yolox.neck import Pafpn
from services.detection.architectures.yolox.selection import select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from services.detection.architectures.yolox.head import Told

PAPER = "https://arxiv.org/abs/2107.08430"

_STEM = "backbone.backbone.stem.conv.conv.weight"
# Of the family's full size, which is multiplied: channels of the first stage, and bottlenecks.
_BASE_WIDTH, _BASE_DEPTH = 64, 3


class Yolox(nn.Module):
    """YOLOX of any size: images (N, 3, S, S) in [0, 255], RGB, S a multiple of 32.

    Args:
        class_count: Number of classes.
        width: Channels, as a fraction of the full size.
        depth: Bottlenecks, as a fraction of the full size.
        depthwise: Whether 3×3 convolutions treat each channel for itself.
    """

    def __init__(
        self, class_count: int, *, width: float, depth: float = 0.33, depthwise: bool = False
    ) -> None:
        super().__init__()
        conv = DepthwiseBlock if depthwise else ConvBlock
        base, bottlenecks = int(width * _BASE_WIDTH), max(1, round(depth * _BASE_DEPTH))
        widths = (4 * base, 8 * base, 16 * base)
        backbone = CspDarknet((base, 2 * base, *widths), bottlenecks, conv)
        self.backbone = Pafpn(backbone, widths, bottlenecks, conv)
        self.head = DecoupledHead(class_count, widths, widths[0], conv)
        quicken(self)

    def forward(
        self, images_N3SS: Tensor, targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses in training mode, the objects found in evaluation mode.

        Args:
            images_N3SS: Normalized images, in this family: as they are.
            targets: For each image `boxes` (K, 4) in pixels of the input, of positive area, and
                `labels` (K,) in [0, C). Only in training mode.

        Returns:
            In training mode numbers by name, to be added. In evaluation mode for each image
            `boxes` (K, 4), within the input, `labels` (K,) and `scores` (K,), not rising; at most
            `MAX_DETECTIONS`, each above `SCORE_FLOOR`.

        Raises:
            ValueError: There are no targets in training mode.
        """
        if not self.training:
            height, width = images_N3SS.shape[2:]
            boxes_NA4, scores_NAC = self.raw(images_N3SS)
            return [
                select(boxes_A4, scores_AC, height, width)
                for boxes_A4, scores_AC in zip(boxes_NA4, scores_NAC, strict=True)
            ]
        if targets is None:
            raise ValueError("training needs targets")
        told = self._tell(images_N3SS)
        return losses(told, [one["boxes"] for one in targets], [one["labels"] for one in targets])

    def raw(self, images_N3SS: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (N, A, 4) and scores (N, A, C) of all anchors, float32.

        Boxes are xmin, ymin, xmax, ymax in pixels and may reach out of the image. The score of a
        class is its probability times that of there being an object. Nothing here depends on what
        is in the images, so that it can be traced.
        """
        told = self._tell(images_N3SS)
        boxes_NA4 = anchoring.decode(told.boxes_NA4, told.anchors)
        return boxes_NA4, told.classes_NAC.sigmoid() * told.objects_NA.sigmoid()[..., None]

    def _tell(self, images_N3SS: Tensor) -> Told:
        told: Told = self.head(self.backbone(images_N3SS))
        return told


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the weights of a published checkpoint (its entry `model`) into those of our networks.

    Published networks take blue, green, red; ours take red, green, blue. So the first
    convolution's weights change places, and all else stays as it is.
    """
    ours = dict(state)
    stem = ours[_STEM]
    # The inputs of the stem are 4 pixels with 3 colours each.
    ours[_STEM] = torch.unflatten(stem, 1, (4, 3)).flip(2).flatten(1, 2)
    return ours


def _recipe(image_size_px: int, learning_rate: float) -> Recipe:
    return Recipe(
        epoch_count=100,
        batch_size=8,
        image_size_px=image_size_px,
        learning_rate=learning_rate,
        weight_decay=0.05,
        weight_average_decay=0.998,
        early_stopping_patience=100,
        warmup_epoch_count=3.0,
    )


# Their publisher gives no hashes; these are those that independent users of the files have noted.
_SHA256 = {
    "yolox_nano": "cd28f55fbbc1829f99d9ac9b38a16d259a22889739c8728ea877610201feff7b",
    "yolox_tiny": "9de513de589ac98bb92d3bca53b5af7b9acfa9b0bacb831f7999d0f7afaee8f0",
    "yolox_s": "f55ded7181e1b0c13285c56e7790b8f0e8f8db590fe4edb37f0b7f345c913a30",
}


def _published(size: str) -> Published:
    return Published(
        url=f"https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/{size}.pth",
        sha256=_SHA256[size],
        key="model",
        convert=from_published,
    )


# Images are not scaled: the published weights take them in [0, 255].
_MEAN, _STD = (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)


@detectors.register(
    "yolox_nano",
    display_name="YOLOX-Nano",
    paper=PAPER,
    parameter_count=896_949,
    pretrained_weights=_published("yolox_nano"),
    mean=_MEAN,
    std=_STD,
    recipe=_recipe(416, 5e-3),
)
def yolox_nano(class_count: int) -> nn.Module:
    """Build a YOLOX-Nano, which has a quarter of the channels and depthwise convolutions."""
    return Yolox(class_count, width=0.25, depthwise=True)


@detectors.register(
    "yolox_tiny",
    display_name="YOLOX-Tiny",
    paper=PAPER,
    parameter_count=5_033_157,
    pretrained_weights=_published("yolox_tiny"),
    mean=_MEAN,
    std=_STD,
    recipe=_recipe(416, 5e-3),
)
def yolox_tiny(class_count: int) -> nn.Module:
    """Build a YOLOX-Tiny, which has three eighths of the channels."""
    return Yolox(class_count, width=0.375)


@detectors.register(
    "yolox_s",
    display_name="YOLOX-S",
    paper=PAPER,
    parameter_count=8_938_069,
    pretrained_weights=_published("yolox_s"),
    mean=_MEAN,
    std=_STD,
    recipe=_recipe(640, 2e-3),
)
def yolox_s(class_count: int) -> nn.Module:
    """Build a YOLOX-S, which has half of the channels."""
    return Yolox(class_count, width=0.5)
