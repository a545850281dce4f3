"""Pictures for tests: made, seeded, with edges, colours and soft parts."""

import io
from typing import Any

import numpy as np
from PIL import Image


def picture(width: int = 64, height: int = 48, seed: int = 0) -> np.ndarray[Any, Any]:
    """A uint8 RGB picture that looks different in every corner."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    soft = np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    soft[height // 8 : height // 3, width // 8 : width // 2] = rng.integers(0, 256, 3)
    soft[height // 2 :, : width // 5] = (250, 20, 30)
    return soft


def encode(pixels: np.ndarray[Any, Any], file_format: str = "JPEG", **options: Any) -> bytes:
    """Encode with Pillow."""
    return encode_image(Image.fromarray(pixels), file_format, **options)


def encode_image(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Encode a Pillow image."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def rotated_jpeg(pixels: np.ndarray[Any, Any], orientation: int, **options: Any) -> bytes:
    """A JPEG of these pixels with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(pixels, "JPEG", exif=exif.tobytes(), **options)
