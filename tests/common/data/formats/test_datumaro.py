"""Datumaro JSON: what it says of images."""

import json
import math

import numpy as np
import pytest

from common.data.formats.coco import Coco
from common.data.formats.datumaro import Datumaro
from common.data.formats.pictures import Boxed, Flattened, Outlined, Tagged
from common.errors import InvalidInput
from common.masks import rle
from tests.common.data.formats.boxes import read_boxes
from tests.common.data.formats.reading import around, boxes, pictures_of

DATUMARO = Datumaro()
LABELS = ["cat", "dog"]


def categories(labels=LABELS):
    listed = [{"name": name, "parent": "", "attributes": []} for name in labels]
    return {"label": {"labels": listed, "label_groups": [], "attributes": []}}


def document(*items, labels=LABELS, **more) -> bytes:
    """A file as version 1.0 writes it."""
    head = {"dm_format_version": "1.0", "media_type": 2, "infos": {}}
    return json.dumps(head | {"categories": categories(labels), "items": items} | more).encode()


def item(id_, *annotations, path=None, size=(80, 100), **more):
    image = {"path": path or f"{id_}.jpg", "size": size}
    return {"id": id_, "annotations": annotations, "image": image} | more


def annotation(type_, label_id=0, group=0, marks=None, **more):
    one = {"id": 0, "type": type_, "attributes": marks or {}, "group": group, "label_id": label_id}
    return one | more


def bbox(*numbers, **more):
    return annotation("bbox", bbox=numbers, z_order=0, **more)


def polygon(*numbers, **more):
    return annotation("polygon", points=numbers, z_order=0, **more)


def mask(*pixels, size=(80, 100), **more):
    """A mask of pixels (x, y)."""
    inside_HW = np.zeros(size, np.uint8)
    for x, y in pixels:
        inside_HW[y, x] = 1
    runs = {"counts": rle.text_of(rle.encode(inside_HW)), "size": size}
    return annotation("mask", rle=runs, z_order=0, **more)


TRIANGLE = (10.0, 10.0, 30.0, 10.0, 30.0, 50.0)
ONE = "annotations/default.json"
IMAGE = "images/default/1.jpg"


def read_one(tree_of, *annotations, **more):
    """Return the picture of a file of one item, and the findings."""
    tree = tree_of(IMAGE, **{ONE: document(item("1", *annotations, **more))})
    pictures, _, findings = pictures_of(DATUMARO, tree)
    return pictures[IMAGE], findings


def test_an_item(tree_of):
    """Its labels, boxes and outlines, with marks, size, attributes and classes."""
    picture, findings = read_one(
        tree_of,
        annotation("label", 1),
        bbox(1, 2, 30, 20, label_id=1, marks={"difficult": True, "occluded": True}),
        polygon(*TRIANGLE, marks={"truncated": 1}),
        mask((3, 4), (4, 4), marks={"is_crowd": True}),
        annotation("ellipse", points=(3, 4, 23, 44)),
        attr={"id": 7, "frame": 3, "camera": "left", "list": []},
    )

    assert (picture.source, picture.width, picture.height, picture.split) == (ONE, 100, 80, None)
    assert picture.tags == ["dog"]
    assert picture.columns == {"frame": "3", "camera": "left"}
    assert boxes(picture) == [("dog", 1, 2, 31, 22), None, None, None]
    assert [around(shape) for shape in picture.shapes[1:]] == [
        (10, 10, 30, 50),
        (3, 4, 5, 5),
        (3, 4, 23, 44),
    ]
    marks = [(one.difficult, one.truncated, one.crowd) for one in picture.shapes]
    assert marks == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (False, False, False),
    ]
    assert picture.shapes[0].where == "item 1, annotation 2"
    assert findings == {}


def test_subsets(tree_of):
    """Each has a file and a folder of images; names that mean a split are one, others are none."""
    tree = tree_of(
        *("x/images/train/1.jpg", "x/images/Validation/1.jpg", "x/images/extra/sub/1.jpg"),
        **{
            "x/annotations/train.json": document(item("1", bbox(0, 0, 9, 9))),
            "x/annotations/Validation.json": document(item("1", bbox(0, 0, 8, 8)), labels=["dog"]),
            "x/annotations/extra.json": document(item("sub/1"), labels=["ant"]),
        },
    )

    pictures, classes, _ = pictures_of(DATUMARO, tree)

    assert {file: one.split for file, one in pictures.items()} == {
        "x/images/train/1.jpg": "train",
        "x/images/Validation/1.jpg": "val",
        "x/images/extra/sub/1.jpg": None,
    }
    assert boxes(pictures["x/images/Validation/1.jpg"]) == [("dog", 0, 0, 8, 8)]
    assert classes == ["dog", "ant", "cat", "dog"]


@pytest.mark.parametrize(
    ("image", "path"),
    [
        ("images/default/1.jpg", None),
        ("images/default/1.jpg", "/home/me/data/1.jpg"),
        ("1.jpg", "1.jpg"),
        ("images/default/1.PNG", ""),
        ("images/default/a_1.jpg", "a_1.jpg"),
    ],
)
def test_where_an_image_lies(tree_of, image, path):
    """In the folder of the subset, or wherever it is the only one that is called so."""
    one = item("1", path=path)
    if not path:
        del one["image"]
    pictures, *_ = pictures_of(DATUMARO, tree_of(image, **{ONE: document(one)}))

    assert list(pictures) == [image]


def test_outlines_of_a_group_are_one_object(tree_of):
    """As far as they have the same label; the box in the group is that of the object."""
    picture, findings = read_one(
        tree_of,
        bbox(9, 10, 22, 40, group=3),
        polygon(*TRIANGLE, group=3),
        polygon(50, 50, 60, 50, 60, 60, group=3),
        polygon(*TRIANGLE, group=3, label_id=1),
        bbox(0, 0, 4, 4, group=3),
        bbox(0, 0, 5, 5, group=4),
        bbox(0, 0, 6, 6, group=4),
    )

    first, second, *others = picture.shapes
    assert (first.label, first.box, len(first.outline.polygons)) == ("cat", (9, 10, 31, 50), 2)
    assert (second.label, second.box, len(second.outline.polygons)) == ("dog", None, 1)
    assert [one.box for one in others] == [(0, 0, 4, 4), (0, 0, 5, 5), (0, 0, 6, 6)]
    joined = f"{ONE}, item 1, annotation 2 and item 1, annotation 3"
    assert findings == {"SHAPES_JOINED": [joined]}


def test_turned_boxes(tree_of):
    """As CVAT writes them; the upright box around is read."""
    picture, findings = read_one(tree_of, bbox(10, 20, 40, 20, marks={"rotation": 90.0}))

    ((label, *sides),) = boxes(picture)
    assert label == "cat"
    assert sides == pytest.approx([20, 10, 40, 50])
    assert findings == {"BOXES_AROUND_TURNED": [f"{ONE}, item 1, annotation 1"]}


@pytest.mark.parametrize(
    ("broken", "finding"),
    [
        (annotation("polyline", points=[1, 1, 5, 5]), "SHAPES_UNUSABLE"),
        (annotation("points", points=[1, 1]), "SHAPES_UNUSABLE"),
        ({"type": "caption", "caption": "a cat"}, "SHAPES_UNUSABLE"),
        (annotation(["bbox"]), "SHAPES_UNUSABLE"),
        ("bbox", "SHAPES_UNUSABLE"),
        (bbox(1, 2, 3), "BOXES_UNREADABLE"),
        (bbox(1, 2, None, 3), "BOXES_UNREADABLE"),
        (annotation("bbox", points=[1, 2, 3, 4]), "BOXES_UNREADABLE"),
        (annotation("bbox", bbox={"x": 1}), "BOXES_UNREADABLE"),
        (bbox(1, 2, 3, 4, label_id=2), "BOXES_OF_UNKNOWN_CLASS"),
        (bbox(1, 2, 3, 4, label_id=-1), "BOXES_OF_UNKNOWN_CLASS"),
        (annotation("label", 9), "BOXES_OF_UNKNOWN_CLASS"),
        (polygon(), "OUTLINES_UNREADABLE"),
        (polygon(1, 2, 3), "OUTLINES_UNREADABLE"),
        (annotation("polygon", points="1 2"), "OUTLINES_UNREADABLE"),
        (annotation("ellipse", points=[1, 2, 3]), "OUTLINES_UNREADABLE"),
        (annotation("mask"), "OUTLINES_UNREADABLE"),
        (annotation("mask", rle={"counts": "??", "size": [80, 100]}), "OUTLINES_UNREADABLE"),
        (annotation("mask", rle={"counts": [8000], "size": [1 << 20] * 2}), "OUTLINES_UNREADABLE"),
    ],
)
def test_what_cannot_be_used_is_named(tree_of, broken, finding):
    """The rest of the item is kept."""
    picture, findings = read_one(tree_of, broken, bbox(0, 0, 5, 5))

    assert boxes(picture) == [("cat", 0, 0, 5, 5)]
    assert picture.dropped == 1
    assert list(findings) == [finding]
    assert findings[finding][0].startswith(f"{ONE}, item 1, annotation 1")


def test_a_label_that_is_missing_is_left_to_all_formats(tree_of):
    """They name what has no class."""
    tree = tree_of(IMAGE, **{ONE: document(item("1", bbox(0, 0, 5, 5, label_id=None)))})

    objects, _, findings = read_boxes(Boxed(DATUMARO), tree)

    assert objects == {IMAGE: []}
    assert findings["SHAPES_WITHOUT_CLASS"] == [f"{ONE}, item 1, annotation 1"]


@pytest.mark.parametrize(
    "size", [None, [80], ["a", "b"], [0, 100], [math.nan] * 2, "80", [1e99] * 2]
)
def test_sizes_that_say_nothing(tree_of, size):
    """They are not used."""
    picture, _ = read_one(tree_of, size=size)

    assert (picture.width, picture.height) == (0, 0)


def test_items_without_an_image_are_named(tree_of):
    """Whatever is wrong with them."""
    odd = [7, {}, {"id": ["1"]}, {"id": "2", "image": 3}, {"id": " ", "image": {"path": ""}}]
    tree = tree_of(IMAGE, **{ONE: document(*odd, item("1"))})

    pictures, _, findings = pictures_of(DATUMARO, tree)

    assert list(pictures) == [IMAGE]
    assert findings == {
        "LISTED_FILES_MISSING": [
            f"{ONE}: item at place 1, without id",
            f"{ONE}: item at place 2, without id",
            f"{ONE}: item at place 3, without id",
            f"{ONE}: 2",
            f"{ONE}: item at place 5, without id",
        ]
    }


def test_a_damaged_file_is_left_out_as_a_whole(tree_of):
    """What it lists before the damage, too; without another file, the error says where it is."""
    broken = document(item("1"), item("2"))[:-40]
    files = {"annotations/train.json": broken, ONE: document(item("1"))}
    tree = tree_of(IMAGE, "images/default/2.jpg", **files)

    pictures, _, findings = pictures_of(DATUMARO, tree)

    assert list(pictures) == [IMAGE]
    assert findings["ANNOTATION_FILES_UNREADABLE"][0].startswith("annotations/train.json: line 1, ")
    with pytest.raises(InvalidInput, match=r"annotations/train\.json: line 1, column"):
        pictures_of(DATUMARO, tree_of(IMAGE, **{"annotations/train.json": broken}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"categories": {}}',
        b'{"categories": [], "items": []}',
        b'{"items": []}',
        json.dumps({"images": [], "annotations": [], "categories": []}).encode(),
    ],
)
def test_other_files_are_none_of_these(tree_of, content):
    """Those of COCO among them."""
    tree = tree_of(IMAGE, **{ONE: content})

    assert DATUMARO.detect(tree) is None
    with pytest.raises(InvalidInput, match="annotation file of datumaro"):
        DATUMARO.read(tree, None, max_records=10)


@pytest.mark.parametrize("labels", [None, {}, {"label": []}, {"label": {"labels": 7}}])
def test_categories_that_name_nothing(tree_of, labels):
    """Then no number is a label."""
    content = document(item("1", bbox(0, 0, 5, 5)), categories=labels or {})

    _, classes, findings = pictures_of(DATUMARO, tree_of(IMAGE, **{ONE: content}))

    assert classes == []
    assert list(findings) == ["BOXES_OF_UNKNOWN_CLASS"]


def test_labels_may_be_names_alone(tree_of):
    """And one that has no name keeps its number."""
    named = {"label": {"labels": ["cat", {"parent": ""}, {"name": "dog"}]}}
    content = document(item("1", bbox(0, 0, 5, 5, label_id=2)), categories=named)

    pictures, classes, _ = pictures_of(DATUMARO, tree_of(IMAGE, **{ONE: content}))

    assert classes == ["cat", "", "dog"]
    assert boxes(pictures[IMAGE]) == [("dog", 0, 0, 5, 5)]


@pytest.mark.parametrize(
    ("annotations", "fitting"),
    [
        ([annotation("label")], {Tagged}),
        ([bbox(0, 0, 5, 5)], {Boxed}),
        ([polygon(*TRIANGLE)], {Boxed, Outlined, Flattened}),
        ([mask((1, 1)), annotation("label")], {Tagged, Boxed, Outlined, Flattened}),
    ],
)
def test_tasks_that_a_file_is_enough_for(tree_of, annotations, fitting):
    """COCO does not take it."""
    tree = tree_of(IMAGE, **{ONE: document(item("1", *annotations))})

    found = {kind for kind in (Tagged, Boxed, Outlined, Flattened) if kind(DATUMARO).detect(tree)}

    assert found == fitting
    assert not Coco().detect(tree)
    assert Boxed(DATUMARO).detect(tree) in {
        None,
        f"{ONE} lists items and the categories of their labels, with boxes or outlines of objects",
    }
