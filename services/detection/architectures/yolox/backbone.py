"""CSPDarknet, which turns images into features of three resolutions.

Shape letters: N images, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from services.detection.architectures.yolox.blocks import CspLayer, Focus, SpatialPyramidPooling

if TYPE_CHECKING:
    from torch import Tensor

    from services.detection.architectures.yolox.blocks import MakeConv


class CspDarknet(nn.Module):
    """Images (N, 3, H, W) to features (N, C, H / s, W / s) for s of 8, 16 and 32.

    Source: Bochkovskiy, Wang, Liao, "YOLOv4", 2020, https://arxiv.org/abs/2004.10934, with the
    stem and the depths that YOLOX has.

    Args:
        widths: Channels of the five stages; the last three are given out.
        depth: Bottlenecks of the first and last stage; those between have three times as many.
        conv: Makes 3×3 convolutions.
    """

    def __init__(self, widths: tuple[int, int, int, int, int], depth: int, conv: MakeConv) -> None:
        super().__init__()
        stem, dark2, dark3, dark4, dark5 = widths
        self.stem = Focus(stem)
        self.dark2 = _stage(stem, dark2, depth, conv)
        self.dark3 = _stage(dark2, dark3, 3 * depth, conv)
        self.dark4 = _stage(dark3, dark4, 3 * depth, conv)
        self.dark5 = nn.Sequential(
            conv(dark4, dark5, 3, 2),
            SpatialPyramidPooling(dark5),
            CspLayer(dark5, dark5, depth, conv, shortcut=False),
        )

    def forward(self, images_N3HW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features of strides 8, 16 and 32."""
        fine: Tensor = self.dark3(self.dark2(self.stem(images_N3HW)))
        middle: Tensor = self.dark4(fine)
        coarse: Tensor = self.dark5(middle)
        return fine, middle, coarse


def _stage(in_channels: int, out_channels: int, depth: int, conv: MakeConv) -> nn.Sequential:
    return nn.Sequential(
        conv(in_channels, out_channels, 3, 2),
        CspLayer(out_channels, out_channels, depth, conv, shortcut=True),
    )
