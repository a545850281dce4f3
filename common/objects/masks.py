"""Masks of objects, made and moved within their boxes alone.

A network says for each cell of a small grid over a box how likely it is the object's. `paste` lays
that on the image; `resample` moves masks that are known. Both look at the pixels around the object,
not at the image, so that time and memory for hundreds of objects in a large image stay small.

Shape letters: K objects of an image, M side of a mask as a network gives it, H height, W width of
a part of an image, R runs, L letters, P places where runs begin or end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from common.masks import rle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from common.masks.rle import Rle
    from common.objects.targets import Detections

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]
    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]

THRESHOLD = 0.5
"""A pixel that is at least so likely the object's is part of its mask."""

_BAND_PIXELS = 2**20  # looked at at once, to bound the memory


def paste(masks_KMM: Floats, boxes_K4: Floats, width: int, height: int) -> list[Rle]:
    """Lay masks that a network gives on their image.

    Between the centres of cells a mask is interpolated, and outside of its box it is 0. Each pixel
    has the value at its own centre, whatever fractions the box's sides have: nothing is rounded.

    Args:
        masks_KMM: In [0, 1]; the grid divides the box evenly.
        boxes_K4: xmin, ymin, xmax, ymax in pixels of the image; what is outside of it is cut.
        width: Of the image.
        height: Of the image.

    Returns:
        A mask of the image's size for each; one without a pixel if its box has none, or where a
        number is not finite.

    Source: He et al., "Mask R-CNN", 2017, section 3.1 ("Inference"),
    https://arxiv.org/abs/1703.06870. Differs from torchvision: there the box is rounded to whole
    pixels first, and so moves by up to one.
    """
    return [
        _paste_one(mask_MM, box_4.tolist(), width, height)
        for mask_MM, box_4 in zip(masks_KMM, boxes_K4.astype(np.float64), strict=True)
    ]


def _paste_one(mask_MM: Floats, box: Sequence[float], width: int, height: int) -> Rle:
    xmin, ymin, xmax, ymax = box
    if not np.isfinite(box).all() or not np.isfinite(mask_MM).all():
        return empty(width, height)
    left, right = _centres_inside(xmin, xmax, width)
    top, bottom = _centres_inside(ymin, ymax, height)
    if left >= right or top >= bottom:
        return empty(width, height)
    weights_HM = _weights(top, bottom, ymin, ymax, len(mask_MM))
    places = []
    step = max(1, _BAND_PIXELS // (bottom - top))
    for start in range(left, right, step):
        end = min(start + step, right)
        weights_WM = _weights(start, end, xmin, xmax, len(mask_MM))
        inside_WH = weights_WM @ mask_MM.T @ weights_HM.T >= THRESHOLD
        places.append(_places(inside_WH, start, top, height))
    return _of_places(places, width, height)


def _centres_inside(low: float, high: float, length: int) -> tuple[int, int]:
    """Return the first pixel on an axis whose centre is inside, and the one after the last."""
    return max(int(np.ceil(low - 0.5)), 0), min(int(np.floor(high - 0.5)) + 1, length)


def _weights(start: int, end: int, low: float, high: float, cells: int) -> Floats:
    """Return how much each cell of an axis adds to each of its pixels, (end - start, cells)."""
    place_P = (np.arange(start, end) + 0.5 - low) / (high - low) * cells - 0.5
    away_PM = np.abs(place_P[:, None] - np.arange(cells))
    weights_PM: Floats = np.maximum(1 - away_PM, 0).astype(np.float32)
    return weights_PM


@dataclass(frozen=True, slots=True)
class Segmented:
    """What a network has found in a picture, with masks in their final form.

    Attributes:
        found: Boxes in pixels of the picture; without masks of their own.
        masks_K: One for each, of the picture's size.
        is_finite: Whether all that the network gave was numbers.
    """

    found: Detections
    masks_K: list[Rle]
    is_finite: bool


def settle(found: Detections, width: int, height: int, *, is_finite: bool = True) -> Segmented:
    """Lay the masks of what was found on their picture, of (width, height) pixels."""
    if found.masks_KMM is None:
        raise ValueError("the network finds boxes alone")
    return Segmented(
        replace(found, masks_KMM=None, spans_K4=None),
        paste(found.masks_KMM, found.mask_boxes(), width, height),
        is_finite,
    )


def columns(mask: Rle, start: int, end: int) -> Bytes:
    """Decode some columns of a mask, of which there is at least one: 0 and 1, (H, end - start)."""
    height = mask["size"][0]
    ends_R = np.cumsum(_runs(mask["counts"]))
    first, last = np.searchsorted(ends_R, [start * height, end * height - 1], side="right")
    edges_R = np.clip(ends_R[first : last + 1], start * height, end * height)
    lengths_R = np.diff(edges_R, prepend=start * height)
    flat = np.repeat((np.arange(first, first + len(lengths_R)) & 1).astype(np.uint8), lengths_R)
    return flat.reshape(end - start, height).T


def draw(mask: Rle, canvas_HW: Bytes) -> None:
    """Set the pixels of a canvas of the mask's size to 1 where the mask is; all else stays."""
    if (bounds := rle.bounds(mask)) is not None:
        left, top, right, bottom = (int(side) for side in bounds)
        canvas_HW[top:bottom, left:right] |= columns(mask, left, right)[top:bottom]


def resample(
    mask: Rle, columns_W: Ints, rows_H: Ints, corner: tuple[int, int], size: tuple[int, int]
) -> Rle:
    """Make a mask of some pixels of another, laid somewhere on an empty one.

    Args:
        mask: The other.
        columns_W: Which of its columns the new one shows, from left to right.
        rows_H: Which rows, from top to bottom.
        corner: x and y of the upper left of them in the new one.
        size: Width and height of the new one.
    """
    if not len(columns_W) or not len(rows_H):
        return empty(*size)
    first, last = int(columns_W.min()), int(columns_W.max())
    part_HW = columns(mask, first, last + 1)[:, columns_W - first][rows_H]
    places_P = _places(np.ascontiguousarray(part_HW.T).view(bool), *corner, size[1])
    return _of_places([places_P], *size)


def empty(width: int, height: int) -> Rle:
    """Return a mask without a pixel."""
    return _of_places([], width, height)


def one_pixel(x: int, y: int, width: int, height: int) -> Rle:
    """Return the mask of one pixel."""
    start = x * height + y
    return _of_places([np.array([start, start + 1])], width, height)


def _runs(counts: bytes) -> Ints:
    """Decompress trusted runs: what `common.masks.rle` reads one by one, all at once."""
    letters_L = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if not len(letters_L):
        return np.zeros(1, np.int64)
    last_R = np.flatnonzero(letters_L & 32 == 0)
    first_R = np.append(0, last_R[:-1] + 1)
    digit_L = np.arange(len(letters_L)) - np.repeat(first_R, last_R - first_R + 1)
    runs_R: Ints = np.add.reduceat((letters_L & 31) << 5 * digit_L, first_R)
    negative_R = letters_L[last_R] & 16 != 0
    runs_R[negative_R] -= 1 << 5 * (last_R - first_R + 1)[negative_R]
    # From the fourth on, each is the difference to the one before the last.
    runs_R[1::2] = np.cumsum(runs_R[1::2])
    runs_R[2::2] = np.cumsum(runs_R[2::2])
    return runs_R


def _places(inside_WH: Bools, xmin: int, ymin: int, height: int) -> Ints:
    """Return where runs begin and end, by turns, counted down the columns of the image.

    A run ends with its column, though it may go on at the top of the next one.
    """
    columns_count, rows_count = inside_WH.shape
    edged = np.zeros((columns_count, rows_count + 1), np.int8)
    edged[:, :-1] = inside_WH
    change_P = np.flatnonzero(np.diff(edged.ravel(), prepend=np.int8(0)))
    column_P, row_P = np.divmod(change_P, rows_count + 1)
    places_P: Ints = (xmin + column_P) * height + ymin + row_P
    return places_P


def _of_places(places: Sequence[Ints], width: int, height: int) -> Rle:
    """Encode a mask, from what `_places` gives for parts of it from left to right."""
    places_P = np.concatenate([np.zeros(0, np.int64), *places])
    # Where a run goes on in the next column, it has not ended.
    goes_on_P = np.zeros(len(places_P), bool)
    goes_on_P[1:] = places_P[1:] == places_P[:-1]
    goes_on_P[:-1] |= goes_on_P[1:]
    return rle.from_edges(places_P[~goes_on_P], height, width)
