"""Decodes files of masks: the numbers that stand in them, not how they look.

Of a picture with a palette the indices count, not the colours they stand for; grey of 1, 2 or 4
bits is not stretched to 255; 16 bits are kept. What is stored as RGB, but grey throughout, is grey.

Whatever the bytes are, the only error is `ImageError`, and a picture with too many pixels is
refused before one is decoded.

Shape letters: H height, W width, 3 colours.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from common.data import images
from common.masks.bands import bands
from common.masks.drafts import turned
from common.settings import MIB

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.data.tree import Tree

MAX_MASK_PIXELS = 64_000_000
"""A mask may have so many even if its image has fewer."""

# More than pixels without compression: four channels of 16 bits, and what describes them.
_MAX_BYTES_PER_PIXEL = 8
_LOSSY = {"JPEG", "WEBP"}


@dataclass(frozen=True, slots=True)
class MaskPixels:
    """What a file of a mask has for each pixel: a number, or a colour.

    Attributes:
        array: Numbers (H, W), uint8 or uint16, or int32 from files with 32 bits; or red, green and
            blue (H, W, 3), uint8.
        lossy: Values may differ a little from those that were meant.
    """

    array: NDArray[np.integer]
    lossy: bool

    @property
    def coloured(self) -> bool:
        """Whether there are colours."""
        return self.array.ndim == 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.array.shape[0], self.array.shape[1]


def read(tree: Tree, path: str, *, max_pixels: int = MAX_MASK_PIXELS) -> MaskPixels:
    """Decode a mask.

    Args:
        tree: The files.
        path: The mask's.
        max_pixels: Larger ones are refused.

    Raises:
        ImageError: It is no image of a known kind, is damaged, or has too many pixels.
    """
    if tree.size(path) > max_pixels * _MAX_BYTES_PER_PIXEL + MIB:
        raise images.ImageError(images.IMAGE_TOO_LARGE, "The file is too large.")
    data = tree.read(path)
    info = images.probe(data, max_pixels=max_pixels)
    if info.format == "JPEG" or info.mode == "CMYK":
        return _pixels(images.decode(data, max_pixels=max_pixels), lossy=True)
    try:
        with Image.open(io.BytesIO(data), formats=[info.format]) as image:
            array = _array(image)
    # Decoders raise a dozen kinds of error, SyntaxError among them.
    except Exception as error:
        raise images.ImageError(
            images.IMAGE_UNDECODABLE, f"The mask cannot be decoded: {error}."
        ) from error
    if info.format != "TIFF":  # which Pillow turns itself
        array = turned(array, info.orientation)
    return _pixels(array, lossy=info.format in _LOSSY)


def _array(image: Image.Image) -> NDArray[Any]:
    """Return uint8, uint16 or int32 (H, W), or uint8 (H, W, 3)."""
    stretched = _stretched_by(image)
    if image.mode in {"LA", "PA"}:
        return np.asarray(image)[:, :, 0]
    if image.mode in {"1", "L", "P", "I"} or image.mode.startswith("I;16"):
        array = np.asarray(image)
        if image.mode == "1":
            return array.astype(np.uint8)
        return array // np.uint8(stretched) if stretched > 1 else array
    if image.mode == "F":
        raise ValueError("its pixels are no whole numbers")
    if image.mode in {"RGB", "RGBA", "RGBX"}:
        return np.asarray(image)[:, :, :3]
    return np.asarray(image.convert("RGB"))


def _stretched_by(image: Image.Image) -> int:
    """Return what Pillow multiplies grey of 2 or 4 bits by, to fill 8."""
    tiles = getattr(image, "tile", [])
    layouts = [args if isinstance(args, str) else args[0] for *_, args in tiles[:1] if args]
    if image.mode != "L" or not layouts or not isinstance(layouts[0], str):
        return 1
    _, _, rest = layouts[0].partition(";")
    return {"2": 0x55, "4": 0x11}.get(rest[:1], 1) if not rest[1:2].isdigit() else 1


def _pixels(array: NDArray[Any], *, lossy: bool) -> MaskPixels:
    if array.ndim == 2:
        return MaskPixels(array, lossy)
    # Grey that was stored with loss is grey but for rounding.
    most = 2 if lossy else 0
    for band in bands(*array.shape[:2]):
        rows_HW3 = array[band]
        green_HW1 = rows_HW3[:, :, 1:2]
        if lossy:
            rows_HW3, green_HW1 = rows_HW3.astype(np.int16), green_HW1.astype(np.int16)
            differs = (np.abs(rows_HW3 - green_HW1) > most).any()
        else:
            differs = (rows_HW3 != green_HW1).any()
        if differs:
            return MaskPixels(np.ascontiguousarray(array), lossy)
    return MaskPixels(np.ascontiguousarray(array[:, :, 0]), lossy)
