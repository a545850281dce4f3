"""Where an image is cut into tiles, so that a network sees what is small in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

MAX_TILES = 64
"""Of an image, the image as a whole not counted."""

OVERLAP = 0.2
"""Of a tile's side, at least. An object up to so large lies whole in one of the tiles."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of an image, in whole pixels.

    Attributes:
        xmin: Left; the origin is the image's upper left corner.
        ymin: Top.
        width: Of the tile.
        height: Of the tile.
    """

    xmin: int
    ymin: int
    width: int
    height: int


def cut(width: int, height: int, size_px: int) -> list[Tile]:
    """Cut an image: first the image as a whole, then its tiles, row by row.

    Or column by column if those are shorter: so few tiles have neighbours that are still to come.

    A tile is as large as the network's input, so that it is seen in the image's own resolution;
    in an image that would need more than `MAX_TILES` they are larger, and made smaller for the
    network as the whole is. They are spread evenly and overlap by `OVERLAP` or more. An image that
    fits into the input has none.

    Args:
        width: Of the image.
        height: Of the image.
        size_px: Side of the network's input.
    """
    whole = Tile(0, 0, width, height)
    if max(width, height) <= size_px:
        return [whole]
    side = size_px
    while _count(width, side) * _count(height, side) > MAX_TILES:
        side += max(1, side // 50)
    corners = list(product(_starts(height, side), _starts(width, side)))
    if _count(width, side) > _count(height, side):
        corners.sort(key=lambda corner: corner[1])
    return [
        whole,
        *(Tile(xmin, ymin, min(side, width), min(side, height)) for ymin, xmin in corners),
    ]


def _count(length: int, side: int) -> int:
    return 1 + max(0, math.ceil((length - side) / (side * (1 - OVERLAP))))


def _starts(length: int, side: int) -> list[int]:
    count = _count(length, side)
    return [round(number * (length - side) / max(1, count - 1)) for number in range(count)]
