"""From a picture that numbers objects to a mask for each of them.

Shape letters: H height, W width, R runs, O objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from common.masks import rle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from common.masks.rle import Rle


# A picture of objects has a few runs in each column; noise has one for each pixel, which would take
# 50 times the memory of the picture.
_MOST_RUNS = 1 << 23


def masks_of(values_HW: NDArray[np.integer[Any]]) -> Iterator[tuple[int, Rle]]:
    """Yield each value but 0, ascending, with the mask of the pixels that have it.

    The picture is looked at once, however many objects there are.

    Raises:
        ValueError: It is noise.
    """
    if not values_HW.size:
        return
    height, width = values_HW.shape
    flat = values_HW.ravel(order="F")  # down the columns, as runs are counted
    changes = flat[1:] != flat[:-1]
    if np.count_nonzero(changes) >= _MOST_RUNS:
        raise ValueError("its numbers change from pixel to pixel, as in a photo")
    start_R = np.concatenate([[0], np.flatnonzero(changes) + 1])
    end_R = np.append(start_R[1:], flat.size)
    value_R = flat[start_R]
    order_R = np.argsort(value_R, kind="stable")
    value_O, first_O = np.unique(value_R[order_R], return_index=True)
    for value, runs in zip(value_O.tolist(), np.split(order_R, first_O[1:]), strict=True):
        if value:
            edges = np.column_stack([start_R[runs], end_R[runs]]).ravel()
            yield value, rle.from_edges(edges, height, width)


def commonest(
    values_HW: NDArray[np.integer[Any]], others_HW: NDArray[np.integer[Any]]
) -> dict[int, int]:
    """Return for each value but 0 which value another picture has most often in its place.

    Args:
        values_HW: Numbers of objects, at least 0.
        others_HW: Numbers in [0, 2**24), such as of classes. Where it is 0 does not count, so that
            objects without another value there are missing.
    """
    inside_HW = (values_HW != 0) & (others_HW != 0)
    pairs = values_HW[inside_HW].astype(np.int64) << 24 | others_HW[inside_HW].astype(np.int64)
    found, counts = np.unique(pairs, return_counts=True)
    # Of equally frequent ones the smallest.
    order = np.lexsort((found, -counts))
    best: dict[int, int] = {}
    for pair in found[order].tolist():
        best.setdefault(pair >> 24, pair & 0xFFFFFF)
    return best
