"""Masks in which each class has a colour.

    images/1.jpg        class_dict.csv:     name,r,g,b
    masks/1.png                             road,128,64,128

For how a table of colours may be written see `class_lines`. If there is none, the colours that
occur are the classes, unless they are very many.

Shape letters: H height, W width, 3 colours; U different colours, K colours of the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.data.formats import mask_pixels
from common.data.formats.index_masks import shown
from common.data.formats.mask_format import Labeler, MaskFormat, number
from common.data.formats.mask_survey import Kind, counts_of, pack
from common.data.images import ImageError
from common.errors import InvalidInput
from common.masks.bands import bands
from common.masks.label_maps import VOID
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from common.data.findings import Report
    from common.data.formats.mask_format import Choice
    from common.data.formats.mask_pixels import MaskPixels
    from common.data.tree import Tree
    from common.masks.label_maps import Labels

MOST_GUESSED = 255
"""Colours that nothing names; more are no classes."""

_OUTSIDE = -2
_GREY = 0x010101  # times a value of grey is the colour
# How far red, green and blue of a colour may be from those of its class after storing with loss.
_TOLERANCE = 48


class ColourMasks(MaskFormat):
    """The layout above."""

    name = "colour_masks"
    description = (
        "a mask for each image, as PNG with the same name in a folder named masks, in which each "
        "class has a colour, and a table of the classes, such as class_dict.csv with the columns "
        "name, r, g and b"
    )
    layout = """images/1.jpg            classes.csv     name,r,g,b
masks/1.png                             road,128,64,128"""
    detected = (
        "A picture in colours for each image, in a folder or with a name for masks, and a table "
        "of colours or few of them."
    )
    kept = "The class of each pixel; names by the table; void; splits by lists and folders."
    dropped = "Colours that the table does not have, whose pixels are void."
    kind = Kind.COLOURS
    accepts = frozenset({Kind.COLOURS})
    shown = "the colour of the class"

    def classes(self, tree: Tree, choice: Choice, report: Report) -> tuple[list[str], Labeler]:
        """Take the classes of the table, or else the colours of all masks."""
        if choice.table is None:
            return _guess(tree, choice, report)
        rows = [row for row in choice.table.rows if row.colour is not None]
        classes, label_of = number(rows, self.void_index, choice.table.path, report)
        label_by_colour: dict[int, int] = {}
        for row in rows:
            if row.colour is not None:
                red, green, blue = row.colour
                colour = (red << 16) | (green << 8) | blue
                label_by_colour.setdefault(colour, label_of[row.value])
        return classes, _ByColour(label_by_colour)


def _guess(tree: Tree, choice: Choice, report: Report) -> tuple[list[str], Labeler]:
    found: set[int] = set()
    for pair in choice.masks.pairs:
        try:
            pixels = mask_pixels.read(tree, pair.mask)
        except ImageError:
            continue  # which is found again, and reported, when the image is known
        step = 1 if pixels.coloured else _GREY
        found |= {value * step for value in counts_of(pixels)}
        if len(found) > MOST_GUESSED:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"The masks up to {pair.mask} have more than {MOST_GUESSED} colours, and nothing "
                "names them. Add a table of the classes, such as class_dict.csv with the columns "
                "name, r, g and b; if the masks are JPEG, save them as PNG.",
                maximum=MOST_GUESSED,
            )
    colours = sorted(found)
    names = [f"colour {hexadecimal(colour)}" for colour in colours]
    report.add("MASK_CLASSES_GUESSED", names)
    return names, _ByColour({colour: index for index, colour in enumerate(colours)})


def hexadecimal(colour: int) -> str:
    """Write 65536 red + 256 green + blue as on the web, e.g. `#804080`."""
    return f"#{colour:06x}"


class _ByColour(Labeler):
    """Looks each colour up.

    Args:
        label_of: Index of the class, or `VOID`, by 65536 red + 256 green + blue.
    """

    def __init__(self, label_of: Mapping[int, int]) -> None:
        self._colours_K = np.array(sorted(label_of), np.int32)
        self._labels_K = np.array([label_of[colour] for colour in sorted(label_of)], np.int16)

    def __call__(self, pixels: MaskPixels, where: str, report: Report) -> Labels:
        """Look up; colours of no class are void, those near one after storing with loss are not."""
        if pixels.array.dtype != np.uint8:
            raise ValueError("its pixels have numbers, but those of other masks have colours")
        labels_HW = np.empty(pixels.size, np.int16)
        outside: dict[int | str, int] = {}
        exact = True
        for band in bands(*pixels.size):
            rows = pixels.array[band]
            packed_HW = pack(rows) if pixels.coloured else rows.astype(np.int32) * _GREY
            found_HW = self._look_up(packed_HW)
            lost_HW = found_HW == _OUTSIDE
            if lost_HW.any():
                colours_U, place_L, count_U = np.unique(
                    packed_HW[lost_HW], return_inverse=True, return_counts=True
                )
                label_U = np.full(len(colours_U), _OUTSIDE, np.int16)
                if pixels.lossy:
                    label_U = self._nearest(colours_U)
                    exact = exact and not (label_U != _OUTSIDE).any()
                gone_U = label_U == _OUTSIDE
                for colour, count in zip(
                    colours_U[gone_U].tolist(), count_U[gone_U].tolist(), strict=True
                ):
                    outside[hexadecimal(colour)] = outside.get(hexadecimal(colour), 0) + count
                label_U[gone_U] = VOID
                found_HW[lost_HW] = label_U[place_L]
            labels_HW[band] = found_HW
        if not exact:
            report.add("MASKS_LOSSY", where)
        if outside:
            report.add("COLOURS_OUTSIDE_CLASSES", f"{where}: {shown(outside)}")
        return labels_HW

    def _look_up(self, packed_HW: NDArray[np.int32]) -> NDArray[np.int16]:
        place_HW = np.searchsorted(self._colours_K, packed_HW).clip(max=len(self._colours_K) - 1)
        found_HW: NDArray[np.int16] = self._labels_K[place_HW]
        found_HW[self._colours_K[place_HW] != packed_HW] = _OUTSIDE
        return found_HW

    def _nearest(self, colours_U: NDArray[np.int32]) -> NDArray[np.int16]:
        """Return the class whose colour is nearest, as long as it is near."""
        least_U = np.full(len(colours_U), _TOLERANCE + 1, np.int32)
        label_U = np.full(len(colours_U), _OUTSIDE, np.int16)
        for colour, label in zip(self._colours_K, self._labels_K, strict=True):
            far_U = np.zeros(len(colours_U), np.int32)
            for shift in (16, 8, 0):
                far_U = np.maximum(
                    far_U, np.abs(((colours_U >> shift) & 255) - ((colour >> shift) & 255))
                )
            nearer_U = far_U < least_U
            least_U[nearer_U], label_U[nearer_U] = far_U[nearer_U], label
        return label_U
