"""Masks of two values."""

import numpy as np
import pytest
from PIL import Image

from common.data.formats.binary_masks import BinaryMasks
from tests.common.data.formats.masks import grey, labels_of, pairs
from tests.common.data.pictures import encode, picture

B, F = "background", "foreground"


@pytest.mark.parametrize("high", [1, 128, 255])
def test_two_values(high, tree_of):
    tree = tree_of(**pairs(grey([0, high, high, 0], [0] * 4), grey([0] * 4, [0] * 4)))

    masks, classes, findings = labels_of(BinaryMasks(), tree)

    assert BinaryMasks().detect(tree)
    assert classes == [B, F]
    assert masks == {"images/0.jpg": [[B, F, F, B], [B] * 4], "images/1.jpg": [[B] * 4] * 2}
    assert findings == {"MASK_CLASSES_GUESSED": [F]}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (b"road\n", [B, "road"]),
        (b"0 rest\n1 road\n", ["rest", "road"]),
        (b"0 void\n1 rest\n2 road\n", ["rest", "road"]),
    ],
)
def test_named(table, expected, tree_of):
    tree = tree_of(**pairs(grey([0, 255, 255, 0], [0] * 4)), **{"classes.txt": table})

    _, classes, findings = labels_of(BinaryMasks(), tree)

    assert BinaryMasks().detect(tree)
    assert classes == expected
    assert findings == {}


def test_more_names(tree_of):
    """Then values are numbers of classes, of which a sample shows two."""
    tree = tree_of(**pairs(grey([0, 2, 2, 0], [0] * 4)), **{"classes.txt": b"a\nb\nc\n"})

    assert BinaryMasks().detect(tree) is None


def test_more_values(tree_of):
    tree = tree_of(**pairs(grey([0, 1, 2, 0], [0] * 4)))

    assert BinaryMasks().detect(tree) is None


def soft_pairs(encoded):
    image = encode(picture(96, 64))
    return {"images/1.jpg": image, "images/2.jpg": image, "masks/1.jpg": encoded,
            "masks/2.jpg": encoded}  # fmt: skip


def shape():
    """A disc of 255."""
    y, x = np.mgrid[:64, :96]
    return np.where((y - 30) ** 2 + (x - 40) ** 2 < 400, 255, 0).astype(np.uint8)


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(encode(shape(), quality=60), id="JPEG"),
        pytest.param(encode(np.dstack([shape()] * 3), quality=60), id="JPEG in RGB"),
        pytest.param(
            encode(
                np.asarray(
                    Image.fromarray(shape()).resize((48, 32), Image.Resampling.BILINEAR)
                    .resize((96, 64), Image.Resampling.BILINEAR)
                ),
                "PNG",
            ),
            id="resized softly",
        ),
    ],
)  # fmt: skip
def test_values_between(encoded, tree_of):
    """The nearer one counts, and the user hears of it."""
    tree = tree_of(**soft_pairs(encoded))

    masks, _, findings = labels_of(BinaryMasks(), tree)

    assert BinaryMasks().detect(tree)
    wrong = (np.array(masks["images/1.jpg"]) == F) != (shape() > 0)
    assert wrong.mean() < 0.01
    assert findings["MASKS_LOSSY"] == ["masks/1.jpg", "masks/2.jpg"]


def test_void_index(tree_of):
    """Of three values, one is void."""
    tree = tree_of(**pairs(grey([0, 255, 100, 0], [0] * 4)))

    masks, classes, findings = labels_of(BinaryMasks(void_index=100), tree)

    assert classes == [B, F]
    assert masks["images/0.jpg"][0] == [B, F, None, B]
    assert "MASKS_LOSSY" not in findings


def test_a_colour_among_them(tree_of):
    """It is left out, and named."""
    colours = encode(picture(40, 20)[:2, :4], "PNG")
    mask = grey([0, 255, 255, 0], [0] * 4)
    tree = tree_of(**pairs(mask, mask, mask, colours))

    masks, _, findings = labels_of(BinaryMasks(), tree)

    assert masks["images/3.jpg"] is None
    assert findings["MASKS_UNREADABLE"][0].startswith("masks/3.png: its pixels have colours")
