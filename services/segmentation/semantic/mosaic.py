"""Merges what a network says of an image's tiles.

Probabilities are averaged. A tile counts less towards its inner borders, where the network knows
less of what is around: over `OVERLAP` of its side its weight falls evenly to 0. The image as a
whole counts a little everywhere.

With 150 classes, 65 answers of a U-Net take over a gigabyte. So the borders of all tiles divide the
image into parts, each of which is decided on as soon as the tiles that show it are there; and what
is known of a tile goes with the last of its parts. As tiles come row by row, about a row is kept.

Shape letters: C classes, H height, W width, R rows of a band, X columns of a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from common.masks.label_maps import LabelMap
from common.serving.tiles import OVERLAP
from common.training.learner import Merger
from services.segmentation.semantic.outputs import (
    CERTAIN,
    PixelClasses,
    View,
    settle,
    value_bands,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from common.serving.tiles import Tile
    from services.segmentation.semantic.outputs import PixelScores

_WHOLE_WEIGHT = 0.1
"""Of what the network says of the image as a whole, where in a tile it sees the place itself.

Little: it has seen all details made smaller. But it knows the surroundings, and decides where the
tiles do not know.
"""


@dataclass(slots=True)
class _Part:
    """A rectangle of the image that no tile's border crosses.

    Attributes:
        rows: Of the image.
        columns: Of the image.
        numbers: The tiles that show it, rising.
        missing: How many of them are not there yet.
    """

    rows: slice
    columns: slice
    numbers: list[int]
    missing: int


class Mosaic(Merger):
    """Makes the classes of an image's pixels of what the network says of its tiles.

    Args:
        tiles: Where they lie; the first one is the image as a whole.
        width: Of the image.
        height: Of the image.
        size_px: Side of the network's input.
        temperature: Divides logits before the softmax.
    """

    def __init__(
        self, tiles: Sequence[Tile], width: int, height: int, size_px: int, temperature: float
    ) -> None:
        self._tiles = tiles
        self._width, self._height = width, height
        self._size_px, self._temperature = size_px, temperature
        self._views: dict[int, View] = {}
        self._parts: list[list[_Part]] = [[] for _ in tiles]  # that are to be decided on
        for part in _parts(tiles):
            for number in part.numbers:
                self._parts[number].append(part)
        self._labels_HW = np.empty((height, width), dtype=np.int16)
        self._confidence_HW = np.empty((height, width), dtype=np.uint8)
        self._alone: PixelClasses | None = None

    @property
    def kept(self) -> int:
        """Of how many tiles the answers are kept."""
        return len(self._views)

    def add(self, number: int, output: PixelScores) -> None:
        """Take the output for a tile, and decide on what it makes complete."""
        if len(self._tiles) == 1:
            self._alone = settle(
                output, self._width, self._height, self._size_px, self._temperature
            )
            return
        tile = self._tiles[number]
        self._views[number] = View(output, tile.width, tile.height, self._size_px)
        for part in list(self._parts[number]):
            part.missing -= 1
            if not part.missing:
                self._decide(part)
                for shown in part.numbers:
                    self._parts[shown].remove(part)
                    if not self._parts[shown]:
                        del self._views[shown]

    def end(self) -> PixelClasses:
        """Return the classes of the pixels, once all tiles have had their turn."""
        if self._alone:
            return self._alone
        return PixelClasses(LabelMap.pack(self._labels_HW), self._confidence_HW)

    def _decide(self, part: _Part) -> None:
        class_count = self._views[part.numbers[0]].class_count
        left, right = part.columns.start, part.columns.stop
        top, bottom = part.rows.start, part.rows.stop
        for band in value_bands(class_count, right - left, bottom - top):
            rows = slice(top + band.start, top + band.stop)
            votes_RCX = torch.zeros(rows.stop - rows.start, class_count, right - left)
            weight_RX = torch.zeros(rows.stop - rows.start, right - left)
            for number in part.numbers:
                tile = self._tiles[number]
                seen = slice(rows.start - tile.ymin, rows.stop - tile.ymin)
                across = slice(left - tile.xmin, right - tile.xmin)
                most = 1.0 if number else _WHOLE_WEIGHT
                one_RX = _weights(tile, seen, across, self._width, self._height, most)
                logits_RCX = self._views[number].logits(seen, across).div_(self._temperature)
                votes_RCX += logits_RCX.softmax(dim=1).mul_(one_RX[:, None])
                weight_RX += one_RX
            best_RX, labels_RX = votes_RCX.max(dim=1)
            self._labels_HW[rows, part.columns] = labels_RX.numpy()
            sure_RX = (CERTAIN * best_RX / weight_RX).round_().clamp_(max=CERTAIN)
            self._confidence_HW[rows, part.columns] = sure_RX.numpy()


def merge(
    outputs: Sequence[PixelScores],
    tiles: Sequence[Tile],
    width: int,
    height: int,
    size_px: int,
    temperature: float,
) -> PixelClasses:
    """Merge what the network said of an image and its tiles; see `Mosaic`.

    Args:
        outputs: One a tile.
        tiles: See there, as all else.
        width: Of the image.
        height: Of the image.
        size_px: Side of the network's input.
        temperature: Divides logits before the softmax.
    """
    mosaic = Mosaic(tiles, width, height, size_px, temperature)
    for number, output in enumerate(outputs):
        mosaic.add(number, output)
    return mosaic.end()


def _parts(tiles: Sequence[Tile]) -> Iterator[_Part]:
    downs = sorted({edge for one in tiles for edge in (one.ymin, one.ymin + one.height)})
    acrosses = sorted({edge for one in tiles for edge in (one.xmin, one.xmin + one.width)})
    for top, bottom in pairwise(downs):
        for left, right in pairwise(acrosses):
            numbers = [
                number
                for number, one in enumerate(tiles)
                if one.xmin <= left < one.xmin + one.width
                and one.ymin <= top < one.ymin + one.height
            ]
            yield _Part(slice(top, bottom), slice(left, right), numbers, len(numbers))


def _weights(
    tile: Tile, rows: slice, columns: slice, width: int, height: int, most: float
) -> Tensor:
    """Return what a part of a tile counts, (R, X) in (0, most]."""
    across_X = _ramp(
        tile.width, inner_start=tile.xmin > 0, inner_end=tile.xmin + tile.width < width
    )[columns]
    down_R = _ramp(
        tile.height, inner_start=tile.ymin > 0, inner_end=tile.ymin + tile.height < height
    )[rows]
    return most * down_R[:, None] * across_X


def _ramp(length: int, *, inner_start: bool, inner_end: bool) -> Tensor:
    distance = (torch.arange(length) + 0.5) / (OVERLAP * length)
    weight = torch.ones(length)
    if inner_start:
        weight = weight.minimum(distance)
    if inner_end:
        weight = weight.minimum(distance.flip(0))
    return weight
