"""From a mask to a polygon that, drawn again, is the very mask.

The polygon goes along the edges of pixels. A mask in several pieces, or with holes, is one polygon
all the same: it goes from one border to the next and back on the same line, inside of which there
is nothing.

Shape letters: H height, W width, P points, S straight edges.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from common.masks import rle
from common.objects.masks import columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Point = tuple[int, int]


def polygon(mask: rle.Rle) -> Ints:
    """Return x and y of the corners of a mask, int64 (P, 2); none if nothing is inside.

    Drawn by COCO's rule, which counts how often a line from the left crosses the border, it is the
    mask again.
    """
    box = rle.bounds(mask)
    if box is None:
        return np.empty((0, 2), np.int64)
    left, top, right, bottom = (int(side) for side in box)
    inside_HW = columns(mask, left, right)[top:bottom] != 0
    path: list[Point] = []
    for ring in _rings(inside_HW):
        # To the ring and, once it is closed, back to where the first one began.
        path += [*ring, ring[0]]
        if len(path) > len(ring) + 1:
            path.append(path[0])
    if path[-1] == path[0]:
        path.pop()
    corners_P2: Ints = np.array(path, np.int64) + np.array([left, top])
    return corners_P2


def _rings(inside_HW: NDArray[np.bool_]) -> list[list[Point]]:
    """Return the borders of a mask as lists of corners, outside ones and those of holes."""
    padded_HW = np.pad(inside_HW, 1)
    here_HW, above_HW = padded_HW[1:, 1:-1], padded_HW[:-1, 1:-1]
    across = defaultdict(list)  # Where straight edges lead, by where they start.
    for edges_HW, forward in ((here_HW & ~above_HW, True), (above_HW & ~here_HW, False)):
        for y, start, end in _runs(edges_HW):
            first, last = (start, end) if forward else (end, start)
            across[first, y].append((last, y))
    down = defaultdict(list)
    here_WH, before_WH = padded_HW[1:-1, 1:].T, padded_HW[1:-1, :-1].T
    for edges_WH, forward in ((before_WH & ~here_WH, True), (here_WH & ~before_WH, False)):
        for x, start, end in _runs(edges_WH):
            first, last = (start, end) if forward else (end, start)
            down[x, first].append((x, last))
    rings = []
    for begin in sorted(across):
        while across[begin]:
            ring: list[Point] = []
            point = begin
            while not ring or point != begin:
                corner = across[point].pop()
                ring += [point, corner]
                point = down[corner].pop()
            rings.append(ring)
    return rings


def _runs(edges_HW: NDArray[np.bool_]) -> list[Any]:
    """Return row, first and last place of each run of a boolean array's rows."""
    changes_HW = np.diff(np.pad(edges_HW, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows_S, starts_S = np.nonzero(changes_HW == 1)
    ends_S = np.nonzero(changes_HW == -1)[1]
    return list(zip(rows_S.tolist(), starts_S.tolist(), ends_S.tolist(), strict=True))
