"""Masks in which the value of a pixel is the number of its class."""

import numpy as np
import pytest
from PIL import Image

from common.data.findings import Report
from common.data.formats.index_masks import IndexMasks
from common.errors import InvalidInput
from tests.common.data.formats.masks import grey, labels_of, pairs
from tests.common.data.pictures import encode, encode_image

NAMES = b"0 sky\n1 sea\n2 void\n5 sand\n"
ROWS = [[0, 0, 1, 1], [2, 5, 5, 255]]
MASK = grey(*ROWS)
SAID = [["sky", "sky", "sea", "sea"], [None, "sand", "sand", None]]


def test_by_a_table(tree_of):
    """Void by its name, and by 255."""
    tree = tree_of(**pairs(MASK), **{"classes.txt": NAMES})

    masks, classes, findings = labels_of(IndexMasks(), tree)

    assert IndexMasks().detect(tree) == (
        "masks/0.png has the number of the class of each pixel of images/0.jpg"
    )
    assert classes == ["sky", "sea", "sand"]
    assert masks == {"images/0.jpg": SAID}
    assert findings == {}


def test_255_may_be_a_class(tree_of):
    tree = tree_of(**pairs(MASK), **{"classes.txt": NAMES + b"255 cloud"})

    masks, classes, _ = labels_of(IndexMasks(), tree)

    assert classes == ["sky", "sea", "sand", "cloud"]
    assert masks["images/0.jpg"][1] == [None, "sand", "sand", "cloud"]


def test_void_index(tree_of):
    """Nothing else is void then: what is called so is a class, and 255 an error."""
    tree = tree_of(**pairs(MASK), **{"classes.txt": NAMES})

    masks, classes, findings = labels_of(IndexMasks(void_index=1), tree)

    assert classes == ["sky", "void", "sand"]
    assert masks["images/0.jpg"] == [["sky", "sky", None, None], ["void", "sand", "sand", None]]
    assert findings == {"VALUES_OUTSIDE_CLASSES": ["masks/0.png: 255 (1 pixels)"]}


def test_values_outside_the_table(tree_of):
    outside = grey([0, 7, 7, 9], [0, 1, 1, 1])
    tree = tree_of(**pairs(MASK, outside), **{"classes.txt": NAMES})

    masks, _, findings = labels_of(IndexMasks(), tree)

    assert masks["images/1.jpg"][0] == ["sky", None, None, None]
    assert findings == {"VALUES_OUTSIDE_CLASSES": ["masks/1.png: 7 (2 pixels), 9 (1 pixels)"]}


def test_without_a_table(tree_of):
    """The values of all masks are the classes, 255 apart."""
    tree = tree_of(**pairs(MASK, grey([9, 9, 9, 9], [0, 0, 0, 0])))

    masks, classes, findings = labels_of(IndexMasks(), tree)

    assert classes == ["class 0", "class 1", "class 2", "class 5", "class 9"]
    assert masks["images/0.jpg"][1] == ["class 2", "class 5", "class 5", None]
    assert findings == {"MASK_CLASSES_GUESSED": classes}
    assert labels_of(IndexMasks(void_index=9), tree)[1][-1] == "class 255"


def test_two_values_with_a_name_each(tree_of):
    """A table that has both says what they are."""
    files = pairs(grey([0, 1, 1, 0], [0, 0, 0, 0]))
    tree = tree_of(**files, **{"classes.txt": b"nothing\ncrack\n"})

    assert IndexMasks().detect(tree)
    assert labels_of(IndexMasks(), tree)[0]["images/0.jpg"][0] == [
        "nothing", "crack", "crack", "nothing"
    ]  # fmt: skip
    assert IndexMasks().detect(tree_of(**files)) is None


def test_one_class_and_void(tree_of):
    """The sample shows two values, but one is void."""
    tree = tree_of(**pairs(grey([0, 7, 7, 0], [0, 0, 0, 0])))

    assert IndexMasks(void_index=7).detect(tree)
    assert labels_of(IndexMasks(void_index=7), tree)[1] == ["class 0"]


def palette():
    image = Image.fromarray(np.array(ROWS, np.uint8)).convert("L")
    image.putpalette([128, 0, 0, 0, 128, 0, 0, 0, 128] * 85 + [9, 9, 9])
    return encode_image(image, "PNG")


@pytest.mark.parametrize(
    ("mask", "suffix"),
    [
        pytest.param(palette(), ".png", id="palette"),
        pytest.param(encode(np.array(ROWS, np.uint16), "PNG"), ".png", id="16 bits"),
        pytest.param(encode(np.array(ROWS, np.int32), "TIFF"), ".tif", id="32 bits"),
        pytest.param(encode(np.array(ROWS, np.uint8), "BMP"), ".bmp", id="BMP"),
        pytest.param(encode(np.dstack([np.array(ROWS, np.uint8)] * 3), "PNG"), ".png", id="RGB"),
    ],
)
def test_kinds_of_files(mask, suffix, tree_of):
    tree = tree_of(**pairs(mask, suffix=suffix), **{"classes.txt": NAMES})

    assert IndexMasks().detect(tree)
    assert labels_of(IndexMasks(), tree)[0] == {"images/0.jpg": SAID}


def test_values_of_many_bits(tree_of):
    """Those of which a table cannot speak are void, too."""
    mask = encode(np.array([[0, 300, 70_000, -5], [0, 300, 300, 300]], np.int32), "TIFF")
    tree = tree_of(**pairs(mask, suffix=".tif"), **{"classes.txt": b"0 sky\n300 sea\n7 a"})

    masks, _, findings = labels_of(IndexMasks(), tree)

    assert masks["images/0.jpg"][0] == ["sky", "sea", None, None]
    assert findings == {
        "VALUES_OUTSIDE_CLASSES": ["masks/0.tif: -5 (1 pixels), 70000 (1 pixels)"]
    }  # fmt: skip


def test_two_values_with_one_name(tree_of):
    tree = tree_of(**pairs(MASK), **{"classes.txt": b"0 sky\n1 sea\n2 sea\n5 sand\n"})

    masks, classes, findings = labels_of(IndexMasks(), tree)

    assert classes == ["sky", "sea", "sand"]
    assert masks["images/0.jpg"][1][0] == "sea"
    assert findings == {"CATEGORY_NAMES_REPEATED": ["classes.txt: sea, also 2"]}


def test_unreadable(tree_of):
    """Each is named with what is wrong; the others are read."""
    tree = tree_of(
        **pairs(
            MASK, MASK, MASK, MASK[:45], b"", encode(np.random.default_rng(0).integers(
                0, 255, (2, 4, 3), np.uint8), "PNG"), encode(np.zeros((2, 4), np.uint8)),
        ),
        **{"classes.txt": NAMES},
    )  # fmt: skip

    masks, _, findings = labels_of(IndexMasks(), tree)

    assert [number for number in range(7) if masks[f"images/{number}.jpg"]] == [0, 1, 2]
    assert [example.partition(":")[0] for example in findings["MASKS_UNREADABLE"]] == [
        f"masks/{number}.png" for number in (3, 4, 5, 6)
    ]


def test_of_another_size(tree_of):
    tree = tree_of(
        **pairs(MASK, grey([0] * 3, [0] * 3), grey([0, 1])), **{"classes.txt": NAMES}
    )  # fmt: skip

    masks, _, findings = labels_of(IndexMasks(), tree)

    assert masks["images/1.jpg"] is None
    assert masks["images/2.jpg"] == [["sky", "sky", "sea", "sea"]] * 2
    assert findings == {
        "MASK_SIZE_DIFFERS": ["masks/1.png: 3 × 2, its image 4 × 2"],
        "MASKS_SCALED": ["masks/2.png: 2 × 1, its image 4 × 2"],
    }


def test_too_many_values(tree_of):
    """Values that are no classes, such as depths, are not read as ten thousands of these."""
    depths = np.arange(20_000, dtype=np.uint16).reshape(100, 200)
    tree = tree_of(**pairs(MASK, encode(depths, "PNG"), *[MASK] * 3))

    assert IndexMasks().detect(tree) is None
    with pytest.raises(InvalidInput):
        IndexMasks().read(tree, Report(),
                          max_records=9)  # fmt: skip
