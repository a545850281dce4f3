"""Variation of training images that leaves their class as it is.

A batch is varied in one go: every image has its own draw, but the arithmetic runs once over all of
them, in a few large operations that release Python's lock. `torchvision.transforms.v2` would draw
once for the whole batch, or take four times as long image by image.

Images are never mirrored. Whether a mirrored image still shows the same class is known only to
whoever made the classes: left and right arrows, hands, letters and road signs change theirs. A
default that nobody looks at must not destroy labels; rotations stay small for the same reason.

Shape letters: N images, H height, W width, 3 colours, K draws an image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from common.data import colours
from common.data.colours import Colours

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Strength:
    """How far an image may be changed; each change is drawn evenly from its range.

    Attributes:
        rotate_deg: Rotation to either side, in degrees.
        zoom: Largest factor by which the content grows or shrinks.
        stretch: Largest factor by which width and height are pulled apart.
        shift: Displacement along each axis, as a fraction of the side.
        colours: How far they may be changed.
        erase: Probability that a rectangle is painted over with the image's mean colour.
    """

    rotate_deg: float
    zoom: float
    stretch: float
    shift: float
    colours: Colours
    erase: float = 0.0


STRENGTHS: dict[str, Strength | None] = {
    "none": None,
    "light": Strength(
        rotate_deg=5, zoom=1.1, stretch=1.05, shift=0.05,
        colours=Colours(brightness=0.1, contrast=0.1, saturation=0.1),
    ),
    "standard": Strength(
        rotate_deg=12, zoom=1.2, stretch=1.1, shift=0.08,
        colours=Colours(brightness=0.2, contrast=0.2, saturation=0.2),
    ),
    "strong": Strength(
        rotate_deg=20, zoom=1.4, stretch=1.2, shift=0.12,
        colours=Colours(brightness=0.4, contrast=0.4, saturation=0.4), erase=0.5,
    ),
}  # fmt: skip

_DRAWS = 13


def augment(images_N3HW: Tensor, level: str, generators: Sequence[torch.Generator]) -> Tensor:
    """Vary uint8 images; an image with the same generator comes out the same in any batch.

    Args:
        images_N3HW: Resized images, uint8.
        level: A key of `STRENGTHS`.
        generators: One for each image, the only source of randomness.
    """
    strength = STRENGTHS[level]
    if strength is None:
        return images_N3HW
    draws_NK = torch.stack([torch.rand(_DRAWS, generator=generator) for generator in generators])
    signed_NK = draws_NK * 2 - 1
    warped_N3HW = _warp(images_N3HW.float(), signed_NK[:, :5], strength)
    coloured_N3HW = colours.vary(warped_N3HW, signed_NK[:, 5:8], strength.colours)
    if strength.erase:
        coloured_N3HW = _erase(coloured_N3HW, draws_NK[:, 8:], strength.erase)
    return coloured_N3HW.clamp_(0, 255).round_().to(torch.uint8)


def _warp(images_N3HW: Tensor, draws_NK: Tensor, strength: Strength) -> Tensor:
    """Rotate, zoom, stretch and shift in one resampling; what was outside is mirrored in."""
    angle_N = draws_NK[:, 0] * math.radians(strength.rotate_deg)
    zoom_N = strength.zoom ** draws_NK[:, 1]
    stretch_N = strength.stretch ** draws_NK[:, 2]
    cosine_N, sine_N = angle_N.cos() / zoom_N, angle_N.sin() / zoom_N
    shift_N2 = 2 * strength.shift * draws_NK[:, 3:5]
    # For each place in the result its place in the image, both in [-1, 1] (as affine_grid, which
    # takes four times as long, lays them out).
    count, _, height, width = images_N3HW.shape
    x_W, y_H = ((torch.arange(side) * 2 + 1) / side - 1 for side in (width, height))
    grid_NHW2 = torch.empty(count, height, width, 2)
    for axis, (along_x_N, along_y_N) in enumerate(
        [(cosine_N * stretch_N, -sine_N), (sine_N, cosine_N / stretch_N)]
    ):
        column_NH = along_y_N[:, None] * y_H + shift_N2[:, axis, None]
        row_NW = along_x_N[:, None] * x_W
        torch.add(row_NW[:, None], column_NH[:, :, None], out=grid_NHW2[..., axis])
    return functional.grid_sample(
        images_N3HW, grid_NHW2, padding_mode="reflection", align_corners=False
    )


def _erase(images_N3HW: Tensor, draws_NK: Tensor, probability: float) -> Tensor:
    """Paint over a rectangle of 2 to 20 % of the area, at the given probability.

    Source: Zhong et al., "Random Erasing Data Augmentation", 2017, https://arxiv.org/abs/1708.04896
    """
    height, width = images_N3HW.shape[2:]
    side_N = (0.02 + 0.18 * draws_NK[:, 1]).sqrt()
    ratio_N = (2 * (2 * draws_NK[:, 2] - 1) * math.log(1.5)).exp().sqrt()
    tall_N, wide_N = (side_N * ratio_N).clamp(max=1), (side_N / ratio_N).clamp(max=1)
    top_N, left_N = draws_NK[:, 3] * (1 - tall_N), draws_NK[:, 4] * (1 - wide_N)
    y_H = (torch.arange(height) + 0.5) / height
    x_W = (torch.arange(width) + 0.5) / width
    inside_NH = (y_H >= top_N[:, None]) & (y_H < (top_N + tall_N)[:, None])
    inside_NW = (x_W >= left_N[:, None]) & (x_W < (left_N + wide_N)[:, None])
    erased_NHW = inside_NH[:, :, None] & inside_NW[:, None, :]
    erased_NHW &= (draws_NK[:, 0] < probability)[:, None, None]
    mean_N3 = images_N3HW.mean(dim=(2, 3))
    return torch.where(erased_NHW[:, None], mean_N3[:, :, None, None], images_N3HW)
