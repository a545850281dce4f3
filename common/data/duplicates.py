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
Where many images of one scene come so near to each other that the tree's nearest are not the right
ones, each of these images is compared with all others of them.

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
_CHUNK = 2048
# Of a long film only the nearest frames are compared with each; they chain into one group.
_NEIGHBORS = 16
# Chunks of crowded images with which one is compared; for a million images that takes half an hour.
_MOST_CHUNKS = 32


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
    label_N = _components(ones, others, count)
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
    """Yield the images of pairs that show the same, among images that all differ.

    There are enough pairs to connect all that show the same, and not every one.
    """
    projected_NP = _project(raw_NF, which_N)
    tree = cKDTree(projected_NP)
    crowded = []
    for start in range(0, len(which_N), _CHUNK):
        _, neighbors = tree.query(
            projected_NP[start : start + _CHUNK],
            k=_NEIGHBORS + 1,  # itself among them
            distance_upper_bound=_MOST_DIFFERENCE,
        )
        rows, columns = np.nonzero(neighbors < len(which_N))
        ones, others = which_N[start + rows], which_N[neighbors[rows, columns]]
        near = np.concatenate([_are_near(raw_NF, *pair) for pair in _chunks(ones, others)])
        yield ones[near], others[near]
        # If more images may be near than were looked at, and not all of those are, some that are
        # may be missing. From any other image all were found, or enough of a film.
        near_count = np.bincount(rows[near], minlength=len(neighbors))
        is_full = neighbors[:, -1] < len(which_N)
        crowded.append(start + np.flatnonzero(is_full & (near_count <= _NEIGHBORS)))
    crowded_N = np.concatenate(crowded)
    # In the order of the first axis, so that those too far apart to be compared differ the most.
    order = np.argsort(projected_NP[crowded_N, 0])
    yield from _compare_all(raw_NF, which_N[crowded_N[order]])


def _project(raw_NF: NDArray[np.uint8], which_N: NDArray[np.int64]) -> Floats:
    """Return images as coordinates on the principal axes of them all."""
    sample_NF = _normalized(raw_NF[which_N[:: -(-len(which_N) // _SAMPLE)]])
    center_F = sample_NF.mean(axis=0)
    _, _, axes_NF = np.linalg.svd(sample_NF - center_F, full_matrices=False)
    axes_FP = axes_NF[:_AXES].T
    return np.concatenate(
        [(_normalized(raw_NF[part]) - center_F) @ axes_FP for (part,) in _chunks(which_N)]
    )


def _compare_all(
    raw_NF: NDArray[np.uint8], which_N: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs that connect the images that show the same; each is compared with each."""
    chunks = [part for (part,) in _chunks(which_N)]
    for number, ones in enumerate(chunks):
        ones_NF = _normalized(raw_NF[ones])
        for others in chunks[number : number + _MOST_CHUNKS]:
            others_NF = _normalized(raw_NF[others])
            squares_NN = -2 * ones_NF @ others_NF.T
            squares_NN += np.square(ones_NF).sum(axis=1)[:, None]
            squares_NN += np.square(others_NF).sum(axis=1)
            near = np.nonzero(squares_NN <= _MOST_DIFFERENCE**2)
            # Where all are near each other, they are millions; one link each is enough.
            both = np.concatenate([ones, others])
            label_N = _components(near[0], len(ones) + near[1], len(both))
            _, first_G, group_N = np.unique(label_N, return_index=True, return_inverse=True)
            yield both[first_G[group_N]], both


def _components(
    one_N: NDArray[np.int64], other_N: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Return which of `count` things are connected, given pairs: those with the same label."""
    links = coo_array((np.ones(len(one_N), bool), (one_N, other_N)), shape=(count, count))
    label_N: NDArray[np.int64] = connected_components(links, directed=False)[1]
    return label_N


def _are_near(
    raw_NF: NDArray[np.uint8], one_N: NDArray[np.int64], other_N: NDArray[np.int64]
) -> NDArray[np.bool_]:
    difference_NF = _normalized(raw_NF[one_N]) - _normalized(raw_NF[other_N])
    near_N: NDArray[np.bool_] = np.square(difference_NF).sum(axis=1) <= _MOST_DIFFERENCE**2
    return near_N


def _chunks(*columns: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], ...]]:
    for start in range(0, len(columns[0]), _CHUNK):
        yield tuple(column[start : start + _CHUNK] for column in columns)


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
