"""Variation of an image's colours: nothing in it moves, so it suits every task.

Shape letters: N images, 3 colours, H height, W width, P pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_GREY_3 = (0.299, 0.587, 0.114)  # ITU-R BT.601, as torchvision's rgb_to_grayscale
_STRIP_ROWS = 64  # Of an image of usual width, what stays in the processor's cache as floats.


@dataclass(frozen=True, kw_only=True)
class Colours:
    """How far colours may be changed.

    Attributes:
        brightness: All colours times 1 ± this.
        contrast: Distance from the image's mean grey times 1 ± this.
        saturation: Distance from each pixel's grey times 1 ± this.
    """

    brightness: float
    contrast: float
    saturation: float


def vary(images_N3HW: Tensor, draws_N3: Tensor, colours: Colours) -> Tensor:
    """Change brightness, contrast and saturation, which together are one matrix a pixel.

    Args:
        images_N3HW: float32, of any range.
        draws_N3: For brightness, contrast and saturation, in [-1, 1]: 1 is as much more as
            `colours` allows, -1 as much less.
        colours: How far.

    Returns:
        Images of the same shape, float32, which may leave the range of the given ones.
    """
    matrix_N33, offset_N = _coefficients(images_N3HW.mean(dim=(2, 3)), draws_N3, colours)
    flat_N3P = images_N3HW.flatten(start_dim=2)
    return torch.baddbmm(offset_N[:, None, None], matrix_N33, flat_N3P).view_as(images_N3HW)


def vary_bytes(image_3HW: Tensor, draws_3: Tensor, colours: Colours) -> Tensor:
    """Do the same to one uint8 image, rounded and cut to [0, 255].

    It is worked on in strips that fit the processor's cache, which takes half the time.

    Returns:
        A new image, uint8, with interleaved colours in memory.
    """
    matrix_133, offset_1 = _coefficients(
        image_3HW.float().mean(dim=(1, 2))[None], draws_3[None], colours
    )
    _, height, width = image_3HW.shape
    varied_3HW = torch.empty(height, width, 3, dtype=torch.uint8).permute(2, 0, 1)
    for top in range(0, height, _STRIP_ROWS):
        strip_3HW = image_3HW[:, top : top + _STRIP_ROWS].to(
            torch.float32, memory_format=torch.contiguous_format
        )
        floats_3P = torch.addmm(offset_1, matrix_133[0], strip_3HW.flatten(start_dim=1))
        varied_3HW[:, top : top + _STRIP_ROWS] = (
            floats_3P.clamp_(0, 255).round_().view_as(strip_3HW)
        )
    return varied_3HW


def _coefficients(mean_N3: Tensor, draws_N3: Tensor, colours: Colours) -> tuple[Tensor, Tensor]:
    """Return for each image the matrix (3, 3), and what is added to each colour afterwards."""
    brightness_N = 1 + colours.brightness * draws_N3[:, 0]
    contrast_N = 1 + colours.contrast * draws_N3[:, 1]
    saturation_N = 1 + colours.saturation * draws_N3[:, 2]
    grey_3 = torch.tensor(_GREY_3)
    mean_grey_N = mean_N3 @ grey_3
    # colour → saturation · colour + (1 - saturation) · grey, a 3×3 matrix.
    mix_N33 = (
        saturation_N[:, None, None] * torch.eye(3) + (1 - saturation_N)[:, None, None] * grey_3
    )
    matrix_N33 = (brightness_N * contrast_N)[:, None, None] * mix_N33
    return matrix_N33, brightness_N * (1 - contrast_N) * mean_grey_N
