"""Masks of an answer as arrays and as pictures, whichever way the server sent them.

Shape letters: H height, W width, A pixels of an image.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nocode.vision.v1 import prediction_pb2


def decode(mask: prediction_pb2.Mask) -> NDArray[np.uint8]:
    """Return a mask as 1 inside and 0 outside, uint8 (H, W), of the image's size.

    Raises:
        ValueError: It is empty, or no encoding of a mask of its size.
    """
    if mask.WhichOneof("encoding") == "png":
        with Image.open(io.BytesIO(mask.png)) as image:
            inside_HW: NDArray[np.uint8] = (np.asarray(image) != 0).astype(np.uint8)
        return inside_HW
    runs = _runs(mask.rle.counts)
    height, width = mask.rle.height, mask.rle.width
    if not height * width or sum(runs) != height * width or min(runs) < 0:
        raise ValueError(f"the runs are none of a mask of {width} × {height} pixels")
    inside_A = np.repeat(np.arange(len(runs), dtype=np.int64) % 2, runs).astype(np.uint8)
    return np.ascontiguousarray(inside_A.reshape(height, width, order="F"))


def area(mask: prediction_pb2.Mask) -> int:
    """Return how many pixels are inside; 0 if there is no mask.

    Raises:
        ValueError: It is no encoding of a mask.
    """
    if mask.WhichOneof("encoding") == "png":
        return int(decode(mask).sum())
    return sum(_runs(mask.rle.counts)[1::2])


def as_png(mask: prediction_pb2.Mask) -> bytes:
    """Return a mask as a grey PNG: 255 inside, 0 outside.

    Raises:
        ValueError: See `decode`.
    """
    if mask.WhichOneof("encoding") == "png":
        return mask.png
    file = io.BytesIO()
    Image.fromarray(decode(mask) * np.uint8(255)).save(file, "PNG")
    return file.getvalue()


def classes(answer: prediction_pb2.SemanticSegmentationPrediction) -> NDArray[np.int32]:
    """Return the index of the class of each pixel, int32 (H, W), of the image's size.

    Raises:
        OSError: The answer has no such picture.
    """
    with Image.open(io.BytesIO(answer.class_index_png)) as image:
        return np.asarray(image).astype(np.int32)


def _runs(counts: str) -> list[int]:
    """Decompress COCO's runs: of pixels outside and inside by turns, down the columns.

    A number is written in 5 bits a letter, lowest first, with one that says whether another
    follows; from the third on, it is the difference to the number before the last.

    Format: https://cocodataset.org/#format-data
    """
    runs: list[int] = []
    value = shift = 0
    for letter in counts:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{letter!r} is no letter of COCO's run-length encoding")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # the highest bit is the sign
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the encoding ends within a number")
    return runs
