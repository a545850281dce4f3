"""Painted masks: decoded as an encoder of our own, written from the format, wrote them."""

import random

import numpy as np
import pytest

from common.data.formats import label_studio_brush as brush
from common.masks import rle
from tests.common.data.formats.brushes import packed
from tests.common.data.test_fuzz_import import mutated


def decoded(data, height, width):
    return rle.decode(brush.decode(data, height, width)).astype(bool)


@pytest.mark.parametrize("literal_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("lengths", [(3, 4, 8, 16), (1, 1, 1, 1), (16, 2, 9, 5)])
def test_what_is_packed_is_unpacked(lengths, literal_share):
    """Whichever kinds of runs are used, and wherever they begin and end within pixels."""
    chance = random.Random(0)
    mask_HW = np.random.default_rng(0).random((13, 7)) < 0.5
    mask_HW[3:9] = True

    data = packed(mask_HW, lengths=lengths, literal_share=literal_share, chance=chance)

    assert (decoded(data, 13, 7) == mask_HW).all()


def test_a_mask_by_hand():
    """One row: a pixel that is not painted, and one that is."""
    bits = (
        f"{8:032b}"  # words: two pixels
        + f"{7:05b}"  # of eight bits
        + f"{1:04b}{2:04b}{3:04b}{7:04b}"  # lengths of 2, 3, 4 and 8 bits
        + "100" + "11" + f"{0:08b}"  # four words of 0
        + "000" + "11" + f"{9:08b}{8:08b}{7:08b}{255:08b}"  # four words, one by one
    )  # fmt: skip
    bits += "0" * (-len(bits) % 8)
    data = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]

    assert decoded(data, 1, 2).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("alpha", "painted"),
    [
        pytest.param([0, 127, 128, 255], [False, False, True, True], id="half along an edge"),
        pytest.param([0, 1, 0, 1], [False, True, False, True], id="written as 1"),
        pytest.param([0, 0, 0, 0], [False] * 4, id="nothing"),
    ],
)
def test_alpha_says_what_is_painted(alpha, painted):
    assert decoded(packed(np.array([alpha])), 1, 4).tolist() == [painted]


GOOD = packed(np.eye(4, dtype=bool))


@pytest.mark.parametrize(
    ("data", "size", "why"),
    [
        (GOOD, (4, 5), "has 4 words|have 64 words, the image has 5 × 4"),
        (GOOD[:-3], (4, 4), "ends before"),
        ([], (4, 4), "ends before"),
        (None, (4, 4), "ends before"),
        (7, (4, 4), "ends before"),
        ("abc", (4, 4), "ends before"),
        ([1.5] * 30, (4, 4), "no list of bytes"),
        ([256] * 30, (4, 4), "no list of bytes"),
        ([-1] * 30, (4, 4), "no list of bytes"),
        ([None] * 30, (4, 4), "no list of bytes"),
        ([0, 0, 0, 64, 0xFF] + [0] * 30, (4, 4), "have 32 bits"),
        (GOOD, (0, 4), "4 × 0 pixels"),
        (GOOD, (-4, -4), "-4 × -4 pixels"),
        (GOOD, (10**6, 10**6), "1000000 × 1000000 pixels"),
        # 16 bits for a length of 65536, of 64 words.
        ([0, 0, 0, 64, 0x3F] + [0xFF] * 30, (4, 4), "behind the last pixel"),
    ],
)
def test_what_is_no_mask_is_said(data, size, why):
    with pytest.raises(brush.BrushError, match=why):
        brush.decode(data, *size)


def test_mutated_masks():
    """A mask of the right size, or an error that says why not."""
    chance = random.Random(0)
    read = 0
    for _ in range(500):
        try:
            mask_HW = decoded(list(mutated(bytes(GOOD), chance)), 4, 4)
        except brush.BrushError:
            continue
        assert mask_HW.shape == (4, 4)
        read += 1

    assert 50 < read < 450
