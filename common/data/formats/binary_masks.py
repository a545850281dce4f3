"""Masks of two values: something, or nothing.

    images/1.jpg        1.jpg
    masks/1.png         1_mask.png

What is above half of the highest value, mostly 255, is of the second class, all else of the first.
They are called by a table of two classes, or of one for the second; or else background and
foreground. Masks that were stored with loss, as JPEG, or resized softly are read, too.

Shape letters: H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.data.formats.mask_format import Labeler, MaskFormat, is_void
from common.data.formats.mask_survey import Kind
from common.masks.bands import bands
from common.masks.label_maps import VOID

if TYPE_CHECKING:
    from common.data.findings import Report
    from common.data.formats.class_tables import ClassTable
    from common.data.formats.mask_format import Choice
    from common.data.formats.mask_pixels import MaskPixels
    from common.data.tree import Tree
    from common.masks.label_maps import Labels

BACKGROUND = "background"
FOREGROUND = "foreground"


class BinaryMasks(MaskFormat):
    """The layout above."""

    name = "binary_masks"
    description = (
        "a mask for each image, as PNG with the same name in a folder named masks, white where the "
        "image shows something and black elsewhere"
    )
    layout = """images/1.jpg
masks/1.png         0 is background, 255 foreground"""
    detected = "A picture of two values for each image, in a folder or with a name for masks."
    kept = (
        "Which of two classes each pixel has; their names by classes.txt; splits by lists and "
        "folders."
    )
    dropped = "Values in between, which go to the nearer class."
    kind = Kind.BINARY
    accepts = frozenset({Kind.BINARY, Kind.INDEX})
    shown = "one of two values"

    def classes(self, tree: Tree, choice: Choice, report: Report) -> tuple[list[str], Labeler]:
        """Name both."""
        del tree
        named = _named(choice.table, self.void_index)
        if named is None:
            report.add("MASK_CLASSES_GUESSED", FOREGROUND)
        highest = max(choice.look.values - {self.void_index}, default=1)
        labeler = _AboveHalf(highest, self.void_index)
        return named or [BACKGROUND, FOREGROUND], labeler


def _named(table: ClassTable | None, void_index: int | None) -> list[str] | None:
    rows = [] if table is None else [row for row in table.rows if not is_void(row, void_index)]
    names = list(dict.fromkeys(row.name for row in rows))
    if len(names) == 1 and names[0].lower() != BACKGROUND:
        return [BACKGROUND, names[0]]
    return names if len(names) == 2 else None


class _AboveHalf(Labeler):
    """Compares values with half of the highest."""

    def __init__(self, highest: int, void_index: int | None) -> None:
        self._highest = highest
        self._void = void_index

    def __call__(self, pixels: MaskPixels, where: str, report: Report) -> Labels:
        """Compare; values that are neither are reported."""
        values_HW = pixels.array
        if pixels.coloured:
            raise ValueError("its pixels have colours, but those of other masks are black or white")
        labels_HW = np.empty(pixels.size, np.int16)
        exact = True
        for band in bands(*pixels.size):
            rows_HW = values_HW[band].astype(np.int64)
            labels_HW[band] = 2 * rows_HW > self._highest
            neither_HW = (rows_HW != 0) & (rows_HW != self._highest)
            if self._void is not None:
                labels_HW[band][rows_HW == self._void] = VOID
                neither_HW &= rows_HW != self._void
            exact = exact and not neither_HW.any()
        if not exact:
            report.add("MASKS_LOSSY", where)
        return labels_HW
