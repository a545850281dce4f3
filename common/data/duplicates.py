"""Finds images that show the same: copies, resized, saved anew, a little brighter.

An image's fingerprint, its perceptual hash, is the image at 16 × 16 pixels. Fingerprints are
compared as a whole and not bit by bit, because of two images it matters how much they differ:
hands before the same wall, or digits, share most bits of the usual hashes. Two images are taken
for the same if what remains after taking away the mean and dividing by the contrast differs by at
most `_MOST_DIFFERENCE`. Of 2,062 photos of hands before white no two come within twice that, and
of 1,797 digits of 8 × 8 pixels one pair comes within it; a photo saved at JPEG quality 20, at half
its size or a tenth brighter stays within it.

Comparing all pairs would take hours for 100,000 images. Projected onto their principal axes,
fingerprints only come nearer to each other, so that a k-d tree of projections finds all candidates.

Shape letters: N images, G groups, F values of a fingerprint, P principal axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_SIDE_PX = 16
FINGERPRINT_BYTES = _SIDE_PX * _SIDE_PX * 3
SOURCE_PX = 64
"""An image may be shrunk to this side before its fingerprint is taken, no further."""

_MOST_DIFFERENCE = 0.12
# Images with less contrast than this many grey levels are plain; their colour alone tells them
# apart.
_LEAST_CONTRAST = 8.0
# A shift in brightness counts less than a difference in content.
_MEAN_WEIGHT = 0.3

_AXES = 16
_SAMPLE = 512
_CHUNK = 4096
# Of a long film only the nearest frames are compared with each; they chain into one group.
_NEIGHBORS = 16


def fingerprint(pixels_HW3: NDArray[Any]) -> bytes:
    """Return the fingerprint of a uint8 RGB image."""
    small = Image.fromarray(pixels_HW3).resize(
        (_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=3.0
    )
    return small.tobytes()


def group(fingerprints: bytes | bytearray) -> NDArray[np.int64]:
    """Number the groups of images that show the same, in the order of their first images.

    Args:
        fingerprints: Those of all images, one after the other.

    Returns:
        For each image the number of its group, or -1 if no other shows the same.
    """
    raw_NF = np.frombuffer(fingerprints, np.uint8).reshape(-1, FINGERPRINT_BYTES)
    count = len(raw_NF)
    # Equal ones first: any number of them costs nothing further.
    first_of: dict[bytes, int] = {}
    equal_N = np.array([first_of.setdefault(row_F.tobytes(), i) for i, row_F in enumerate(raw_NF)])
    pairs = [(equal_N, np.arange(count))]
    if len(first_of) > 1:
        pairs += _near_pairs(raw_NF, np.fromiter(first_of.values(), np.int64))
    ones, others = (np.concatenate(side) for side in zip(*pairs, strict=True))
    links = coo_array((np.ones(len(ones), bool), (ones, others)), shape=(count, count))
    _, label_N = connected_components(links, directed=False)
    _, first_G, group_N, size_G = np.unique(
        label_N, return_index=True, return_inverse=True, return_counts=True
    )
    order = [group for group in np.argsort(first_G) if size_G[group] > 1]
    number_G = np.full(len(first_G), -1)
    number_G[order] = np.arange(len(order))
    numbers: NDArray[np.int64] = number_G[group_N]
    return numbers


def _near_pairs(
    raw_NF: NDArray[np.uint8], which_N: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the images of pairs that show the same, among images that all differ."""
    sample_NF = _normalized(raw_NF[which_N[:: -(-len(which_N) // _SAMPLE)]])
    center_F = sample_NF.mean(axis=0)
    _, _, axes_NF = np.linalg.svd(sample_NF - center_F, full_matrices=False)
    axes_FP = axes_NF[:_AXES].T
    projected_NP = np.concatenate(
        [(_normalized(raw_NF[part]) - center_F) @ axes_FP for part in _chunks(which_N)]
    )
    tree = cKDTree(projected_NP)
    for start in range(0, len(which_N), _CHUNK):
        _, neighbors = tree.query(
            projected_NP[start : start + _CHUNK],
            k=_NEIGHBORS + 1,  # itself among them
            distance_upper_bound=_MOST_DIFFERENCE,
        )
        ones, places = np.nonzero(neighbors < len(which_N))
        others = neighbors[ones, places]
        ones += start
        ones, others = ones[ones < others], others[ones < others]
        for part in _chunks(np.arange(len(ones))):
            one, other = which_N[ones[part]], which_N[others[part]]
            difference_NF = _normalized(raw_NF[one]) - _normalized(raw_NF[other])
            near = np.square(difference_NF).sum(axis=1) <= _MOST_DIFFERENCE**2
            yield one[near], other[near]


def _chunks(values: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _normalized(raw_NF: NDArray[np.uint8]) -> Floats:
    """Scale such that the Euclidean distance is the difference relative to the contrast.

    The contrast is the root mean square of the distance from the mean colour. Means are divided by
    it too, so that an image made brighter by a factor keeps its place.
    """
    pixels = raw_NF.reshape(len(raw_NF), -1, 3).astype(np.float32)
    mean = pixels.mean(axis=1, keepdims=True)
    pixels -= mean
    contrast = np.sqrt(np.square(pixels).mean(axis=(1, 2), keepdims=True))
    scale = np.maximum(contrast, _LEAST_CONTRAST)
    pixels /= scale * np.float32(np.sqrt(FINGERPRINT_BYTES))
    mean *= _MEAN_WEIGHT / (scale * np.float32(np.sqrt(3)))
    return np.concatenate([pixels.reshape(len(raw_NF), -1), mean[:, 0]], axis=1)
