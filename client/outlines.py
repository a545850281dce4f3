"""From a mask to a polygon along the edges of its pixels.

Several pieces, and holes, are one polygon: it goes from one border to the next and back on the same
line. Drawn by the rule that counts how often a border is crossed, it is the mask again.

Shape letters: H height, W width, S straight edges.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Point = tuple[int, int]


def polygon(mask_HW: NDArray[np.uint8]) -> list[Point]:
    """Return the corners of a mask; none if nothing is inside."""
    path: list[Point] = []
    for ring in _rings(np.pad(mask_HW != 0, 1)):
        back = [path[0]] if path else []
        path += [*ring, ring[0], *back]
    return path[:-1]


def _rings(padded_HW: NDArray[np.bool_]) -> Iterator[list[Point]]:
    """Yield each border, with what is inside on its right."""
    across: dict[Point, list[Point]] = defaultdict(list)  # where edges lead, by where they start
    down: dict[Point, list[Point]] = defaultdict(list)
    below_HW, above_HW = padded_HW[1:, 1:-1], padded_HW[:-1, 1:-1]
    for y, start, end in _runs(below_HW & ~above_HW):
        across[start, y].append((end, y))
    for y, start, end in _runs(above_HW & ~below_HW):
        across[end, y].append((start, y))
    right_WH, left_WH = padded_HW[1:-1, 1:].T, padded_HW[1:-1, :-1].T
    for x, start, end in _runs(left_WH & ~right_WH):
        down[x, start].append((x, end))
    for x, start, end in _runs(right_WH & ~left_WH):
        down[x, end].append((x, start))
    for begin in sorted(across):
        while across[begin]:
            ring: list[Point] = []
            point = begin
            while not ring or point != begin:
                corner = across[point].pop()
                ring += [point, corner]
                point = down[corner].pop()
            yield ring


def _runs(edges_HW: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Yield row, first and last place of each run of edges."""
    changes_HW = np.diff(np.pad(edges_HW, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows_S, starts_S = np.nonzero(changes_HW == 1)
    ends_S = np.nonzero(changes_HW == -1)[1]
    yield from zip(rows_S.tolist(), starts_S.tolist(), ends_S.tolist(), strict=True)
