"""What YOLOX is built from: convolutions, cross-stage partial layers, pooling, the stem.

Names of parts are those of the published checkpoints.

Shape letters: N images, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    # From channels in, channels out, side of the kernel and stride.
    MakeConv = Callable[[int, int, int, int], nn.Module]

_NORM_EPS = 1e-3
# Published is 0.03. On a few hundred images a training is short, and statistics that are a hundred
# steps old are those of another network: with it, four images are known by heart after 200 steps,
# with this after 120.
_NORM_MOMENTUM = 0.1


class ConvBlock(nn.Module):
    """Convolution, batch normalization and SiLU: (N, C, H, W) to (N, C', H / stride, W / stride).

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel: Side of the kernel, odd.
        stride: Pixels between two outputs.
        groups: Groups of channels that do not see each other.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=kernel // 2,
            groups=groups,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=_NORM_EPS, momentum=_NORM_MOMENTUM)
        self.act = nn.SiLU()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return what the block makes of features."""
        out: Tensor = self.act(self.bn(self.conv(x_NCHW)))
        return out


class DepthwiseBlock(nn.Module):
    """A convolution of each channel for itself, then one across the channels.

    It does the work of a `ConvBlock` with a fraction of its weights.

    Source: Howard et al., "MobileNets", 2017, https://arxiv.org/abs/1704.04861
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.dconv = ConvBlock(in_channels, in_channels, kernel, stride, groups=in_channels)
        self.pconv = ConvBlock(in_channels, out_channels, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return what the block makes of features."""
        out: Tensor = self.pconv(self.dconv(x_NCHW))
        return out


class Bottleneck(nn.Module):
    """A convolution in each pixel and one over 3×3, with or without the input added."""

    def __init__(self, channels: int, conv: MakeConv, *, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = ConvBlock(channels, channels, 1)
        self.conv2 = conv(channels, channels, 3, 1)
        self._shortcut = shortcut

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return features of the same shape."""
        out: Tensor = self.conv2(self.conv1(x_NCHW))
        return out + x_NCHW if self._shortcut else out


class CspLayer(nn.Module):
    """Two branches of half the channels, of which one goes through bottlenecks, joined again.

    Source: Wang et al., "CSPNet", 2019, https://arxiv.org/abs/1911.11929

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        depth: Number of bottlenecks.
        conv: Makes their 3×3 convolutions.
        shortcut: Whether they add their input.
    """

    def __init__(
        self, in_channels: int, out_channels: int, depth: int, conv: MakeConv, *, shortcut: bool
    ) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.conv1 = ConvBlock(in_channels, hidden, 1)
        self.conv2 = ConvBlock(in_channels, hidden, 1)
        self.conv3 = ConvBlock(2 * hidden, out_channels, 1)
        self.m = nn.Sequential(*(Bottleneck(hidden, conv, shortcut=shortcut) for _ in range(depth)))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return features of the same height and width."""
        branches = (self.m(self.conv1(x_NCHW)), self.conv2(x_NCHW))
        out: Tensor = self.conv3(torch.cat(branches, dim=1))
        return out


class SpatialPyramidPooling(nn.Module):
    """Adds to each pixel the maxima of 5×5, 9×9 and 13×13 pixels around it.

    The larger maxima are taken of the smaller ones, which gives the same in a third of the time.

    Source: He et al., "Spatial Pyramid Pooling", 2014, https://arxiv.org/abs/1406.4729
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.conv1 = ConvBlock(channels, hidden, 1)
        self.conv2 = ConvBlock(4 * hidden, channels, 1)
        self._pool = nn.MaxPool2d(5, stride=1, padding=2)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return features of the same shape."""
        levels = [self.conv1(x_NCHW)]
        for _ in range(3):
            levels.append(self._pool(levels[-1]))
        out: Tensor = self.conv2(torch.cat(levels, dim=1))
        return out


class Focus(nn.Module):
    """Puts squares of 2×2 pixels into channels, then convolves: an image in half its size.

    The squares are read column by column; within a pixel the colours keep their order.
    """

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvBlock(4 * 3, out_channels, 3)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        """Return (N, C, H / 2, W / 2) for images of even sides."""
        # One copy, which leaves channels last in memory if the images had them so.
        pixels_NHW3 = images_N3HW.permute(0, 2, 3, 1)
        squares = torch.unflatten(torch.unflatten(pixels_NHW3, 2, (-1, 2)), 1, (-1, 2))
        squares_NHWC = squares.permute(0, 1, 3, 4, 2, 5).flatten(3)
        out: Tensor = self.conv(squares_NHWC.permute(0, 3, 1, 2))
        return out
