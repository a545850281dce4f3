"""Tells what kind of masks an archive has, from a sample of them.

Shape letters: H height, W width, 3 colours.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from common.data.formats import mask_pixels
from common.data.formats.mask_files import MaskFiles
from common.data.images import ImageError
from common.masks.bands import bands

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.data.formats.mask_files import MaskSet
    from common.data.formats.mask_pixels import MaskPixels
    from common.data.tree import Tree

_SAMPLE = 40
# With more values or colours in one mask, it is a photo, a depth map or the like.
_MOST_VALUES = 1000
# Masks in two values that were resized or stored with loss are near 0 and their maximum mostly, and
# have many values between.
_NEAR = 0.2
_MOSTLY = 0.9
_MANY = 12
# So many colours are counted in a mask; a photo has more.
_MOST_COUNTED = 100_000


class Kind(enum.Enum):
    """What pixels of a set of masks have."""

    INDEX = enum.auto()
    """The number of a class."""
    BINARY = enum.auto()
    """One of two values: something or nothing."""
    COLOURS = enum.auto()
    """The colour of a class."""
    OTHER = enum.auto()
    """Something else, or no sample can be read."""


@dataclass(slots=True)
class Look:
    """What a sample of masks has.

    Attributes:
        kind: What that shows.
        values: All numbers, or colours as 65536 red + 256 green + blue.
        lossy: Some have values between those that were meant.
    """

    kind: Kind
    values: set[int] = field(default_factory=set)
    lossy: bool = False


@dataclass(slots=True)
class Survey:
    """The masks of an archive.

    Attributes:
        files: The sets.
        looks: What their samples show, by their names; filled as asked for.
    """

    files: MaskFiles
    looks: dict[str, Look] = field(default_factory=dict)

    def look(self, tree: Tree, masks: MaskSet) -> Look:
        """Return what a sample of a set shows."""
        if masks.name not in self.looks:
            self.looks[masks.name] = _look(tree, masks)
        return self.looks[masks.name]


_surveys: WeakKeyDictionary[Tree, Survey] = WeakKeyDictionary()


def survey(tree: Tree) -> Survey:
    """Return what masks there are; each format asks for it, once to detect and once to read."""
    if tree not in _surveys:
        _surveys[tree] = Survey(MaskFiles(tree))
    return _surveys[tree]


def _look(tree: Tree, masks: MaskSet) -> Look:
    pairs = masks.pairs
    step = max(1, len(pairs) // _SAMPLE)
    # By whether there are colours, and whether they are stored with loss.
    seen: dict[tuple[bool, bool], list[dict[int, int]]] = defaultdict(list)
    for pair in pairs[::step][: 2 * _SAMPLE]:
        try:
            pixels = mask_pixels.read(tree, pair.mask)
        except ImageError:
            continue
        seen[pixels.coloured, pixels.lossy].append(counts_of(pixels))
    if not seen:
        return Look(Kind.OTHER)
    # What few masks are is an error of these.
    coloured = 2 * sum(len(seen[True, loss]) for loss in (False, True)) > sum(
        map(len, seen.values())
    )
    lossy = len(seen[coloured, True]) > len(seen[coloured, False])
    sample = seen[coloured, lossy]
    distinct = {value for counts in sample for value in counts}
    most = max(map(len, sample))
    if coloured:
        photo = most > _MOST_VALUES and not lossy
        return Look(Kind.OTHER if photo else Kind.COLOURS, distinct, lossy)
    highest = max(distinct)
    if 0 in distinct and len(distinct) == 2 and not lossy:
        return Look(Kind.BINARY, distinct)
    if len(distinct) > _MANY and highest <= 255 and _near_ends(sample, highest) >= _MOSTLY:
        return Look(Kind.BINARY, {0, highest}, lossy=True)
    if lossy or most > _MOST_VALUES:
        return Look(Kind.OTHER, distinct, lossy)
    return Look(Kind.INDEX, distinct)


def _near_ends(grey: list[dict[int, int]], highest: int) -> float:
    """Return the share of pixels that are about 0 or about the highest value; 0 if not both are."""
    low = high = total = 0
    for counts in grey:
        for value, count in counts.items():
            total += count
            low += count if value <= _NEAR * highest else 0
            high += count if value >= (1 - _NEAR) * highest else 0
    return (low + high) / total if low and high else 0.0


def counts_of(pixels: MaskPixels) -> dict[int, int]:
    """Count the pixels of each number, or of each colour as 65536 red + 256 green + blue.

    Of a photo, not all are counted.
    """
    counts: dict[int, int] = {}
    for band in bands(*pixels.size):
        rows = pixels.array[band]
        packed = pack(rows) if pixels.coloured else rows
        if packed.dtype == np.uint8:
            count_256 = np.bincount(packed.ravel(), minlength=256)
            values, found = np.flatnonzero(count_256), count_256[count_256 > 0]
        else:
            values, found = np.unique(packed, return_counts=True)
        for value, count in zip(values.tolist(), found.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
        if len(counts) > _MOST_COUNTED:
            break
    return counts


def pack(colours_HW3: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return colours as numbers: 65536 red + 256 green + blue, int32 (H, W)."""
    red, green, blue = (colours_HW3[:, :, one].astype(np.int32) for one in range(3))
    return (red << 16) | (green << 8) | blue
