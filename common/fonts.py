"""Type on pictures that people look at, and how large a picture must be for it."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from PIL import Image, ImageFont

if TYPE_CHECKING:
    from PIL import ImageDraw

READABLE_PX = 320
"""A picture narrower than this is too small to read type on."""

_MAX_ZOOMED_PX = 1024


@lru_cache(maxsize=64)
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return the font of our plots; it has Greek, Cyrillic and Arabic, which Pillow's own lacks."""
    file = resources.files("matplotlib") / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    with resources.as_file(file) as path:
        return ImageFont.truetype(str(path), size_px)


def fit(
    pen: ImageDraw.ImageDraw, text: str, chosen: ImageFont.FreeTypeFont, width_px: float
) -> str:
    """Return a line of text, its end replaced by … if it is wider than `width_px`."""
    if pen.textlength(text, chosen) <= width_px:
        return text
    while text and pen.textlength(text + "…", chosen) > width_px:
        text = text[:-1]
    return text + "…"


def enlarge(picture: Image.Image) -> Image.Image:
    """Enlarge a picture too narrow to read type on by a whole number.

    As long as it does not become very tall; any other is returned as it is.
    """
    zoom = max(1, min(-(-READABLE_PX // picture.width), _MAX_ZOOMED_PX // picture.height))
    if zoom == 1:
        return picture
    size = (picture.width * zoom, picture.height * zoom)
    return picture.resize(size, Image.Resampling.NEAREST)
