"""The outline of an object as an annotation file has it, mistakes included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.masks import rle as masks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from common.masks.rle import Box, Rle

    Polygon = NDArray[np.float32]

# What Python and numpy take for an outline and for each of its polygons, beside the numbers.
_OBJECT_BYTES, _POLYGON_BYTES = 120, 160


@dataclass(frozen=True, slots=True)
class Outline:
    """Polygons, or a mask.

    Attributes:
        polygons: x and y of each point, by turns, float32, in the coordinates of the file (pixels,
            or fractions of the image's sides); they may lie outside of the image or be NaN.
        rle: A mask, of the size that it says itself.
    """

    polygons: tuple[Polygon, ...] = ()
    rle: Rle | None = None

    @property
    def byte_count(self) -> int:
        """How much memory it takes, about."""
        runs = len(self.rle["counts"]) if self.rle else 0
        numbers = sum(_POLYGON_BYTES + polygon.nbytes for polygon in self.polygons)
        return _OBJECT_BYTES + numbers + runs

    @property
    def key(self) -> int:
        """A number that other outlines are very unlikely to have."""
        numbers = tuple(polygon.tobytes() for polygon in self.polygons)
        return hash((numbers, self.rle and self.rle["counts"]))

    def bounds(self) -> Box | None:
        """Return the box around it, in the coordinates of the file; None if nothing is inside."""
        if self.rle is not None:
            return masks.bounds(self.rle)
        points = [polygon.reshape(-1, 2) for polygon in self.polygons if len(polygon)]
        if not points:
            return None
        points_P2 = np.concatenate(points)
        xmin, ymin = points_P2.min(axis=0).tolist()
        xmax, ymax = points_P2.max(axis=0).tolist()
        return xmin, ymin, xmax, ymax

    def scaled(self, across: float, down: float) -> Outline:
        """Return it on a copy of the image of another size; a mask says its own, and stays."""
        factors_2 = np.array([across, down], np.float64)
        moved = (polygon((one.reshape(-1, 2) * factors_2).ravel()) for one in self.polygons)
        return Outline(tuple(moved), self.rle)


def polygon(numbers: Sequence[float] | NDArray[np.float64]) -> Polygon:
    """Return a polygon for an outline; numbers that are too large for it become infinite."""
    with np.errstate(over="ignore"):
        return np.array(numbers, np.float64).astype(np.float32)
