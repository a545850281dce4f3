"""From a mask as a data set has it to one class for each pixel of its image.

A format only notes in a `MaskDraft` where the mask is; it is decoded when the image is known, one
at a time, since all masks of a data set together are far larger than memory.

Shape letters: H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.data.findings import Report
    from common.data.images import ImageInfo
    from common.masks.label_maps import Labels


Value = TypeVar("Value", bound=np.generic)

# A mask of the same shape as its image, but for one part in so many, was made on a copy of another
# size.
_SAME_SHAPE = 50


class MaskDraft(ABC):
    """Where the classes of an image's pixels come from."""

    @abstractmethod
    def load(self, file: str, info: ImageInfo, report: Report) -> Labels | None:
        """Decode the mask.

        Args:
            file: Path of the image.
            info: Its size and orientation.
            report: Told what is odd.

        Returns:
            Class of each pixel of the upright image, int16 (H, W), `VOID` where nobody says; None
            if the mask cannot be used, which has then been reported.
        """


def fit(labels_HW: Labels, where: str, info: ImageInfo, report: Report) -> Labels | None:
    """Return a mask at the size of its upright image; None if their shapes differ.

    Args:
        labels_HW: As drawn: on the upright image, on the image as it is stored, or on a copy of
            either of another size.
        where: Path of the mask.
        info: The image's size and orientation.
        report: Told of masks that were turned or scaled, and of those that do not fit.
    """
    height, width = labels_HW.shape
    size = width, height
    as_stored, goal = drawn_on(size, info)
    if not same_shape(size, goal):
        report.add("MASK_SIZE_DIFFERS", sizes(where, size, goal))
        return None
    if size != goal:
        report.add("MASKS_SCALED", sizes(where, size, goal))
        labels_HW = resized(labels_HW, *goal)
    if as_stored:
        report.add("MASKS_TURNED", where)
        return turned(labels_HW, info.orientation)
    if as_stored is None and info.orientation != 1:
        report.add("MASKS_MAYBE_TURNED", where)
    return labels_HW


def drawn_on(size: tuple[int, int], info: ImageInfo) -> tuple[bool | None, tuple[int, int]]:
    """Tell from a size whether something was drawn on an image as it is stored, or turned upright.

    Args:
        size: Width and height of what was drawn on.
        info: The image's size and orientation.

    Returns:
        Whether it was the image as stored, None if the size does not say it; and the width and
        height of that, or of the upright image.
    """
    upright = info.width, info.height
    stored = upright[::-1] if info.orientation >= 5 else upright
    if stored == upright:
        return None, upright
    if size in {upright, stored}:
        return size == stored, size
    of_stored, of_upright = same_shape(size, stored), same_shape(size, upright)
    if of_stored == of_upright:
        return None, upright
    return of_stored, stored if of_stored else upright


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether a picture may be the other on a copy of another size, of (width, height) pixels."""
    across, down = one[0] * other[1], one[1] * other[0]
    return abs(across - down) * _SAME_SHAPE <= down


def sizes(where: str, size: tuple[int, int], wanted: tuple[int, int]) -> str:
    """Say which size something has instead of which."""
    return f"{where}: {size[0]} × {size[1]}, its image {wanted[0]} × {wanted[1]}"


def resized(labels_HW: NDArray[Value], width: int, height: int) -> NDArray[Value]:
    """Return a mask of another size; each pixel has the value of the nearest one."""
    rows_H = nearest(labels_HW.shape[0], height)
    columns_W = nearest(labels_HW.shape[1], width)
    return labels_HW[rows_H[:, None], columns_W]


def nearest(old: int, new: int) -> NDArray[np.int64]:
    """Return which of the old pixels has the center of each new one."""
    # In whole numbers, since fractions round differently from one size to the next.
    return (2 * np.arange(new) + 1) * old // (2 * new)


def turned(labels_HW: NDArray[Value], orientation: int) -> NDArray[Value]:
    """Turn a picture as stored upright, as an EXIF orientation says.

    Args:
        labels_HW: (H, W), or with more axes behind these.
        orientation: 1 to 8; 1 is upright already.
    """
    if orientation >= 5:
        labels_HW = labels_HW.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        labels_HW = labels_HW[::-1]
    if orientation in {2, 3, 6, 7}:
        labels_HW = labels_HW[:, ::-1]
    return np.ascontiguousarray(labels_HW)
