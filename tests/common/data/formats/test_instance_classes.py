"""What pictures, tables and numbers say of the classes of numbered objects."""

import json

import numpy as np
import pytest

from common.data.findings import Report
from common.data.formats.instance_index import InstanceIndex
from tests.common.data.formats.drawn import FILE, MASK, ONE, ROWS, THREE, TWO, read_objects, wide
from tests.common.data.formats.masks import grey, jpeg, pairs
from tests.common.data.pictures import encode

INDEX = InstanceIndex()
NAMES = {"1": "cat", "2": "dog", "3": "cat"}


def read(tree):
    return read_objects(INDEX, tree)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("masks/0.json", json.dumps(NAMES)),
        ("masks/0.json", json.dumps({key: {"class": name} for key, name in NAMES.items()})),
        (
            "labels_of/0.json",
            json.dumps({"objects": [{"id": int(k), "class": v} for k, v in NAMES.items()]}),
        ),
        ("0.json", json.dumps([{"value": int(k), "label": v} for k, v in NAMES.items()])),
        ("images/0.csv", "id,class\n1,cat\n2,dog\n3,cat\n"),
        ("masks/0.csv", "value;name\n1;cat\n2;dog\n3;cat\n"),
    ],
)
def test_a_file_gives_the_classes_of_numbers(tree_of, name, content):
    """It is called like the mask or the image."""
    tree = tree_of(**pairs(MASK), **{name: content.encode()})

    objects, _, findings = read(tree)

    assert objects == {FILE: [("cat", ONE), ("dog", TWO), ("cat", THREE)]}
    assert findings == {}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("masks/0.json", b'{"1": 7, "2": 9, "3": 7}'),
        (
            "masks/0.json",
            b'[{"id": 1, "class_id": 7}, {"id": 2, "class_id": 9}, {"id": 3, "class_id": 7}]',
        ),
        ("masks/0.csv", b"id,class\n1,7\n2,9\n3,7\n"),
    ],
)
def test_classes_may_be_numbers(tree_of, name, content):
    """A table of all classes names them, in its order, or else nothing does."""
    files = pairs(MASK) | {name: content}
    tree = tree_of(**files, **{"classes.txt": b"9 dog\n7 zebra\n8 cat\n"})

    objects, _, findings = read(tree)

    assert objects == {FILE: [("zebra", ONE), ("dog", TWO), ("zebra", THREE)]}
    assert findings == {}
    assert INDEX.read(tree, Report(), max_records=10).classes == ["zebra", "dog"]
    objects, *_ = read(tree_of(**files))
    assert objects == {FILE: [("class 7", ONE), ("class 9", TWO), ("class 7", THREE)]}


def test_files_about_single_masks_are_no_table_of_classes(tree_of):
    """They differ from each other, which contradicts nothing."""
    files = {"masks/0.csv": b"id,class\n1,cat\n2,dog\n3,cat\n", "masks/1.csv": b"id,class\n1,dog\n"}
    tree = tree_of(**pairs(MASK, grey([0, 1, 1, 0], [0] * 4)), **files)

    objects, _, findings = read(tree)

    assert INDEX.detect(tree)
    assert objects[FILE] == [("cat", ONE), ("dog", TWO), ("cat", THREE)]
    assert objects["images/1.jpg"] == [("dog", ONE)]
    assert findings == {}


@pytest.mark.parametrize("table", [b"cell\n", b"0 background\n1 cell\n", b"0 void\n1 cell\n"])
def test_a_table_of_a_single_class_names_all_objects(tree_of, table):
    """There is no other that they could be of."""
    objects, _, findings = read(tree_of(**pairs(MASK), **{"classes.txt": table}))

    assert objects == {FILE: [("cell", ONE), ("cell", TWO), ("cell", THREE)]}
    assert findings == {}


def test_tables_that_contradict_each_other_name_nothing(tree_of):
    """Which is no reason to refuse objects that need no names."""
    tables = {"classes.txt": b"cell\n", "labels.txt": b"nucleus\n"}

    objects, _, findings = read(tree_of(**pairs(MASK), **tables))

    assert {name for name, _ in objects[FILE]} == {"object"}
    assert "classes.txt and labels.txt" in findings["CLASS_TABLES_UNREADABLE"][0]


def test_numbers_that_a_file_leaves_out_are_objects(tree_of):
    """Of the class of those that nothing names."""
    tree = tree_of(**pairs(MASK), **{"masks/0.json": b'{"1": "cat"}'})

    objects, _, findings = read(tree)

    assert objects == {FILE: [("cat", ONE), ("object", TWO), ("object", THREE)]}
    assert "OBJECT_CLASSES_UNNAMED" in findings


def test_a_file_that_cannot_be_read_is_named(tree_of):
    """Its objects have no class."""
    tree = tree_of(**pairs(MASK), **{"masks/0.json": b"{"})

    objects, _, findings = read(tree)

    assert {name for name, _ in objects[FILE]} == {"object"}
    assert findings["CLASS_TABLES_UNREADABLE"][0].startswith("masks/0.json")


def voc(**files):
    """Images as Pascal VOC has them, their borders included."""
    return {
        "VOC/JPEGImages/0.jpg": jpeg(),
        "VOC/SegmentationObject/0.png": grey([255, 1, 1, 0], [2, 255, 3, 3]),
        **files,
    }


def test_masks_of_classes_say_the_classes(tree_of):
    """Most pixels of an object decide; the classes are in the order of their table."""
    tree = tree_of(
        **voc(
            **{
                "VOC/SegmentationClass/0.png": grey([255, 9, 9, 0], [4, 255, 9, 9]),
                "VOC/labels.txt": b"0 background\n9 cat\n4 aeroplane\n7 sofa\n",
            }
        )
    )

    objects, _, findings = read(tree)

    assert objects == {"VOC/JPEGImages/0.jpg": [("cat", ONE), ("aeroplane", TWO), ("cat", THREE)]}
    reading = INDEX.read(tree, Report(), max_records=10)
    assert reading.classes == ["aeroplane", "cat"]
    assert findings == {"OBJECT_BORDERS_VOID": ["SegmentationObject"]}


def test_masks_of_classes_in_colours(tree_of):
    """As CVAT exports them, with a table of colours."""
    colours = {0: (0, 0, 0), 1: (250, 50, 50), 2: (0, 128, 0)}
    of_class = np.array([[colours[min(v, 2)] for v in row] for row in ROWS], np.uint8)
    of_object = np.array([[(10 * v, 0, 90 * (v > 0)) for v in row] for row in ROWS], np.uint8)
    tree = tree_of(
        **{
            "JPEGImages/0.jpg": jpeg(),
            "SegmentationClass/0.png": encode(of_class, "PNG"),
            "SegmentationObject/0.png": encode(of_object, "PNG"),
            "labelmap.txt": b"background:0,0,0::\ncat:250,50,50::\ndog:0,128,0::\n",
        }
    )

    objects, _, findings = read(tree)

    assert INDEX.detect(tree).startswith("SegmentationObject/0.png")
    assert objects == {"JPEGImages/0.jpg": [("cat", ONE), ("dog", TWO), ("dog", THREE)]}
    assert findings == {}


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        pytest.param(grey([0, 9, 9, 0], [4, 0, 9, 9])[:40], "cannot be decoded", id="broken"),
        pytest.param(grey([0, 9], [4, 0]), "2 × 2 pixels, it has 4 × 2", id="of another size"),
        pytest.param(
            encode(np.full((2, 4), 9 << 24, np.int32), "TIFF"), "no numbers of classes", id="huge"
        ),
    ],
)
def test_masks_of_classes_that_cannot_be_used_are_named(tree_of, mask, reason):
    """Their images are left out: there is no class `object` among those of the others."""
    classes = grey([255, 9, 9, 0], [4, 255, 9, 9])
    files = voc(**{"VOC/SegmentationClass/0.png": mask, "VOC/SegmentationClass/1.png": classes})
    files |= {"VOC/SegmentationObject/1.png": MASK, "VOC/JPEGImages/1.jpg": jpeg()}

    objects, _, findings = read(tree_of(**files))

    assert [name for name, _ in objects["VOC/JPEGImages/1.jpg"]] == [
        "class 9",
        "class 4",
        "class 9",
    ]
    assert list(objects) == ["VOC/JPEGImages/1.jpg"]
    (example,) = findings["MASKS_UNREADABLE"]
    assert example.startswith("VOC/SegmentationObject/0.png: its classes in VOC/SegmentationClass/")
    assert reason in example


def cityscapes(*rows):
    """A street with its masks of objects and of classes."""
    name = "aachen_000_019"
    return {
        f"leftImg8bit/train/aachen/{name}_leftImg8bit.png": jpeg(),
        f"gtFine/train/aachen/{name}_gtFine_instanceIds.png": wide(*rows),
        f"gtFine/train/aachen/{name}_gtFine_labelIds.png": grey([7, 26, 26, 23], [26, 26, 24, 24]),
    }


def test_numbers_of_cityscapes_say_the_class(tree_of):
    """26001 is a car, 26 a crowd of them, 7 the road, of which there is no single one."""
    tree = tree_of(**cityscapes([7, 26000, 26000, 23], [26001, 26, 24000, 24000]))

    reading = INDEX.read(tree, Report(), max_records=10)

    (record,) = reading.records
    found = [(reading.classes[o.label], o.where, o.crowd) for o in record.annotation.objects]
    assert found == [
        ("car", "number 26", True),
        ("person", "number 24000", False),
        ("car", "number 26000", False),
        ("car", "number 26001", False),
    ]
    assert INDEX.detect(tree) is None, "the format cityscapes takes it"
    _, _, findings = read(tree)
    assert [one.rpartition(", ")[2] for one in findings["REGIONS_WITHOUT_OBJECTS"]] == [
        "number 7",
        "number 23",
    ]


def test_a_table_names_the_classes_that_numbers_say(tree_of):
    """Or they are called by their number."""
    mask = wide([0, 2000, 2001, 3000], [0, 0, 0, 0])
    tree = tree_of(**pairs(mask), **{"masks/classes.txt": b"1 cat\n2 dog\n"})

    objects, _, findings = read(tree)

    assert [name for name, _ in objects[FILE]] == ["dog", "dog", "class 3"]
    assert findings["MASK_CLASSES_GUESSED"] == ["class 3"]
