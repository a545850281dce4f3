"""Masks as COCO's run-length encoding (RLE), and what can be known of them without decoding.

Runs count pixels down the columns, first those outside of the mask, then those inside, by turns.
Everywhere but within a network a mask is an `Rle`: that of an object takes some hundred bytes,
however large its image.

Format: https://cocodataset.org/#format-data. Computed by faster-coco-eval (Apache-2.0), whose
masks are those of pycocotools. It trusts what it is given, so that encodings from outside come in
through `from_text` and `from_runs` alone, and polygons are cut at the image first.

Shape letters: H height, W width, P points of a polygon, C crossings of a border, N
points that are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from faster_coco_eval.core import mask as coco

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float64]

Box = tuple[float, float, float, float]

# Of one number; an image has fewer pixels than 32 bits can count.
_MOST_LETTERS = 7


class Rle(TypedDict):
    """A mask.

    Attributes:
        size: Height and width of the image.
        counts: The runs, compressed.
    """

    size: list[int]
    counts: bytes


class RleError(ValueError):
    """An encoding that is none of an image of its size; the message says why."""


def encode(mask_HW: NDArray[Any]) -> Rle:
    """Encode a mask: what is not 0 is inside."""
    encoded: Rle = coco.encode(np.asfortranarray(mask_HW != 0, dtype=np.uint8))
    return encoded


def decode(rle: Rle) -> Bytes:
    """Return a mask as 0 and 1, uint8 (H, W)."""
    decoded: Bytes = coco.decode(rle)
    return decoded


def area(rle: Rle) -> int:
    """Count the pixels inside."""
    return int(coco.area(rle))


def bounds(rle: Rle) -> Box | None:
    """Return the box around the pixels inside, in their outer edges; None if there are none.

    The pixel in the upper left corner alone has (0, 0, 1, 1).
    """
    if not area(rle):
        return None
    xmin, ymin, width, height = (float(side) for side in coco.toBbox(rle))
    return xmin, ymin, xmin + width, ymin + height


def union(rles: Sequence[Rle]) -> Rle:
    """Return what is inside of any of some masks, which are of one size."""
    merged: Rle = coco.merge(list(rles))
    return merged


def overlap(one: Rle, other: Rle) -> int:
    """Count the pixels inside of both."""
    return int(coco.area(coco.merge([one, other], intersect=True)))


def from_polygons(polygons: Iterable[Floats], height: int, width: int) -> Rle:
    """Return the mask of one or several polygons, which may overlap.

    Args:
        polygons: x and y of each point, by turns, in pixels; what is outside of the image is cut.
            Those of fewer than three points have nothing inside.
        height: Of the image.
        width: Of the image.
    """
    cut = [_cut(np.asarray(one, np.float64).reshape(-1, 2), width, height) for one in polygons]
    rings = [points_P2.ravel().tolist() for points_P2 in cut if len(points_P2) > 2]
    if not rings:
        return encode(np.zeros((height, width), np.uint8))
    return union(coco.frPyObjects(rings, height, width))


def from_text(counts: str | bytes, height: int, width: int) -> Rle:
    """Return the mask whose runs are written in COCO's 6-bit letters.

    Raises:
        RleError: They are not, or are not as many as the image has pixels.
    """
    return from_runs(_runs(counts.encode() if isinstance(counts, str) else counts), height, width)


def from_runs(runs: Sequence[int], height: int, width: int) -> Rle:
    """Return the mask of runs that are not compressed.

    Raises:
        RleError: One is negative, or they are not as many as the image has pixels.
    """
    if any(run < 0 for run in runs):
        raise RleError("a run is negative")
    if sum(runs) != height * width:
        raise RleError(f"its runs have {sum(runs)} pixels, the image has {width} × {height}")
    # Empty runs, within the mask, join their neighbours: equal masks have equal encodings.
    merged = [0]
    for place, run in enumerate(runs):
        if run and place % 2 == len(merged) % 2:
            merged.append(run)
        else:
            merged[-1] += run
    encoded: Rle = coco.frPyObjects({"size": [height, width], "counts": merged}, height, width)
    return encoded


def from_edges(edges: NDArray[np.integer[Any]], height: int, width: int) -> Rle:
    """Return the mask of trusted runs inside, from where each begins and ends, by turns.

    Args:
        edges: Rising numbers of pixels, counted down the columns of the image.
        height: Of the image.
        width: Of the image.
    """
    runs = np.diff(edges, prepend=0, append=height * width).tolist()
    if len(runs) > 1 and runs[-1] == 0:
        runs.pop()
    encoded: Rle = coco.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return encoded


def text_of(rle: Rle) -> str:
    """Return the compressed runs as text, as JSON holds them."""
    return rle["counts"].decode("ascii")


def trusted(counts: str, height: int, width: int) -> Rle:
    """Return a mask from what `text_of` gave."""
    return {"size": [height, width], "counts": counts.encode("ascii")}


def _runs(data: bytes) -> list[int]:
    """Decompress: letters of 5 bits and one that says whether another follows, lowest bits first.

    From the third run on, the difference to the run before the last one is written.
    """
    runs: list[int] = []
    value = letters = 0
    for letter in data:
        bits = letter - 48
        if not 0 <= bits < 64 or letters == _MOST_LETTERS:
            raise RleError("it is not written in the letters of COCO's run-length encoding")
        value |= (bits & 31) << 5 * letters
        letters += 1
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << 5 * letters
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = letters = 0
    if letters:
        raise RleError("it ends within a number")
    return runs


def _cut(points_P2: Floats, width: int, height: int) -> Floats:
    """Cut a polygon at the image (Sutherland, Hodgman, "Reentrant Polygon Clipping", 1974).

    Drawing takes memory for every pixel along the outline, also where that is far outside. What is
    not a finite number is nowhere.
    """
    if not np.isfinite(points_P2).all():
        return np.empty((0, 2))
    for axis, side in ((0, width), (1, height)):
        for sign, border in ((1.0, 0.0), (-1.0, -float(side))):
            points_P2 = _cut_at(points_P2, axis, sign, border)
    return points_P2


def _cut_at(points_P2: Floats, axis: int, sign: float, border: float) -> Floats:
    """Keep what of a polygon has `sign * coordinate >= border`."""
    inside_P = sign * points_P2[:, axis] >= border
    if inside_P.all():
        return points_P2
    before_P2, was_inside_P = np.roll(points_P2, 1, axis=0), np.roll(inside_P, 1)
    crosses_P = inside_P != was_inside_P
    before_C2, point_C2 = before_P2[crosses_P], points_P2[crosses_P]
    part_C = (sign * border - before_C2[:, axis]) / (point_C2[:, axis] - before_C2[:, axis])
    crossings_C2 = before_C2 + part_C[:, None] * (point_C2 - before_C2)
    crossings_C2[:, axis] = sign * border
    # At each place the crossing on the way to the point, then the point.
    both_P22: Floats = np.stack([points_P2, points_P2], axis=1)
    both_P22[crosses_P, 0] = crossings_C2
    kept_N2: Floats = both_P22[np.stack([crosses_P, inside_P], axis=1)]
    return kept_N2
