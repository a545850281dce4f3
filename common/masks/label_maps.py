"""The class of each pixel of an image, kept small.

Shape letters: H height, W width.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.int16]

VOID = -1
"""The label of pixels of which nobody says what they show: not trained on and not measured."""

_LEVEL = 1  # Masks are so regular that more work gains little.


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Labels of pixels, compressed.

    Attributes:
        width: In pixels.
        height: In pixels.
        data: int16, row by row, as zlib compresses it.
    """

    width: int
    height: int
    data: bytes

    @classmethod
    def pack(cls, labels_HW: NDArray[np.integer]) -> Self:
        """Compress labels: indices of classes, or `VOID`."""
        height, width = labels_HW.shape
        rows_HW = np.ascontiguousarray(labels_HW, dtype="<i2")
        return cls(width, height, zlib.compress(rows_HW.tobytes(), _LEVEL))

    def unpack(self) -> Labels:
        """Return int16 (H, W)."""
        flat = np.frombuffer(bytearray(zlib.decompress(self.data)), dtype="<i2")
        return flat.reshape(self.height, self.width)
