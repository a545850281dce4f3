"""Pictures in which the value of a pixel is the number of its object."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.data.findings import Report
from common.data.formats.index_masks import IndexMasks
from common.data.formats.instance_index import InstanceIndex
from common.data.formats.object_masks import ObjectMasks
from common.data.tree import Member, Tree
from common.errors import InvalidInput
from common.objects import drafts
from tests.common.data.formats.drawn import FILE, MASK, ONE, ROWS, THREE, TWO, read_objects, wide
from tests.common.data.formats.masks import grey, jpeg, labels_of, pairs
from tests.common.data.pictures import encode, encode_image

INDEX = InstanceIndex()
NAMES = {"1": "cat", "2": "dog", "3": "cat"}


def read(tree):
    return read_objects(INDEX, tree)


def test_each_number_is_an_object(tree_of):
    """0 is none; all are of one class unless something says another."""
    tree = tree_of(**pairs(MASK, grey([0] * 4, [0] * 4)))

    objects, _, findings = read(tree)

    assert INDEX.detect(tree) == "masks/0.png has the number of the object of each pixel"
    assert ObjectMasks().detect(tree) is None
    assert objects == {
        FILE: [("object", ONE), ("object", TWO), ("object", THREE)],
        "images/1.jpg": [],
    }
    assert findings == {"OBJECT_CLASSES_UNNAMED": ["object"]}


def test_what_is_kept_of_a_mask(tree_of):
    """Its size and each object's box and place."""
    (record,) = INDEX.read(tree_of(**pairs(MASK)), Report(), max_records=10).records

    draft = record.annotation
    assert (draft.source, draft.width, draft.height) == ("masks/0.png", 4, 2)
    assert [one.where for one in draft.objects] == ["number 1", "number 2", "number 3"]
    assert draft.objects[2].box == (2.0, 1.0, 4.0, 2.0)
    assert not any(one.boxed or one.crowd for one in draft.objects)


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(wide(*[[value * 300 for value in row] for row in ROWS]), id="16 bits"),
        pytest.param(
            encode(np.array([[(v, 40 * v, 0) for v in row] for row in ROWS], np.uint8), "PNG"),
            id="colours",
        ),
        pytest.param(encode(np.array(ROWS, np.uint8), "TIFF"), id="TIFF"),
        pytest.param(
            encode_image(Image.fromarray(np.array(ROWS, np.uint8)).convert("P"), "PNG"),
            id="palette",
        ),
    ],
)
def test_kinds_of_pictures(tree_of, mask):
    """Numbers of any size; of colours each is an object of its own."""
    objects, *_ = read(tree_of(**pairs(mask, folder="instances_mask")))

    assert [pixels for _, pixels in objects[FILE]] == [ONE, TWO, THREE]


@pytest.mark.parametrize("folder", ["instances", "instance", "train_instances"])
def test_a_folder_named_for_instances_has_masks(tree_of, folder):
    """Which are no images that lack a mask, either for objects or for classes."""
    tree = tree_of(**pairs(MASK, folder=folder))
    assert INDEX.detect(tree) == f"{folder}/0.png has the number of the object of each pixel"
    assert read(tree)[0] == {FILE: [("object", ONE), ("object", TWO), ("object", THREE)]}

    both = tree_of(**pairs(grey([0, 1, 1, 0], [2, 0, 1, 1])), **{f"{folder}/0.png": MASK})
    assert "IMAGES_WITHOUT_MASK" not in labels_of(IndexMasks(), both)[2]


def test_255_is_an_object_where_there_are_so_many(tree_of):
    """There is 254, too; or it is the only one; or numbers have 16 bits."""
    many = tree_of(**pairs(grey([254, 255, 0, 0], [1, 1, 1, 1])))
    assert len(read(many)[0][FILE]) == 3

    only = tree_of(**pairs(grey([255, 255, 0, 0], [0, 0, 0, 0]), folder="instances_masks"))
    assert len(read(only)[0][FILE]) == 1

    more = tree_of(**pairs(wide([1, 255, 0, 0], [0, 0, 0, 0])))
    assert len(read(more)[0][FILE]) == 2


def test_a_thousand_objects_are_no_classes(tree_of):
    """There are numbers from 256 to 999, too."""
    tree = tree_of(**pairs(wide([0, 1, 500, 1200], [0, 0, 0, 0])))

    objects, *_ = read(tree)

    assert [name for name, _ in objects[FILE]] == ["object"] * 3


def test_masks_of_objects_come_before_others(tree_of):
    """Those named for it are read, the others named."""
    files = pairs(grey([1, 1, 1, 1], [2, 2, 2, 2])) | {
        "instance_masks/0.png": MASK,
        "depth_masks/0.png": grey([1, 2, 3, 4], [5, 6, 7, 8]),
    }

    objects, _, findings = read(tree_of(**files))

    assert [pixels for _, pixels in objects[FILE]] == [ONE, TWO, THREE]
    assert sorted(findings["MASK_SETS_IGNORED"]) == ["depth_masks: 1 masks", "masks: 1 masks"]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"masks/classes.txt": b"0 sky\n1 sea\n2 sand\n3 rock\n"}, id="of classes"),
        pytest.param({"masks/0.png": grey([0, 255, 0, 0], [0, 0, 0, 0])}, id="of two values"),
        pytest.param({"labels/0.txt": b"0 0.1 0.1 0.9 0.1 0.9 0.9\n"}, id="outlines in files"),
    ],
)
def test_masks_of_something_else(tree_of, files):
    """They are not taken for objects by themselves, but if the user says so."""
    tree = tree_of(**pairs(MASK) | files)

    assert INDEX.detect(tree) is None
    assert read(tree)[0][FILE]


def test_splits_of_folders_are_kept(tree_of):
    """As for other masks."""
    files = {f"{split}/images/1.jpg": jpeg() for split in ("train", "val")}
    tree = tree_of(**files, **{f"{split}/masks/1.png": MASK for split in ("train", "val")})

    _, splits, _ = read(tree)

    assert splits == {"train/images/1.jpg": "train", "val/images/1.jpg": "val"}


def test_masks_and_images_without_the_other_are_named(tree_of):
    """Left out, as an image without a mask is not one without objects."""
    files = pairs(MASK) | {"masks/8.png": MASK, "images/9.jpg": jpeg()}

    objects, _, findings = read(tree_of(**files))

    assert list(objects) == [FILE]
    assert findings["MASKS_WITHOUT_IMAGE"] == ["masks/8.png"]
    assert findings["IMAGES_WITHOUT_OBJECT_MASK"] == ["images/9.jpg"]


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        pytest.param(MASK[:40], "", id="broken"),
        pytest.param(encode(np.array(ROWS, np.uint8) * 60, "JPEG"), "with loss", id="JPEG"),
    ],
)
def test_masks_that_cannot_be_read_are_named(tree_of, mask, reason):
    """Their images are left out."""
    objects, _, findings = read(tree_of(**pairs(mask, MASK)))

    assert list(objects) == ["images/1.jpg"]
    (example,) = findings["MASKS_UNREADABLE"]
    assert example.startswith("masks/0.png: ")
    assert reason in example


@given(st.sampled_from(["masks/0.png", "masks/0.json"]), st.data())
@settings(max_examples=150)
def test_damaged_files_are_findings(tmp_path_factory, path, data):
    """Whatever has happened to a mask or a file with classes, nothing is raised but for a user."""
    files = pairs(MASK, MASK) | {"masks/0.json": json.dumps(NAMES).encode()}
    content = bytearray(files[path])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    files[path] = bytes(content[: data.draw(st.integers(1, len(content)))])
    blob = tmp_path_factory.mktemp("tree") / "blob"
    blob.write_bytes(b"".join(files.values()))
    starts = np.cumsum([0, *map(len, files.values())]).tolist()
    members = {
        name: Member(start, len(files[name])) for name, start in zip(files, starts, strict=False)
    }

    with Tree(blob, members) as tree:
        INDEX.detect(tree)
        objects, *_ = read(tree)

    assert [pixels for _, pixels in objects["images/1.jpg"]] == [ONE, TWO, THREE]


def test_an_archive_without_masks_is_refused(tree_of):
    """The message says how it should be."""
    with pytest.raises(InvalidInput, match="a folder named masks"):
        INDEX.read(tree_of(**{FILE: jpeg()}), Report(), max_records=10)


def test_too_many_images_or_objects_are_refused(tree_of, monkeypatch):
    """All objects are held in memory."""
    tree = tree_of(**pairs(MASK, MASK))

    with pytest.raises(InvalidInput, match="more than 1 images"):
        INDEX.read(tree, Report(), max_records=1)
    monkeypatch.setattr(drafts, "MAX_OUTLINE_BYTES", 300)
    with pytest.raises(InvalidInput, match="more than 300 bytes"):
        INDEX.read(tree, Report(), max_records=3)
