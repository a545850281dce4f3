"""What is kept of a mask is what it said."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from common.masks.label_maps import VOID
from services.segmentation.semantic.annotation import (
    pixel_counts,
    read,
    renumber,
    void_count,
    write,
)

LABELS = np.array([[7, 7, 0], [VOID, 7, 300]], np.int16)


def test_written():
    written = write(LABELS)

    assert written["labels"] == [0, 7, 300]
    assert written["pixels"] == [1, 3, 1]
    assert written["void"] == 1
    image = Image.open(io.BytesIO(written["mask"]))
    assert (image.format, image.mode) == ("PNG", "L")
    assert np.asarray(image).tolist() == [[1, 1, 0], [255, 1, 2]]


@given(st_numpy.arrays(np.int16, st_numpy.array_shapes(min_dims=2, max_dims=2, max_side=20),
                       elements=st.integers(-1, 9999)))  # fmt: skip
def test_read_as_written(labels):
    if len(np.unique(labels)) > 255:
        labels %= 100
    written = write(labels)

    found = read(written)

    assert found.dtype == np.int16
    assert found.tolist() == labels.tolist()
    assert sum(written["pixels"]) + written["void"] == labels.size
    assert pixel_counts(written) == {
        int(label): int((labels == label).sum()) for label in np.unique(labels) if label != VOID
    }


def test_255_classes_are_the_most():
    most = np.arange(255, dtype=np.int16)[None]

    assert read(write(most)).tolist() == most.tolist()
    with pytest.raises(ValueError, match="256 classes"):
        write(np.arange(256, dtype=np.int16)[None])


def test_all_void():
    written = write(np.full((2, 2), VOID, np.int16))

    assert (written["labels"], written["pixels"], written["void"]) == ([], [], 4)
    assert (read(written) == VOID).all()


def test_of_many_bands():
    """A picture of more pixels than are worked on at once."""
    labels = np.zeros((3000, 2000), np.int16)
    labels[-1, -1], labels[0, 0], labels[2500, 7] = 400, VOID, 1

    written = write(labels)

    assert written["pixels"] == [5_999_997, 1, 1]
    assert (read(written) == labels).all()


def test_the_digest_tells_masks_apart():
    """Also those of the same values in another shape."""
    digests = {
        write(labels)["sha256"] for labels in (LABELS, LABELS.T, LABELS[::-1], LABELS.reshape(1, 6))
    }

    assert len(digests) == 4
    assert write(LABELS.copy())["sha256"] == write(LABELS)["sha256"]


def test_dropped_classes_become_void():
    """The PNG stays as it is."""
    written = write(LABELS)

    dropped = renumber(written, {7: 0, 300: 1})

    assert dropped["labels"] == [None, 0, 1]
    assert dropped["mask"] == written["mask"]
    assert read(dropped).tolist() == [[0, 0, VOID], [VOID, 0, 1]]
    assert pixel_counts(dropped) == {0: 3, 1: 1}
    assert void_count(dropped) == 2
    assert read(renumber(dropped, {1: 5})).tolist() == [[VOID] * 3, [VOID, VOID, 5]]


def test_nothing_remains():
    assert renumber(write(LABELS), {1: 0}) is None
