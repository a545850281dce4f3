"""The neck, which lets the three resolutions know of each other.

Shape letters: N images, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from services.detection.architectures.yolox.blocks import ConvBlock, CspLayer

if TYPE_CHECKING:
    from torch import Tensor

    from services.detection.architectures.yolox.backbone import CspDarknet
    from services.detection.architectures.yolox.blocks import MakeConv


class Pafpn(nn.Module):
    """A path aggregation network: what is coarse goes down to the fine, and back up.

    Source: Liu et al., "Path Aggregation Network for Instance Segmentation", 2018,
    https://arxiv.org/abs/1803.01534

    Args:
        backbone: Gives features of strides 8, 16 and 32.
        widths: Their channels, which are also those of what comes out.
        depth: Bottlenecks of each layer.
        conv: Makes 3×3 convolutions.
    """

    def __init__(
        self, backbone: CspDarknet, widths: tuple[int, int, int], depth: int, conv: MakeConv
    ) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.backbone = backbone
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral_conv0 = ConvBlock(coarse, middle, 1)
        self.C3_p4 = CspLayer(2 * middle, middle, depth, conv, shortcut=False)
        self.reduce_conv1 = ConvBlock(middle, fine, 1)
        self.C3_p3 = CspLayer(2 * fine, fine, depth, conv, shortcut=False)
        self.bu_conv2 = conv(fine, fine, 3, 2)
        self.C3_n3 = CspLayer(2 * fine, middle, depth, conv, shortcut=False)
        self.bu_conv1 = conv(middle, middle, 3, 2)
        self.C3_n4 = CspLayer(2 * middle, coarse, depth, conv, shortcut=False)

    def forward(self, images_N3HW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features of strides 8, 16 and 32."""
        fine, middle, coarse = self.backbone(images_N3HW)
        top = self.lateral_conv0(coarse)
        down = self.reduce_conv1(self.C3_p4(_join(self.upsample(top), middle)))
        out_fine: Tensor = self.C3_p3(_join(self.upsample(down), fine))
        out_middle: Tensor = self.C3_n3(_join(self.bu_conv2(out_fine), down))
        out_coarse: Tensor = self.C3_n4(_join(self.bu_conv1(out_middle), top))
        return out_fine, out_middle, out_coarse


def _join(first_NCHW: Tensor, second_NCHW: Tensor) -> Tensor:
    return torch.cat((first_NCHW, second_NCHW), dim=1)
