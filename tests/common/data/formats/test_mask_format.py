"""What is common to formats of masks: which set is read, and what is said of the rest."""

import numpy as np
import pytest

from common.data.findings import Report
from common.data.formats import choose
from common.data.formats.binary_masks import BinaryMasks
from common.data.formats.colour_masks import ColourMasks
from common.data.formats.index_masks import IndexMasks
from common.errors import InvalidInput
from tests.common.data.formats.masks import grey, jpeg, labels_of, pairs
from tests.common.data.pictures import encode

INDEX = grey([0, 1, 2, 3], [0, 0, 1, 255])
BINARY = grey([0, 255, 255, 0], [0] * 4)
COLOURS = encode(np.array([[[9, 8, 7], [200, 0, 0], [0, 0, 0], [9, 8, 7]]] * 2, np.uint8), "PNG")
FORMATS = (IndexMasks(), BinaryMasks(), ColourMasks())


def examples(tree, format_):
    return labels_of(format_, tree)[2]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (pairs(INDEX), "index_masks"),
        (pairs(BINARY), "binary_masks"),
        (pairs(COLOURS), "colour_masks"),
        (pairs(INDEX) | pairs(COLOURS, folder="masks_color"), "index_masks"),
        (pairs(INDEX, folder="masks_panoptic") | pairs(COLOURS), "colour_masks"),
        (pairs(COLOURS, folder="panoptic") | pairs(BINARY, folder="labels"), "binary_masks"),
    ],
)
def test_exactly_one_fits(files, name, tree_of):
    tree = tree_of(**files)

    assert [entry.name for entry in FORMATS if entry.detect(tree)] == [name]
    assert choose(FORMATS, "", tree).name == name


@pytest.mark.parametrize(
    "files",
    [
        {"images/1.jpg": jpeg(), "images/2.jpg": jpeg()},
        {"images/1.jpg": jpeg(), "labels/1.txt": b"0 0.5 0.5 0.5 0.5"},
        pairs(INDEX, folder="instances"),
        pairs(b"", b"no image"),
    ],
)
def test_none_fits(files, tree_of):
    assert [entry.name for entry in FORMATS if entry.detect(tree_of(**files))] == []


@pytest.mark.parametrize("entry", FORMATS, ids=lambda entry: entry.name)
def test_nothing_to_read(entry, tree_of):
    with pytest.raises(InvalidInput, match="There are no masks with"):
        entry.read(tree_of(**{"images/1.jpg": jpeg()}), Report(), max_records=9)


def test_the_user_knows_better(tree_of):
    """Masks that look like others can be read if their format is named."""
    tree = tree_of(**pairs(BINARY))

    assert labels_of(IndexMasks(), tree)[1] == ["class 0"]
    assert labels_of(BinaryMasks(), tree_of(**pairs(INDEX)))[1] == ["background", "foreground"]
    objects = tree_of(**pairs(INDEX, folder="instances_gt"))
    assert labels_of(IndexMasks(), objects)[1][:2] == ["class 0", "class 1"]


def test_what_is_left_out(tree_of):
    files = pairs(INDEX, INDEX) | pairs(COLOURS, folder="masks_color")
    del files["masks/1.png"]
    tree = tree_of(**files, **{"masks/7.png": INDEX, "masks/0.tif": INDEX})

    assert examples(tree, IndexMasks()) == {
        "IMAGES_WITHOUT_MASK": ["images/1.jpg"],
        "MASKS_WITHOUT_IMAGE": ["masks/7.png"],
        "MASKS_REPEATED": ["masks/0.tif"],
        "MASK_SETS_IGNORED": ["masks_color: 1 masks"],
        "MASK_CLASSES_GUESSED": [f"class {number}" for number in range(4)],
    }


def test_splits_by_folder(tree_of):
    tree = tree_of(
        **{
            "images/train/1.jpg": jpeg(), "masks/train/1.png": INDEX,
            "images/val/2.jpg": jpeg(), "masks/val/2.png": INDEX,
        }
    )  # fmt: skip

    reading = IndexMasks().read(tree, Report(), max_records=9)

    assert [record.split for record in reading.records] == ["train", "val"]


def test_splits_by_lists(tree_of):
    tree = tree_of(**pairs(INDEX, INDEX), **{"train.txt": b"0", "test.txt": b"1"})

    reading = IndexMasks().read(tree, Report(), max_records=9)

    assert [record.split for record in reading.records] == ["train", "test"]


def test_too_many_masks(tree_of):
    with pytest.raises(InvalidInput, match="the masks list more than 1 images"):
        IndexMasks().read(tree_of(**pairs(INDEX, INDEX)), Report(), max_records=1)


def test_contradicting_tables(tree_of):
    """Detection does not fail for them; reading does, and says why."""
    tree = tree_of(**pairs(INDEX), **{"classes.txt": b"a\nb", "labels.txt": b"c\nd"})

    assert IndexMasks().detect(tree)
    with pytest.raises(InvalidInput, match="name the classes differently"):
        IndexMasks().read(tree, Report(), max_records=9)


def test_a_class_of_which_no_mask_was_decoded_yet(tree_of):
    """The import finds out which occur: until then, all may only be named."""
    reading = IndexMasks().read(tree_of(**pairs(INDEX)), Report(), max_records=9)

    assert reading.unused == {0, 1, 2, 3}
