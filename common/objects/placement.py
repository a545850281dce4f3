"""From the coordinates of an annotation file to pixels of the upright image.

Shape letters: H height, W width, P points.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from common.masks import rle
from common.masks.drafts import drawn_on, resized, same_shape, sizes, turned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.data.findings import Report
    from common.data.images import ImageInfo
    from common.objects.annotation import Box
    from common.objects.drafts import Draft

    Points = NDArray[np.float64]

BORDER_PX = 0.02
"""Closer to the border than this is on it: what is left of rounding."""

# A box that ends at more than so many times the size that the file says shows that it is wrong.
_BEYOND = 1.02
# Of pixels, as far as annotation files have them and 32 bits can hold them.
_DECIMALS = 3


class Placement:
    """Where what is drawn on an image, or on a copy of it, lies in the upright image.

    Attributes:
        width: Of the upright image.
        height: The same.
        scale: Pixels of the image for one of the file's, in area.
    """

    def __init__(self, draft: Draft, file: str, info: ImageInfo, report: Report) -> None:
        self._orientation = 1
        self._across, self._down = 1.0, 1.0
        self.width, self.height = info.width, info.height
        self._info = info
        self._normalized = draft.normalized
        self.scale = 1.0
        sized = draft.width > 0 and draft.height > 0 and not draft.normalized
        said, size = (draft.width, draft.height), (info.width, info.height)
        as_stored = None
        if sized:
            as_stored, size = drawn_on(said, info)
        if as_stored:
            self._orientation = info.orientation
            report.add("BOXES_TURNED", file)
        elif as_stored is None and info.orientation != 1 and draft.objects:
            report.add("BOXES_MAYBE_TURNED", file)
        if draft.normalized:
            self._across, self._down = size
        elif sized and said != size:
            where = f"{file}: {said[0]} × {said[1]} in {draft.source}, "
            where += f"{size[0]} × {size[1]} in fact"
            if not same_shape(said, size) or _need_more(draft, said, size):
                report.add("ANNOTATED_SIZE_DIFFERS", where)
            else:
                self._across, self._down = size[0] / said[0], size[1] / said[1]
                self.scale = self._across * self._down
                report.add("BOXES_SCALED", where)

    def box(self, box: Box) -> Box:
        """Return a box in pixels of the upright image."""
        xmin, ymin, xmax, ymax = box
        placed = (
            xmin * self._across, ymin * self._down, xmax * self._across, ymax * self._down
        )  # fmt: skip
        return _turn(placed, self._orientation, self.width, self.height)

    def points(self, points_P2: NDArray[np.float32]) -> Points:
        """Return points in pixels of the upright image."""
        points_P2 = points_P2.astype(np.float64)
        if not self._normalized:
            # As they are written. Drawing rounds halves, of which 32 bits would move many.
            points_P2 = points_P2.round(_DECIMALS)
        across_P, down_P = points_P2[:, 0] * self._across, points_P2[:, 1] * self._down
        if self._orientation >= 5:
            across_P, down_P = down_P, across_P
        if self._orientation in {6, 7}:
            across_P = self.width - across_P
        if self._orientation in {7, 8}:
            down_P = self.height - down_P
        return np.stack([across_P, down_P], axis=1)

    def mask(self, mask: rle.Rle, where: str, report: Report) -> rle.Rle | None:
        """Return a mask of the size of the upright image; None if its shape is another.

        It was drawn on the upright image, or on the image as it is stored if its size says so, or
        on a copy of another size.
        """
        said = mask["size"][1], mask["size"][0]
        if said == (self.width, self.height):
            return mask
        as_stored, size = drawn_on(said, self._info)
        if not same_shape(said, size):
            report.add("OBJECT_MASKS_OF_OTHER_SIZE", sizes(where, said, size))
            return None
        pixels_HW = rle.decode(mask)
        if said != size:
            report.add("OBJECT_MASKS_SCALED", sizes(where, said, size))
            pixels_HW = resized(pixels_HW, *size)
        if as_stored:
            report.add("OBJECT_MASKS_TURNED", where)
            pixels_HW = turned(pixels_HW, self._info.orientation)
        return rle.encode(pixels_HW)


def _need_more(draft: Draft, said: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether boxes fit the image, but not the smaller size that is said for it."""
    return said[0] < size[0] and any(
        (right > said[0] * _BEYOND or lower > said[1] * _BEYOND)
        and right <= size[0] * _BEYOND
        and lower <= size[1] * _BEYOND
        for one in draft.objects
        for right, lower in [(max(one.box[0], one.box[2]), max(one.box[1], one.box[3]))]
    )


def _turn(box: Box, orientation: int, width: int, height: int) -> Box:
    """Turn a box of the image as stored upright, to an image of (width, height), as EXIF says.

    Only orientations that swap the sides can be told from the size that a file says.
    """
    xmin, ymin, xmax, ymax = box
    match orientation:
        case 5:  # mirrored along the diagonal from the upper left
            return ymin, xmin, ymax, xmax
        case 6:  # to be turned by 90° clockwise
            return width - ymax, xmin, width - ymin, xmax
        case 7:  # mirrored along the other diagonal
            return width - ymax, height - xmax, width - ymin, height - xmin
        case 8:  # to be turned by 90° counter-clockwise
            return ymin, height - xmax, ymax, height - xmin
    return box


def fitted(box: Box, width: int, height: int) -> tuple[Box | None, list[tuple[str, str]]]:
    """Cut a box at the image.

    Returns:
        What of it is inside, None if that is nothing; and the findings about it, each with what
        there is to say behind where the box is.
    """
    if not all(math.isfinite(side) for side in box):
        return None, [("BOXES_NOT_FINITE", "")]
    noticed = []
    xmin, ymin, xmax, ymax = box
    if xmin > xmax or ymin > ymax:
        noticed.append(("BOXES_INVERTED", ""))
        xmin, xmax = min(xmin, xmax), max(xmin, xmax)
        ymin, ymax = min(ymin, ymax), max(ymin, ymax)
    if xmin == xmax or ymin == ymax:
        return None, [*noticed, ("BOXES_WITHOUT_AREA", "")]
    left, upper = max(xmin, 0.0), max(ymin, 0.0)
    right, lower = min(xmax, float(width)), min(ymax, float(height))
    if left >= right or upper >= lower:
        return None, [*noticed, ("BOXES_OUTSIDE_IMAGE", "")]
    past = max(left - xmin, upper - ymin, xmax - right, ymax - lower)
    if past > BORDER_PX:
        noticed.append(("BOXES_CLIPPED", f": by {past:.4g} pixels"))
    clipped = (round(left, 4), round(upper, 4), round(right, 4), round(lower, 4))
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        return None, [*noticed, ("BOXES_WITHOUT_AREA", "")]
    return clipped, noticed
