"""Draws objects on a picture: boxes with labels, readable on any background, few or hundreds.

Shape letters: H height, W width, 3 colours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from common import fonts
from common.palette import rgb_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from common.objects.annotation import Box
    from common.palette import Colour

# Boxes up to here are few: each gets a label, and lines and type are as large as they should be.
_FEW = 40
_SMALLEST_TYPE_PX, _LARGEST_TYPE_PX = 9, 36
_LONGEST_LABEL = 0.4
"""Of the picture's width, unless the box is wider."""


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box to draw.

    Attributes:
        box: xmin, ymin, xmax, ymax in pixels of the picture.
        text: What its label says; no label if empty.
        colour: Red, green and blue, or `#RRGGBB`.
        dashed: Its line is broken, to tell two kinds of boxes apart.
    """

    box: Box
    text: str
    colour: Colour | str
    dashed: bool = False


def draw_boxes(image_HW3: np.ndarray[Any, Any], boxes: Sequence[DrawnBox]) -> np.ndarray[Any, Any]:
    """Draw boxes on a copy of a uint8 image.

    Lines are as thick as suits the size of the picture, and thinner where there are many. Labels
    never cover each other and stay inside the picture: where there is no room for one it is
    smaller, or left out, so those that matter most should come first. If there are many, a box
    that its label would hide has none.
    """
    picture = Image.fromarray(image_HW3)  # a copy
    pen = ImageDraw.Draw(picture)
    scale = _scale(picture, len(boxes))
    pixels = [_pixels(drawn.box, picture.width, picture.height) for drawn in boxes]
    for drawn, corners in reversed(list(zip(boxes, pixels, strict=True))):  # the first on top
        _outline(pen, corners, drawn, max(1, round(2.2 * scale)))
    labels = _Labels(picture, pen, scale, is_crowded=len(boxes) > _FEW)
    for drawn, corners in zip(boxes, pixels, strict=True):
        if drawn.text:
            labels.place(drawn, corners)
    return np.array(picture)


def _scale(picture: Image.Image, count: int) -> float:
    """Return by how much lines and type are larger than in a picture of VGA's size with few."""
    of_size = math.sqrt(picture.width * picture.height / (640 * 480))
    of_count = max(0.5, (_FEW / max(count, _FEW)) ** 0.35)
    return float(of_size * of_count)


def _pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the outermost pixels of a box, at least one of which is in the picture."""
    xmin, ymin, xmax, ymax = box
    left = min(max(round(xmin), 0), width - 1)
    top = min(max(round(ymin), 0), height - 1)
    right = max(min(round(xmax), width) - 1, left)
    bottom = max(min(round(ymax), height) - 1, top)
    return left, top, right, bottom


def _outline(
    pen: ImageDraw.ImageDraw, corners: tuple[int, int, int, int], drawn: DrawnBox, width_px: int
) -> None:
    left, top, right, bottom = corners
    # A line must not fill a small box.
    width_px = max(1, min(width_px, min(right - left, bottom - top) // 5))
    if not drawn.dashed:
        pen.rectangle(corners, outline=drawn.colour, width=width_px)
        return
    inset = width_px - 1
    for start, end in _dashes(left, right, width_px):
        pen.rectangle((start, top, end, top + inset), drawn.colour)
        pen.rectangle((start, bottom - inset, end, bottom), drawn.colour)
    for start, end in _dashes(top, bottom, width_px):
        pen.rectangle((left, start, left + inset, end), drawn.colour)
        pen.rectangle((right - inset, start, right, end), drawn.colour)


def _dashes(start: int, end: int, width_px: int) -> Iterator[tuple[int, int]]:
    """Give the first and last pixels of dashes, one at either end so that corners are drawn."""
    length = end - start + 1
    wanted = 3 * width_px + 2
    count = max(1, round((length / wanted + 1) / 2))  # between them as many gaps, less one
    step = length / max(1, 2 * count - 1)
    for number in range(count):
        first = start + round(2 * number * step)
        yield first, max(first, start + round((2 * number + 1) * step) - 1)


class _Labels:
    """Places labels where there is room."""

    def __init__(
        self, picture: Image.Image, pen: ImageDraw.ImageDraw, scale: float, *, is_crowded: bool
    ) -> None:
        self._width, self._height = picture.size
        self._pen = pen
        largest = min(max(round(13 * scale), _SMALLEST_TYPE_PX), _LARGEST_TYPE_PX)
        smaller = max(round(0.75 * largest), _SMALLEST_TYPE_PX)
        self._sizes = sorted({largest, smaller}, reverse=True)
        self._is_crowded = is_crowded
        self._taken = np.empty((0, 4))

    def place(self, drawn: DrawnBox, corners: tuple[int, int, int, int]) -> None:
        """Draw the label of a box, if there is room."""
        left, top, right, bottom = corners
        for size_px in self._sizes:
            font = fonts.font(size_px)
            pad = max(1, size_px // 5)
            room = max(self._width * _LONGEST_LABEL, right - left)
            text = " ".join(drawn.text.split())  # Pillow refuses a line break
            text = fonts.fit(self._pen, text, font, min(room, self._width) - 2 * pad)
            width = math.ceil(self._pen.textlength(text, font)) + 2 * pad
            height = size_px + 2 * pad
            if width > self._width or (
                self._is_crowded and (width > right - left + 1 or height > (bottom - top + 1) / 2)
            ):
                continue
            for start, y in (
                (left, top - height),
                (left, top),
                (right + 1 - width, top - height),
                (left, bottom + 1),
                (right + 1 - width, bottom + 1 - height),
            ):
                x = min(max(start, 0), self._width - width)
                plate = (x, y, x + width, y + height)
                if y < 0 or y + height > self._height or self._is_taken(plate):
                    continue
                self._taken = np.vstack([self._taken, plate])
                self._pen.rectangle((x, y, x + width - 1, y + height - 1), drawn.colour)
                middle = (x + pad, y + height / 2)
                self._pen.text(middle, text, _ink(drawn.colour), font, anchor="lm")
                return

    def _is_taken(self, plate: tuple[int, int, int, int]) -> bool:
        left, top, right, bottom = self._taken.T
        across = (left < plate[2]) & (right > plate[0])
        down = (top < plate[3]) & (bottom > plate[1])
        return bool((across & down).any())


def _ink(colour: Colour | str) -> str:
    """Return black or white, whichever stands out more from a colour."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in rgb_of(colour))
    ]
    # Relative luminance; at 0.179 both have the same contrast (WCAG 2.1).
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if luminance > 0.179 else "white"
