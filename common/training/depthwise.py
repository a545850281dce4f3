"""Strided depthwise convolutions, which CPUs are slow at in bf16.

For one that skips pixels and treats each channel for itself, a CPU takes three to six times as long
in bf16 as in fp32, above all backwards, while it is faster at everything else. A MobileNet has a
handful of them, which cost more time than all the rest of it gains.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StridedDepthwise(nn.Conv2d):
    """A convolution that a CPU computes in fp32, whatever the others are computed in."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return the convolution, of the type of the input."""
        in_bf16 = input.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
        if input.device.type != "cpu" or not in_bf16:
            same: Tensor = super().forward(input)
            return same
        bias = None if self.bias is None else self.bias.float()
        with torch.autocast("cpu", enabled=False):
            exact: Tensor = self._conv_forward(input.float(), self.weight.float(), bias)
        return exact.to(input.dtype)


def quicken(network: nn.Module) -> None:
    """Let the strided depthwise convolutions of a network be `StridedDepthwise`.

    Its weights and their names stay as they are.
    """
    for module in network.modules():
        is_depthwise = type(module) is nn.Conv2d and module.groups == module.in_channels > 1
        if is_depthwise and module.stride != (1, 1):
            module.__class__ = StridedDepthwise
