"""Cuts pictures into bands of rows, so that what is computed of each pixel needs little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_PIXELS = 1 << 22


def bands(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of each band, from the top: about four million pixels, at least a row."""
    rows = max(1, _MOST_PIXELS // max(width, 1))
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))
