"""Masks in which the value of a pixel is the number of its class.

    images/train/1.jpg      classes.txt:    0 background
    masks/train/1.png                       1 road

PNG, BMP or TIFF of 1 to 16 bits, grey or with a palette: the index counts, not its colour. For
where masks may lie see `mask_files`, for how classes may be named `class_lines`. If nothing names
them, they are the values that occur.

Shape letters: H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.data.formats import check_class_count, mask_pixels
from common.data.formats.mask_format import Labeler, MaskFormat, number
from common.data.formats.mask_survey import Kind, counts_of
from common.data.images import ImageError
from common.masks.bands import bands
from common.masks.label_maps import VOID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from common.data.findings import Report
    from common.data.formats.mask_format import Choice
    from common.data.formats.mask_pixels import MaskPixels
    from common.data.tree import Tree
    from common.masks.label_maps import Labels

USUAL_VOID = 255

_OUTSIDE = -2
_HIGHEST = 65_535
_SHOWN = 5


class IndexMasks(MaskFormat):
    """The layout above."""

    name = "index_masks"
    description = (
        "a mask for each image, as PNG with the same name in a folder named masks, whose pixels "
        "have the number of their class, and a classes.txt with a number and a name on each line"
    )
    layout = """images/1.jpg            classes.txt     0 background
masks/1.png                             1 road"""
    detected = (
        "A picture for each image, in a folder or with a name for masks, whose values are "
        "numbers of classes."
    )
    kept = (
        "The class of each pixel; names by classes.txt or another table; void; splits by lists "
        "and folders."
    )
    dropped = "Values that the table does not have, whose pixels are void; colours of palettes."
    kind = Kind.INDEX
    accepts = frozenset({Kind.INDEX, Kind.BINARY})
    shown = "the number of the class"

    def classes(self, tree: Tree, choice: Choice, report: Report) -> tuple[list[str], Labeler]:
        """Take the classes of the table, or else the values of all masks."""
        if choice.table is None:
            return self._guess(tree, choice, report)
        rows, where = choice.table.rows, choice.table.path
        classes, label_of = number(rows, self.void_index, where, report)
        void = USUAL_VOID if self.void_index is None else self.void_index
        return classes, _ByValue({void: VOID} | label_of)

    def _guess(self, tree: Tree, choice: Choice, report: Report) -> tuple[list[str], Labeler]:
        void = USUAL_VOID if self.void_index is None else self.void_index
        found: set[int] = set()
        for pair in choice.masks.pairs:
            try:
                pixels = mask_pixels.read(tree, pair.mask)
            except ImageError:
                continue  # which is found again, and reported, when the image is known
            if not pixels.coloured and not pixels.lossy:
                found |= counts_of(pixels).keys() - {void}
                check_class_count(len(found), pair.mask)
        values = sorted(value for value in found if 0 <= value <= _HIGHEST)
        names = [f"class {value}" for value in values]
        report.add("MASK_CLASSES_GUESSED", names)
        label_of = {value: index for index, value in enumerate(values)}
        return names, _ByValue({void: VOID} | label_of)


class _ByValue(Labeler):
    """Looks each value up.

    Args:
        label_of: Index of the class of values in [0, 65535], or `VOID`.
    """

    def __init__(self, label_of: Mapping[int, int]) -> None:
        # Whatever is negative or too large looks up the last.
        self._label_of = np.full(_HIGHEST + 2, _OUTSIDE, np.int16)
        for value, label in label_of.items():
            self._label_of[value] = label

    def __call__(self, pixels: MaskPixels, where: str, report: Report) -> Labels:
        """Look up; values without a class are void."""
        values_HW = pixels.array
        if pixels.coloured:
            raise ValueError("its pixels have colours, but those of other masks have numbers")
        if pixels.lossy:
            raise ValueError("it is stored with loss, so that its values are not exact")
        labels_HW = np.empty(pixels.size, np.int16)
        outside: dict[int | str, int] = {}
        for band in bands(*pixels.size):
            rows_HW = values_HW[band]
            if rows_HW.dtype.itemsize > 2:
                rows_HW = np.clip(rows_HW, -1, _HIGHEST + 1)
            found_HW = self._label_of[rows_HW]
            lost_HW = found_HW == _OUTSIDE
            if lost_HW.any():
                values, counts = np.unique(values_HW[band][lost_HW], return_counts=True)
                for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                    outside[value] = outside.get(value, 0) + count
                found_HW[lost_HW] = VOID
            labels_HW[band] = found_HW
        if outside:
            report.add("VALUES_OUTSIDE_CLASSES", f"{where}: {shown(outside)}")
        return labels_HW


def shown(counts: Mapping[int | str, int]) -> str:
    """Say which values there are how often, the most frequent first."""
    most = sorted(counts, key=lambda value: -counts[value])
    text = ", ".join(f"{value} ({counts[value]} pixels)" for value in most[:_SHOWN])
    return text + (f", and {len(most) - _SHOWN} more" if len(most) > _SHOWN else "")
