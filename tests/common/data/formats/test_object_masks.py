"""A picture for each object."""

import numpy as np
import pytest

from common.data.findings import Report
from common.data.formats.object_masks import ObjectMasks
from common.data.tree import Member, Tree
from common.errors import InvalidInput
from common.objects import drafts
from tests.common.data.formats.drawn import read_objects
from tests.common.data.formats.masks import grey, jpeg
from tests.common.data.pictures import encode

MASKS = ObjectMasks()
LEFT = grey([255, 0, 0, 0], [255, 0, 0, 0])
RIGHT = grey([0, 0, 0, 255], [0, 0, 0, 0])
NONE = grey([0] * 4, [0] * 4)
LEFT_AT = [(0, 0), (0, 1)]
RIGHT_AT = [(3, 0)]


def read(tree):
    return read_objects(MASKS, tree)


@pytest.mark.parametrize(
    ("image", "left", "right", "names"),
    [
        ("images/1.jpg", "masks/1_0.png", "masks/1_1.png", ["object", "object"]),
        ("images/1.jpg", "masks/1_0_cat.png", "masks/1_1_dog.png", ["cat", "dog"]),
        ("images/1.jpg", "masks/1_cat_0.png", "masks/1_dog_10.png", ["cat", "dog"]),
        ("images/1.jpg", "masks/1-mask-1.png", "masks/1-mask-2.png", ["object", "object"]),
        ("images/1.jpg", "masks/1/1.png", "masks/1/2.png", ["object", "object"]),
        ("images/1.jpg", "masks/1/cat_1.png", "masks/1/dog_1.png", ["cat", "dog"]),
        ("images/1.jpg", "masks/1/cat/1.png", "masks/1/dog/1.png", ["cat", "dog"]),
        ("images/1.jpg", "masks/cat/1_0.png", "masks/dog/1_0.png", ["cat", "dog"]),
        ("images/1.jpg", "masks/stop sign/1_0.png", "masks/tv/1_0.png", ["stop sign", "tv"]),
        ("a1/images/a1.png", "a1/masks/3f.png", "a1/masks/b2.png", ["object", "object"]),
        ("a1/images/a1.png", "a1/masks/3f_1.png", "a1/masks/b2_7.png", ["object", "object"]),
        ("x/a1/image.png", "x/a1/masks/cat_1.png", "x/a1/masks/dog_1.png", ["cat", "dog"]),
        ("image_1.jpg", "masks/image_1/1.png", "masks/image_1/2.png", ["object", "object"]),
        ("images/a_1.jpg", "instances/a_1_1.png", "instances/a_1_2.png", ["object", "object"]),
    ],
)
def test_a_picture_belongs_to_an_image_and_says_its_class(tree_of, image, left, right, names):
    """By a folder or the beginning of its name, or as all others beside an image do."""
    tree = tree_of("README.md", **{image: jpeg(), left: LEFT, right: RIGHT})

    objects, _, findings = read(tree)

    assert MASKS.detect(tree) == f"{left} has an object of {image}"
    assert objects == {image: [(names[0], LEFT_AT), (names[1], RIGHT_AT)]}
    assert findings == ({"OBJECT_CLASSES_UNNAMED": ["object"]} if "object" in names else {})


def test_a_name_that_begins_like_two_images_is_of_the_longer(tree_of):
    """`1_2_1` is the first object of `1_2`, not one of `1`."""
    files = {"images/1.jpg": jpeg(), "images/1_2.jpg": jpeg()}
    tree = tree_of(**files, **{"masks/1_1.png": LEFT, "masks/1_2_1.png": RIGHT})

    objects, *_ = read(tree)

    assert objects == {
        "images/1.jpg": [("object", LEFT_AT)],
        "images/1_2.jpg": [("object", RIGHT_AT)],
    }


def test_objects_are_in_the_order_of_their_numbers(tree_of):
    """2 comes before 10."""
    files = {f"masks/1_{number}.png": LEFT for number in (10, 2, 1)}
    tree = tree_of(**files, **{"images/1.jpg": jpeg()})

    (record,) = MASKS.read(tree, Report(), max_records=10).records

    assert [one.where for one in record.annotation.objects] == ["1_1.png", "1_2.png", "1_10.png"]
    assert record.annotation.source == "masks"
    assert (record.annotation.width, record.annotation.height) == (4, 2)
    assert record.annotation.objects[0].box == (0.0, 0.0, 1.0, 2.0)


def test_what_some_names_say_by_chance_is_no_class(tree_of):
    """If most pictures name no class, none does."""
    files = {f"a/masks/{name}.png": LEFT for name in ("0f3a", "77b1", "cat_1")}
    tree = tree_of(**files, **{"a/images/a.png": jpeg()})

    objects, *_ = read(tree)

    assert {name for name, _ in objects["a/images/a.png"]} == {"object"}


def test_splits_of_folders_are_kept(tree_of):
    """Of images, or of masks; the same name in another split is another image."""
    files = {f"images/{split}/1.jpg": jpeg() for split in ("train", "val")}
    masks = {"masks/train/1_1.png": LEFT, "masks/val/1_1.png": RIGHT}
    tree = tree_of(**files, **masks)

    objects, splits, _ = read(tree)

    assert splits == {"images/train/1.jpg": "train", "images/val/1.jpg": "val"}
    assert objects == {
        "images/train/1.jpg": [("object", LEFT_AT)],
        "images/val/1.jpg": [("object", RIGHT_AT)],
    }


def test_images_that_show_nothing_and_images_without_a_word(tree_of):
    """A single black picture says that there is no object; no picture says nothing."""
    files = {f"images/{number}.jpg": jpeg() for number in (1, 2, 3)}
    tree = tree_of(**files, **{"masks/1_1.png": LEFT, "masks/2_1.png": NONE, "masks/9_1.png": LEFT})

    objects, _, findings = read(tree)

    assert objects == {"images/1.jpg": [("object", LEFT_AT)], "images/2.jpg": []}
    assert findings["IMAGES_WITHOUT_OBJECT_MASK"] == ["images/3.jpg"]
    assert findings["MASKS_WITHOUT_IMAGE"] == ["masks/9_1.png"]


@pytest.mark.parametrize(
    ("image", "mask", "empty"),
    [
        pytest.param("{0}/images/{0}.png", "{0}/masks/1f.png", "{0}/masks", id="beside the image"),
        pytest.param("images/{0}.png", "masks/{0}/1.png", "masks/{0}", id="named like it"),
    ],
)
def test_an_empty_folder_of_masks_says_that_there_is_no_object(tmp_path, image, mask, empty):
    """As opposed to a missing one."""
    files = {image.format(name): jpeg() for name in ("a", "b", "c")} | {mask.format("a"): LEFT}
    (tmp_path / "blob").write_bytes(b"".join(files.values()))
    starts = np.cumsum([0, *map(len, files.values())]).tolist()
    members = {
        path: Member(start, len(content))
        for (path, content), start in zip(files.items(), starts, strict=False)
    }
    with Tree(tmp_path / "blob", members, [empty.format("b")]) as tree:
        objects, _, findings = read(tree)

    assert objects == {image.format("a"): [("object", LEFT_AT)], image.format("b"): []}
    assert findings["IMAGES_WITHOUT_OBJECT_MASK"] == [image.format("c")]


def test_an_empty_picture_beside_others_stays_to_be_reported(tree_of):
    """Its object has no pixel, which is said once the image is known."""
    tree = tree_of(**{"images/1.jpg": jpeg(), "masks/1_1.png": LEFT, "masks/1_2.png": NONE})

    objects, *_ = read(tree)

    assert objects == {"images/1.jpg": [("object", LEFT_AT), ("object", [])]}


def test_what_is_not_black_is_the_object(tree_of):
    """Whatever its colour, with or without a palette, with one bit or sixteen."""
    red = np.zeros((2, 4, 3), np.uint8)
    red[:, 0] = (0, 0, 9)
    bits = np.array([[1, 0, 0, 0], [1, 0, 0, 0]])
    masks = {
        "masks/1_1.png": encode(red, "PNG"),
        "masks/1_2.png": encode(bits.astype(bool), "PNG"),
        "masks/1_3.png": encode((bits * 300).astype(np.uint16), "PNG"),
        "masks/1_4.bmp": encode((bits * 7).astype(np.uint8), "BMP"),
    }
    tree = tree_of(**masks, **{"images/1.jpg": jpeg()})

    objects, *_ = read(tree)

    assert objects["images/1.jpg"] == [("object", LEFT_AT)] * 4


def test_noise_of_jpeg_is_no_object(tree_of):
    """What is less than half as bright as the brightest is black."""
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 8:40] = 255
    stored = encode(mask, "JPEG", quality=30)
    files = {f"masks/1_{number}.jpg": stored for number in (1, 2)}
    nothing = encode(np.random.default_rng(0).integers(0, 9, (64, 64), np.uint8), "JPEG")
    tree = tree_of(**files, **{"images/1.jpg": jpeg(64, 48), "masks/1_3.jpg": nothing})

    objects, _, findings = read(tree)

    assert MASKS.detect(tree)
    rows, columns = mask.nonzero()
    for _, pixels in objects["images/1.jpg"][:2]:
        assert set(pixels) == set(zip(columns.tolist(), rows.tolist(), strict=True))
    assert objects["images/1.jpg"][2] == ("object", [])
    assert findings["MASKS_LOSSY"] == [f"masks/1_{number}.jpg" for number in (1, 2, 3)]


def test_pictures_that_cannot_be_read_are_named(tree_of):
    """The image keeps what else it shows."""
    broken = LEFT[:40]
    tree = tree_of(**{"images/1.jpg": jpeg(), "masks/1_1.png": broken, "masks/1_2.png": RIGHT})

    objects, _, findings = read(tree)

    assert objects == {"images/1.jpg": [("object", RIGHT_AT)]}
    (example,) = findings["OBJECT_MASKS_UNREADABLE"]
    assert example.startswith("masks/1_1.png: ")


def test_pictures_of_other_sizes_say_no_size(tree_of):
    """Each is fitted to its image on its own."""
    small = grey([255, 0], [0, 0])
    tree = tree_of(**{"images/1.jpg": jpeg(), "masks/1_1.png": LEFT, "masks/1_2.png": small})

    (record,) = MASKS.read(tree, Report(), max_records=10).records

    assert (record.annotation.width, record.annotation.height) == (0, 0)
    sizes = [one.outline.rle["size"] for one in record.annotation.objects]
    assert sizes == [[2, 4], [2, 2]]


@pytest.mark.parametrize(
    "masks",
    [
        pytest.param({"masks/1.png": LEFT}, id="named like the image"),
        pytest.param({"masks/1_mask.png": LEFT}, id="without a number"),
        pytest.param({"masks/1_1.png": grey([1, 2, 0, 0], [3, 0, 0, 0])}, id="numbers"),
        pytest.param({"masks/1_1.png": LEFT, "masks/8_1.png": LEFT}, id="hardly any image"),
        pytest.param({"1_1.png": LEFT}, id="no folder for masks"),
        pytest.param({"masks/1_1.png": LEFT[:40]}, id="unreadable"),
        pytest.param({"masks/1_1.png": LEFT, "labels/1.txt": b"0 0 0 0 1 1 1"}, id="YOLO"),
    ],
)
def test_other_layouts_are_none(tree_of, masks):
    """Masks of classes, of all objects, and what files say better."""
    tree = tree_of(**{"images/1.jpg": jpeg()}, **masks)

    assert MASKS.detect(tree) is None


def test_an_archive_without_such_pictures_is_refused(tree_of):
    """The message says how it should be."""
    with pytest.raises(InvalidInput, match=r"masks/1_0\.png and masks/1_1\.png"):
        MASKS.read(tree_of(**{"images/1.jpg": jpeg()}), Report(), max_records=10)


def test_too_many_images_or_objects_are_refused(tree_of, monkeypatch):
    """All objects are held in memory."""
    files = {f"images/{number}.jpg": jpeg() for number in range(3)}
    tree = tree_of(**files, **{f"masks/{number}_1.png": LEFT for number in range(3)})

    with pytest.raises(InvalidInput, match="more than 2 images"):
        MASKS.read(tree, Report(), max_records=2)
    monkeypatch.setattr(drafts, "MAX_OBJECTS", 2)
    with pytest.raises(InvalidInput, match="more than 2 objects"):
        MASKS.read(tree, Report(), max_records=3)
