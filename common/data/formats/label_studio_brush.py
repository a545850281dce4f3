"""Masks that were painted in Label Studio, as its exports write them.

The list `rle` holds bytes, a stream of bits with the highest bit first:

    32 bits             how many words follow: four for each pixel, its red, green, blue and alpha
    5 bits              bits of a word, less one
    4 times 4 bits      bits of a length, less one, for each of four kinds of runs
    runs                1 bit: whether all words of the run are the same; 2 bits: its kind; its
                        length, less one; then the one word, or all of them

Pixels come row by row. What is painted has full alpha, and about half of it along an edge.

Format: RLE-Pack, https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack

Shape letters: H height, W width, P pixels, B bits, N words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from common.data.formats.mask_pixels import MAX_MASK_PIXELS
from common.masks import rle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint8]

_WORDS_A_PIXEL = 4
_ALPHA = 3
_MOST_BITS = 8


class BrushError(ValueError):
    """A mask that cannot be read; the message says why."""


def decode(data: Any, height: int, width: int) -> rle.Rle:
    """Return the mask that is written in a list of bytes.

    Raises:
        BrushError: It is none, or not one of an image of this size.
    """
    if min(height, width) < 1 or height * width > MAX_MASK_PIXELS:
        raise BrushError(f"its image has {width} × {height} pixels")
    try:
        stream = _Stream(bytes(data) if isinstance(data, list) else b"")
    except (TypeError, ValueError):
        raise BrushError("its rle is no list of bytes") from None
    count = stream.number(32)
    if count != height * width * _WORDS_A_PIXEL:
        raise BrushError(f"its runs have {count} words, the image has {width} × {height} pixels")
    word_bits = stream.number(5) + 1
    if word_bits > _MOST_BITS:
        raise BrushError(f"its words have {word_bits} bits, more than {_MOST_BITS}")
    length_bits = [stream.number(4) + 1 for _ in range(4)]
    alpha_P = np.zeros(height * width, np.uint8)
    start = 0
    while start < count:
        kind = stream.number(3)
        end = start + stream.number(length_bits[kind & 3]) + 1
        if end > count:
            raise BrushError("a run goes on behind the last pixel")
        # Of the pixels whose alpha is in the run.
        first, last = start // _WORDS_A_PIXEL, end // _WORDS_A_PIXEL
        if kind & 4:
            alpha_P[first:last] = stream.number(word_bits)
        else:
            words_N = stream.words(end - start, word_bits)
            offset = first * _WORDS_A_PIXEL + _ALPHA - start
            alpha_P[first:last] = words_N[offset::_WORDS_A_PIXEL]
        start = end
    # Programs that write 1 for what is painted, instead of 255, are understood too.
    painted_P = alpha_P >= max(1, (int(alpha_P.max()) + 1) // 2)
    return rle.encode(painted_P.reshape(height, width))


class _Stream:
    """Bytes, read bit by bit."""

    def __init__(self, data: bytes) -> None:
        self._bit_count = 8 * len(data)
        self._data = data + bytes(8)  # so that a number may be read at the very end
        self._at = 0

    def number(self, bits: int) -> int:
        """Return the next number, of at most 32 bits."""
        byte, within = divmod(self._at, 8)
        self._go_on(bits)
        return int.from_bytes(self._data[byte : byte + 5]) >> 40 - within - bits & (1 << bits) - 1

    def words(self, count: int, bits: int) -> Words:
        """Return the next words, of at most 8 bits each."""
        byte, within = divmod(self._at, 8)
        self._go_on(count * bits)
        packed_B = np.frombuffer(self._data[byte : self._at // 8 + 1], np.uint8)
        bits_B = np.unpackbits(packed_B)[within : within + count * bits]
        return np.packbits(bits_B.reshape(count, bits), axis=1)[:, 0] >> np.uint8(8 - bits)

    def _go_on(self, bits: int) -> None:
        self._at += bits
        if self._at > self._bit_count:
            raise BrushError("it ends before its last pixel")
