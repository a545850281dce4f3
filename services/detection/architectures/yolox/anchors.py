"""Anchors: the points from which boxes are told, one for each cell of each resolution.

Shape letters: N images, A anchors, 4 sides of a box or what tells them, 2 across and down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

STRIDES = (8, 16, 32)
"""Pixels between two anchors of each resolution, finest first."""

# A box of e¹⁰ strides a side is larger than any image. What is beyond would be infinite in time.
_LOG_SIZE_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Anchors:
    """The anchors of an image, row by row, finest resolution first.

    Attributes:
        cells_A2: Column and row of an anchor's cell, from 0, float32.
        strides_A1: Pixels of a cell's side, float32.
    """

    cells_A2: Tensor
    strides_A1: Tensor

    def __len__(self) -> int:
        return len(self.cells_A2)

    @property
    def centres_A2(self) -> Tensor:
        """Centres of the cells, x and y in pixels."""
        return (self.cells_A2 + 0.5) * self.strides_A1


def make(shapes: Sequence[tuple[int, int]], device: torch.device | None = None) -> Anchors:
    """Return the anchors of features of these heights and widths, finest first."""
    cells, strides = [], []
    for (height, width), stride in zip(shapes, STRIDES, strict=True):
        rows = torch.arange(height, dtype=torch.float32, device=device)
        columns = torch.arange(width, dtype=torch.float32, device=device)
        down, across = torch.meshgrid(rows, columns, indexing="ij")
        cells.append(torch.stack((across, down), dim=-1).flatten(0, 1))
        strides.append(rows.new_full((height * width, 1), stride))
    return Anchors(torch.cat(cells), torch.cat(strides))


def decode(told_NA4: Tensor, anchors: Anchors) -> Tensor:
    """Turn what a network tells of boxes into xmin, ymin, xmax, ymax in pixels, float32.

    It tells the centre, x and y, in cells from the cell's upper left corner, and the logarithms
    of width and height in cells.
    """
    told_NA4 = told_NA4.float()
    centres_NA2 = (told_NA4[..., :2] + anchors.cells_A2) * anchors.strides_A1
    halves_NA2 = told_NA4[..., 2:].clamp(max=_LOG_SIZE_MAX).exp() * anchors.strides_A1 / 2
    return torch.cat((centres_NA2 - halves_NA2, centres_NA2 + halves_NA2), dim=-1)


def encode(boxes_NA4: Tensor, anchors: Anchors) -> Tensor:
    """Return what a network should tell at each anchor for these boxes; the inverse of `decode`.

    Args:
        boxes_NA4: xmin, ymin, xmax, ymax in pixels, of positive area.
        anchors: One for each box.
    """
    lower_NA2, upper_NA2 = boxes_NA4[..., :2], boxes_NA4[..., 2:]
    centres_NA2 = (lower_NA2 + upper_NA2) / (2 * anchors.strides_A1) - anchors.cells_A2
    sizes_NA2 = ((upper_NA2 - lower_NA2) / anchors.strides_A1).log()
    return torch.cat((centres_NA2, sizes_NA2), dim=-1)
