"""Image files that are upright only once they are turned."""

from __future__ import annotations

import io

import numpy as np
from PIL import ExifTags, Image


def turned(upright: np.ndarray, orientation: int) -> bytes:
    """Return a file whose pixels are not upright, but whose EXIF data say how to turn them."""
    back = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(back[orientation])).save(
        file, "JPEG", quality=95, subsampling=0, exif=exif
    )
    return file.getvalue()
