"""Masks in which each class has a colour."""

import numpy as np
import pytest

from common.data.findings import Report
from common.data.formats.colour_masks import ColourMasks
from common.errors import InvalidInput
from tests.common.data.formats.masks import grey, jpeg, labels_of, pairs
from tests.common.data.pictures import encode, picture

ROAD, SKY, BLACK = (128, 64, 128), (0, 10, 255), (0, 0, 0)


def coloured(*rows) -> bytes:
    return encode(np.array(rows, np.uint8), "PNG")


MASK = coloured([ROAD, ROAD, SKY, SKY], [BLACK, BLACK, SKY, SKY])
SAID = [["road", "road", "sky", "sky"], ["void", "void", "sky", "sky"]]
SAID_VOID = [["road", "road", "sky", "sky"], [None, None, "sky", "sky"]]


@pytest.mark.parametrize(
    ("path", "table"),
    [
        ("class_dict.csv", b"name,r,g,b\nvoid,0,0,0\nroad,128,64,128\nsky,0,10,255\n"),
        ("label_colors.txt", b"0 0 0\tvoid\n128 64 128\troad\n0 10 255\tsky\n"),
        ("labelmap.txt", b"# label:color_rgb:parts:actions\nvoid:0,0,0::\nroad:128,64,128::\n"
                         b"sky:0,10,255::\n"),
        ("classes.json", b'[{"name": "void", "color": "#000000"}, {"name": "road", "color": '
                         b'[128, 64, 128]}, {"name": "sky", "color": "#000aff"}]'),
    ],
)  # fmt: skip
def test_by_a_table(path, table, tree_of):
    """Black is void if it is called so."""
    tree = tree_of(**pairs(MASK), **{path: table})

    masks, classes, findings = labels_of(ColourMasks(), tree)

    assert ColourMasks().detect(tree)
    assert classes == ["road", "sky"]
    assert masks == {"images/0.jpg": SAID_VOID}
    assert findings == {}


TABLE = {"class_dict.csv": b"name,r,g,b\nroad,128,64,128\nsky,0,10,255\nbackground,0,0,0\n"}


def test_black_is_a_class_like_any_other(tree_of):
    """A mask of black alone is grey as it is read."""
    tree = tree_of(**pairs(MASK, coloured([BLACK] * 4, [BLACK] * 4), MASK), **TABLE)

    masks, classes, findings = labels_of(ColourMasks(), tree)

    assert classes == ["road", "sky", "background"]
    assert masks["images/1.jpg"] == [["background"] * 4] * 2
    assert findings == {}


def test_unknown_colours(tree_of):
    other = coloured([(1, 2, 3), (1, 2, 3), ROAD, (255, 255, 0)], [SKY] * 4)
    tree = tree_of(**pairs(MASK, other), **TABLE)

    masks, _, findings = labels_of(ColourMasks(), tree)

    assert masks["images/1.jpg"] == [[None, None, "road", None], ["sky"] * 4]
    assert findings == {
        "COLOURS_OUTSIDE_CLASSES": ["masks/1.png: #010203 (2 pixels), #ffff00 (1 pixels)"]
    }


def test_transparency_does_not_count(tree_of):
    rgba = np.dstack([np.array([[ROAD, SKY, SKY, SKY]] * 2), np.array([[0, 9, 255, 255]] * 2)])
    tree = tree_of(**pairs(encode(rgba.astype(np.uint8), "PNG")), **TABLE)

    assert labels_of(ColourMasks(), tree)[0]["images/0.jpg"] == [["road", "sky", "sky", "sky"]] * 2


def test_jpeg(tree_of):
    """The nearest colour counts; where none is near, nobody says."""
    pixels = np.repeat(np.repeat(np.array([[ROAD, SKY], [BLACK, (250, 250, 0)]], np.uint8), 32, 0),
                       32, 1)  # fmt: skip
    files = {"images/1.jpg": encode(picture(64, 64)), "masks/1.jpg": encode(pixels, quality=80)}
    tree = tree_of(**files, **TABLE)

    masks, _, findings = labels_of(ColourMasks(), tree)

    labels = np.array(masks["images/1.jpg"])
    assert (labels[:28, :28] == "road").all()
    assert (labels[:28, 36:] == "sky").all()
    assert (labels[36:, :28] == "background").all()
    assert (labels[36:, 36:] == np.array(None)).all()
    assert set(findings) == {"MASKS_LOSSY", "COLOURS_OUTSIDE_CLASSES"}


def test_without_a_table(tree_of):
    """The colours are the classes."""
    tree = tree_of(**pairs(MASK, coloured([ROAD] * 4, [(9, 9, 9)] * 4)))

    masks, classes, findings = labels_of(ColourMasks(), tree)

    assert ColourMasks().detect(tree)
    assert classes == [f"colour #{one}" for one in ("000000", "000aff", "090909", "804080")]
    assert masks["images/1.jpg"][1] == ["colour #090909"] * 4
    assert findings == {"MASK_CLASSES_GUESSED": classes}


def test_photos_are_no_masks(tree_of):
    files = {f"images/{n}.jpg": encode(picture(64, 48, n)) for n in range(3)}
    files |= {f"labels/{n}.png": encode(picture(64, 48, n), "PNG") for n in range(3)}
    tree = tree_of(**files)

    assert ColourMasks().detect(tree) is None
    with pytest.raises(InvalidInput, match="no masks with the colour"):
        ColourMasks().read(tree, Report(), max_records=9)


def test_too_many_colours(tree_of):
    """They are not made classes, even where the user says that masks have colours."""
    rng = np.random.default_rng(0)
    files = {"images/1.jpg": jpeg(20, 20)}
    files["masks/1.png"] = encode(rng.integers(0, 255, (20, 20, 3), np.uint8), "PNG")

    assert ColourMasks().detect(tree_of(**files)) is None
    with pytest.raises(InvalidInput, match=r"masks/1\.png have more than 255 colours"):
        ColourMasks().read(tree_of(**files), Report(), max_records=9)


def test_numbers_are_no_colours(tree_of):
    tree = tree_of(**pairs(grey([0, 1, 2, 3], [0] * 4)), **TABLE)

    assert ColourMasks().detect(tree) is None
