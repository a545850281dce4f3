"""What a network says of an image's pixels, and what comes of it at the image's own size.

Logits lie on a grid over the letterbox, coarser than its pixels for most networks. Between the
centers of the grid's cells they are interpolated (bilinearly, in float32) right at the centers of
the image's pixels, so that a mask lies on its image to the pixel whatever the sizes; and only then
is the likeliest class taken, so that outlines are smooth.

An image of 24 million pixels and 150 classes would have 3.6 billion probabilities. So it is worked
on in bands of rows, some 17 MB each.

Shape letters: C classes, H height, W width, R rows of a band, X some columns, h and w sides of the
network's answer, k and x some of them, P pixels.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from common.data.transforms import inner_size
from common.masks.label_maps import LabelMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from common.masks.label_maps import Labels

    Bytes = NDArray[np.uint8]

CERTAIN = 255
"""A confidence of 1, as it is stored."""

# In a band. A single row of a wide image with many classes may have a few times as many.
_BAND_VALUES = 1 << 22


@dataclass(frozen=True, slots=True)
class PixelScores:
    """Logits over a whole letterbox.

    Attributes:
        logits_Chw: float16, finite. Each stands for a rectangle of the letterbox: those of a row
            share its width evenly, those of a column its height.
    """

    logits_Chw: NDArray[np.float16]


class PixelClasses:
    """The class of each pixel of an image, kept small.

    Attributes:
        labels: At the size of the image.

    Args:
        labels: At the size of the image.
        confidence_HW: uint8, probability of each pixel's class times `CERTAIN`, rounded.
    """

    __slots__ = ("_confidence", "labels")

    def __init__(self, labels: LabelMap, confidence_HW: Bytes) -> None:
        if confidence_HW.shape != (labels.height, labels.width):
            raise ValueError(f"{confidence_HW.shape} is not {(labels.height, labels.width)}")
        self.labels = labels
        self._confidence = zlib.compress(np.ascontiguousarray(confidence_HW).tobytes(), 1)

    @property
    def confidence_HW(self) -> Bytes:
        """Decompress them."""
        flat = np.frombuffer(bytearray(zlib.decompress(self._confidence)), dtype=np.uint8)
        return flat.reshape(self.labels.height, self.labels.width)


def settle(
    output: PixelScores | PixelClasses, width: int, height: int, size_px: int, temperature: float
) -> PixelClasses:
    """Return the classes of the pixels of an image, kept small; see `classes`."""
    if isinstance(output, PixelClasses):
        return output
    labels_HW, confidence_HW = classes(output, width, height, size_px, temperature)
    return PixelClasses(LabelMap.pack(labels_HW), confidence_HW)


def classes(
    output: PixelScores | PixelClasses, width: int, height: int, size_px: int, temperature: float
) -> tuple[Labels, Bytes]:
    """Return the likeliest class of each pixel of an image, and how likely it is.

    Of equally likely ones, the one with the lower index.

    Args:
        output: What the network said, or what was made of that for this image before.
        width: Of the image, in pixels.
        height: Of the image.
        size_px: Side of the network's input.
        temperature: Divides logits before the softmax.

    Returns:
        int16 (H, W), and uint8 (H, W): the probability times `CERTAIN`, rounded.
    """
    if isinstance(output, PixelClasses):
        return output.labels.unpack(), output.confidence_HW
    view = View(output, width, height, size_px)
    labels_HW = np.empty((height, width), dtype=np.int16)
    confidence_HW = np.empty((height, width), dtype=np.uint8)
    for rows in value_bands(view.class_count, width, height):
        logits_RCW = view.logits(rows, slice(0, width))
        best_RW, labels_RW = logits_RCW.max(dim=1)
        odds_RW = logits_RCW.sub_(best_RW[:, None]).div_(temperature).exp_().sum(dim=1)
        labels_HW[rows] = labels_RW.numpy()
        confidence_HW[rows] = (CERTAIN / odds_RW).round_().numpy()
    return labels_HW, confidence_HW


def value_bands(class_count: int, width: int, height: int) -> Iterator[slice]:
    """Yield the rows of each band of a part of an image that is worked on at once."""
    rows = max(1, _BAND_VALUES // (class_count * width))
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


class View:
    """A network's answer seen in the pixels of the image that its letterbox holds.

    Args:
        output: The answer.
        width: Of the image.
        height: Of the image.
        size_px: Side of the letterbox.
    """

    def __init__(self, output: PixelScores, width: int, height: int, size_px: int) -> None:
        self._logits_hCw = torch.from_numpy(output.logits_Chw).permute(1, 0, 2)
        self.class_count, grid_height, grid_width = output.logits_Chw.shape
        inner_width, inner_height = inner_size(width, height, size_px)
        self._down = _Axis(height, inner_height, size_px, grid_height)
        self._across = _Axis(width, inner_width, size_px, grid_width)

    def logits(self, rows: slice, columns: slice) -> Tensor:
        """Return logits at some rows and columns of the image, float32 (R, C, X), a new tensor."""
        down, across = self._down, self._across
        # Along the rows first, and only on the grid's own: most images have far more. Then whole
        # rows are what is picked, which is quick.
        top, bottom = int(down.low[rows.start]), int(down.high[rows.stop - 1]) + 1
        left, right = int(across.low[columns.start]), int(across.high[columns.stop - 1]) + 1
        grid_kCx = self._logits_hCw[top:bottom, :, left:right].float()
        grid_kCX = torch.lerp(
            grid_kCx.index_select(2, across.low[columns] - left),
            grid_kCx.index_select(2, across.high[columns] - left),
            across.part[columns],
        )
        return torch.lerp(
            grid_kCX.index_select(0, down.low[rows] - top),
            grid_kCX.index_select(0, down.high[rows] - top),
            down.part[rows, None, None],
        )


def logits_at(
    output: PixelScores, places_P: NDArray[np.int64], size_px: int
) -> NDArray[np.float16]:
    """Return the logits at some pixels of the letterbox, (P, C).

    Args:
        output: What the network said.
        places_P: Numbers of pixels, row by row.
        size_px: Side of the letterbox.
    """
    logits_Chw = torch.from_numpy(output.logits_Chw)
    _, grid_height, grid_width = logits_Chw.shape
    row_P, column_P = (torch.from_numpy(part_P) for part_P in np.divmod(places_P, size_px))
    down, across = (_Axis(size_px, size_px, size_px, count) for count in (grid_height, grid_width))
    upper_CP, lower_CP = (
        torch.lerp(
            logits_Chw[:, rows[row_P], across.low[column_P]].float(),
            logits_Chw[:, rows[row_P], across.high[column_P]].float(),
            across.part[column_P],
        )
        for rows in (down.low, down.high)
    )
    logits_CP = torch.lerp(upper_CP, lower_CP, down.part[row_P])
    halves_PC: NDArray[np.float16] = logits_CP.T.half().numpy()
    return halves_PC


class _Axis:
    """Between which cells of a grid, and where, the centers of an image's pixels lie on an axis.

    Args:
        length: Of the image, in pixels.
        inner: What it has become in the letterbox.
        size_px: Side of the letterbox.
        count: Cells of the grid along it.
    """

    def __init__(self, length: int, inner: int, size_px: int, count: int) -> None:
        cells = (torch.arange(length, dtype=torch.float64) + 0.5) * (inner / length)
        cells = (cells * (count / size_px) - 0.5).clamp(0, count - 1)
        self.low = cells.long()
        self.high = (self.low + 1).clamp(max=count - 1)
        self.part = (cells - self.low).float()


def scores(logits_NChw: Tensor) -> list[PixelScores]:
    """Take the answer of a network to several images apart."""
    most = torch.finfo(torch.float16).max
    halves_NChw = logits_NChw.float().clamp(-most, most).half().cpu().numpy()
    # Copies, so that one that is kept does not keep the others.
    return [PixelScores(logits_Chw.copy()) for logits_Chw in halves_NChw]
