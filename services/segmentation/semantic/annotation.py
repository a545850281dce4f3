"""What the manifest holds of an image: which classes it shows, and how large they are.

    {"labels": [4, 0, 7], "pixels": [1200, 88, 5], "void": 30, "sha256": "..."}

The pixels themselves are in a PNG that is kept beside the image, and is under `mask` wherever an
annotation is worked with: grey of 8 bits, as large as the upright image. Its value i stands for the
class `labels[i]`, and 255 for void, of which nobody says what it shows. A class that is dropped
becomes None in `labels`, and its pixels void; classes that become one are the same number in it: a
PNG is never written anew.

Shape letters: H height, W width.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from common.masks.bands import bands
from common.masks.label_maps import VOID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from common.masks.label_maps import Labels

MAX_CLASSES = 255
"""In one image; a data set may have more."""

_VOID_VALUE = 255


def write(labels_HW: Labels) -> dict[str, Any]:
    """Return the annotation of an image, with the PNG.

    Args:
        labels_HW: Class of each pixel of the upright image, or `VOID`.

    Raises:
        ValueError: There are more than `MAX_CLASSES` classes in it.
    """
    height, width = labels_HW.shape
    counts = _count(labels_HW)
    void = counts.pop(VOID, 0)
    labels = sorted(counts)
    if len(labels) > MAX_CLASSES:
        raise ValueError(f"there are {len(labels)} classes, more than {MAX_CLASSES}")
    # `VOID` looks up the last.
    value_of = np.full(max(labels, default=0) + 2, _VOID_VALUE, np.uint8)
    value_of[labels] = np.arange(len(labels))
    values_HW = np.empty((height, width), np.uint8)
    for band in bands(height, width):
        values_HW[band] = value_of[labels_HW[band]]
    file = io.BytesIO()
    Image.fromarray(values_HW).save(file, "PNG")
    # Of the pixels, since another version of the encoder may write other bytes for them.
    digest = hashlib.sha256(f"{width} {height} ".encode())
    digest.update(values_HW.data)
    return {
        "labels": labels,
        "pixels": [counts[label] for label in labels],
        "void": void,
        "sha256": digest.hexdigest(),
        "mask": file.getvalue(),
    }


def read(annotation: Mapping[str, Any]) -> Labels:
    """Return the class of each pixel of the upright image, int16 (H, W), or `VOID`.

    Args:
        annotation: With the PNG.
    """
    label_of = np.full(_VOID_VALUE + 1, VOID, np.int16)
    for value, label in enumerate(annotation["labels"]):
        if label is not None:
            label_of[value] = label
    with Image.open(io.BytesIO(annotation["mask"]), formats=["PNG"]) as image:
        values_HW = np.asarray(image)
    labels_HW = np.empty(values_HW.shape, np.int16)
    for band in bands(*values_HW.shape):
        labels_HW[band] = label_of[values_HW[band]]
    return labels_HW


def pixel_counts(annotation: Mapping[str, Any]) -> dict[int, int]:
    """Return how many pixels each class has in an image; no PNG is needed."""
    counts: dict[int, int] = {}
    for label, count in zip(annotation["labels"], annotation["pixels"], strict=True):
        if label is not None:
            counts[label] = counts.get(label, 0) + count
    return counts


def void_count(annotation: Mapping[str, Any]) -> int:
    """Return how many pixels of an image are void, those of dropped classes among them."""
    dropped: Iterator[int] = (
        count
        for label, count in zip(annotation["labels"], annotation["pixels"], strict=True)
        if label is None
    )
    return sum(dropped, start=int(annotation["void"]))


def renumber(annotation: Mapping[str, Any], index_of: Mapping[int, int]) -> dict[str, Any] | None:
    """Return an annotation with each class replaced; None if no pixel has a class any more.

    Args:
        annotation: With or without the PNG.
        index_of: New indices by the old ones; pixels of classes without one become void.
    """
    labels = [None if label is None else index_of.get(label) for label in annotation["labels"]]
    if all(label is None for label in labels):
        return None
    return {**annotation, "labels": labels}


def _count(labels_HW: Labels) -> dict[int, int]:
    counts_1: np.ndarray[Any, np.dtype[np.int64]] = np.zeros(0, np.int64)
    for band in bands(*labels_HW.shape):
        found = np.bincount(labels_HW[band].ravel() - VOID)
        found[: len(counts_1)] += counts_1[: len(found)]
        counts_1 = np.concatenate([found, counts_1[len(found) :]])
    return {int(value) + VOID: int(counts_1[value]) for value in np.flatnonzero(counts_1)}
