"""Supervisely projects: what their files say of images."""

import json

import pytest

from common.data.formats.image_folder import ImageFolder
from common.data.formats.pictures import Boxed, Flattened, Outlined, Tagged
from common.data.formats.supervisely import Supervisely
from common.errors import InvalidInput
from tests.common.data.formats import supervisely_files as made
from tests.common.data.formats.boxes import read_boxes
from tests.common.data.formats.reading import boxes, pictures_of
from tests.common.data.formats.supervisely_files import document, meta, rectangle, tag, thing

PROJECT = Supervisely()
IMAGE, ONE = "p/ds/img/1.jpg", "p/ds/ann/1.jpg.json"
SQUARE = [[0, 0], [9, 0], [9, 9], [0, 9]]


def read_one(tree_of, content, **files):
    """Return the picture of a file, and the findings."""
    tree = tree_of(IMAGE, **{ONE: content}, **files)
    pictures, _, findings = pictures_of(PROJECT, tree)
    return pictures.get(IMAGE), findings


def test_a_file(tree_of):
    """Its objects, the size of the image, and its classes in the order of the project."""
    content = document(
        rectangle(10, 20, 19, 39, title="dog"),
        made.polygon(SQUARE),
        made.bitmap(made.grey([1, 1, 0], [0, 1, 1])),
    )
    tree = tree_of(IMAGE, **{ONE: content, "p/meta.json": meta("dog", "ant", "cat")})

    pictures, classes, findings = pictures_of(PROJECT, tree)

    picture = pictures[IMAGE]
    assert (picture.source, picture.width, picture.height, picture.split) == (ONE, 100, 80, None)
    assert boxes(picture) == [("dog", 10, 20, 20, 40), None, None]
    assert [one.label for one in picture.shapes] == ["dog", "cat", "cat"]
    assert picture.shapes[1].where == "object 2"
    assert classes == ["dog", "ant", "cat"]
    assert findings == {}
    assert PROJECT.detect(tree) == f"{ONE} lists what is drawn on an image"


def test_data_sets(tree_of):
    """One may lie in another; those that are named for a split are one."""
    names = {"train": "train", "Val": "val", "more/datasets/inner": None, "more": None}
    files = {}
    for folder in names:
        files |= {f"p/{folder}/img/1.jpg": b"", f"p/{folder}/ann/1.jpg.json": document()}

    pictures, *_ = pictures_of(PROJECT, tree_of(**files))

    assert {one: picture.split for one, picture in pictures.items()} == {
        f"p/{folder}/img/1.jpg": split for folder, split in names.items()
    }


@pytest.mark.parametrize(
    ("image", "annotations"),
    [
        ("ds/img/1.jpg", "ds/ann/1.jpg.json"),
        ("ds/img/1.jpg", "ds/ann/1.json"),
        ("ds/img/1.b.jpg", "ds/ann/1.b.json"),
        ("img/1.jpg", "ann/1.jpg.json"),
        ("ds/1.jpg", "ds/ann/1.jpg.json"),
    ],
)
def test_where_an_image_lies(tree_of, image, annotations):
    """In the folder beside, with or without its suffix in the name of the file."""
    pictures, *_ = pictures_of(PROJECT, tree_of(image, **{annotations: document()}))

    assert list(pictures) == [image]


def test_pictures_of_labels_are_no_images(tree_of):
    """They may be packed beside these; an image without a file is named."""
    drawn = "p/ds/masks_machine/1.png", "p/ds/masks_human/1.png"
    tree = tree_of(IMAGE, "p/ds/img/2.jpg", *drawn, **{ONE: document(rectangle(0, 0, 9, 9))})

    objects, _, findings = read_boxes(Boxed(PROJECT), tree)

    assert list(objects) == [IMAGE]
    assert findings == {"IMAGES_NOT_LISTED": ["p/ds/img/2.jpg"]}


def test_tags_are_classes_splits_or_columns(tree_of):
    """One is a class, unless its name means a split, or it has a value."""
    project = meta(tags=[("sunny", "none"), ("camera", "any_string"), ("train", "none")])
    content = document(tags=[tag("sunny"), tag("camera", "left"), tag("train"), tag("year", 7)])

    picture, findings = read_one(tree_of, content, **{"p/meta.json": project})

    assert picture.tags == ["sunny"]
    assert picture.split == "train"
    assert picture.columns == {"camera": "left", "year": "7"}
    assert findings == {}


def test_values_of_the_only_tag_are_classes(tree_of):
    """Tags for splits and numbers beside it do not count."""
    project = meta(tags=[("weather", "oneof_string"), ("val", "none"), ("year", "any_number")])
    content = document(tags=[tag("weather", "sunny"), tag("val"), tag("year", 7)])

    picture, _ = read_one(tree_of, content, **{"p/meta.json": project})

    assert picture.tags == ["sunny"]
    assert picture.split == "val"
    assert picture.columns == {"year": "7"}


def test_tags_of_objects_are_named(tree_of):
    """How often each was there."""
    content = document(
        rectangle(0, 0, 9, 9, tags=[tag("old"), tag("red", "yes")]),
        rectangle(0, 0, 8, 8, tags=[tag("old"), 7, {}]),
    )

    _, findings = read_one(tree_of, content)

    assert findings == {"ATTRIBUTES_NOT_READ": ["old", "red"]}


def test_old_files_leave_the_kind_to_the_class(tree_of):
    """Or have a bitmap, which says it."""
    old = rectangle(0, 0, 9, 9)
    masked = made.bitmap(made.grey([1]))
    for one in (old, masked):
        del one["geometryType"]
    files = {"p/meta.json": meta("cat", shape="rectangle")}

    picture, findings = read_one(tree_of, document(old, masked), **files)

    assert boxes(picture) == [("cat", 0, 0, 10, 10), None]
    assert findings == {}


@pytest.mark.parametrize(
    ("broken", "finding"),
    [
        (thing("point", points={"exterior": [[1, 1]], "interior": []}), "SHAPES_UNUSABLE"),
        (thing("line", points={"exterior": [[1, 1], [2, 2]], "interior": []}), "SHAPES_UNUSABLE"),
        (thing("graph", nodes={}), "SHAPES_UNUSABLE"),
        ({"classTitle": "cat"}, "SHAPES_UNUSABLE"),
        (7, "SHAPES_UNUSABLE"),
        (thing("rectangle"), "BOXES_UNREADABLE"),
        (thing("rectangle", points={"exterior": [[1, 1]]}), "BOXES_UNREADABLE"),
        (thing("rectangle", points={"exterior": [[1, 1], [2]]}), "BOXES_UNREADABLE"),
        (thing("rectangle", points={"exterior": "1"}), "BOXES_UNREADABLE"),
        (thing("polygon", points={"exterior": [[1, None]]}), "OUTLINES_UNREADABLE"),
        (thing("polygon", points={"exterior": SQUARE, "interior": 7}), "OUTLINES_UNREADABLE"),
        (thing("polygon", points={"exterior": SQUARE, "interior": [7]}), "OUTLINES_UNREADABLE"),
        (thing("multipolygon", parts=7), "OUTLINES_UNREADABLE"),
        (thing("multipolygon", parts=[7]), "OUTLINES_UNREADABLE"),
        (thing("bitmap"), "OUTLINES_UNREADABLE"),
        (made.bitmap(b"no image"), "OUTLINES_UNREADABLE"),
        (made.bitmap("no Base64"), "OUTLINES_UNREADABLE"),
        (thing("bitmap", bitmap={"data": 7, "origin": [1, 1]}), "OUTLINES_UNREADABLE"),
        (made.bitmap(made.grey([1]), x="a"), "OUTLINES_UNREADABLE"),
        (made.bitmap(made.grey([1]), x=1e300), "OUTLINES_UNREADABLE"),
        (made.bitmap(made.grey([1]), x=float("nan")), "OUTLINES_UNREADABLE"),
    ],
)
def test_what_cannot_be_used_is_named(tree_of, broken, finding):
    """The rest of the file is kept."""
    picture, findings = read_one(tree_of, document(broken, rectangle(0, 0, 9, 9)))

    assert boxes(picture) == [("cat", 0, 0, 10, 10)]
    assert picture.dropped == 1
    assert list(findings) == [finding]
    assert findings[finding][0].startswith(f"{ONE}, object 1: ")


@pytest.mark.parametrize("title", [None, 7, "", " "])
def test_an_object_without_a_class_is_left_to_all_formats(tree_of, title):
    """They name it."""
    tree = tree_of(IMAGE, **{ONE: document(rectangle(0, 0, 9, 9, title=title))})

    objects, _, findings = read_boxes(Boxed(PROJECT), tree)

    assert objects == {IMAGE: []}
    assert findings["SHAPES_WITHOUT_CLASS"] == [f"{ONE}, object 1"]


@pytest.mark.parametrize(
    "size",
    [{}, {"height": 0, "width": 9}, {"height": "a", "width": 9}, {"width": 1e99, "height": 9}, 7],
)
def test_sizes_that_say_nothing(tree_of, size):
    """A bitmap needs one; nothing else does."""
    content = document(made.bitmap(made.grey([1])), rectangle(0, 0, 9, 9), size=None, more=1)
    content = json.dumps(json.loads(content) | {"size": size}).encode()

    picture, findings = read_one(tree_of, content)

    assert (picture.width, picture.height) == (0, 0)
    assert boxes(picture) == [("cat", 0, 0, 10, 10)]
    assert findings == {"OUTLINES_UNREADABLE": [f"{ONE}, object 1: its image has no size"]}


def test_the_size_may_come_last(tree_of):
    """It is known when objects need it."""
    content = json.loads(document(made.bitmap(made.grey([1]))))
    content["size"] = content.pop("size")

    picture, findings = read_one(tree_of, json.dumps(content).encode())

    assert picture.shapes[0].outline.rle["size"] == [80, 100]
    assert findings == {}


def test_damaged_files_are_left_out(tree_of):
    """With their images; the classes of a damaged meta.json are not needed."""
    files = {
        ONE: document(rectangle(0, 0, 9, 9), title="cat")[:-20],
        "p/ds/ann/2.jpg.json": document(rectangle(0, 0, 9, 9)),
        "p/ds/ann/3.jpg.json": b'{"size": {}}',
        "p/ds/ann/4.jpg.json": document(),
        "p/meta.json": meta("cat")[:-9],
    }
    tree = tree_of(IMAGE, "p/ds/img/2.jpg", "p/ds/img/3.jpg", **files)

    pictures, _, findings = pictures_of(PROJECT, tree)

    assert list(pictures) == ["p/ds/img/2.jpg"]
    places = [one.partition(": ")[0] for one in findings["ANNOTATION_FILES_UNREADABLE"]]
    assert places == ["p/meta.json", ONE, "p/ds/ann/3.jpg.json"]
    assert findings["LISTED_FILES_MISSING"] == ["p/ds/ann/4.jpg.json: 4.jpg"]


@pytest.mark.parametrize(
    "files",
    [
        {"ds/ann/1.jpg.json": b'{"shapes": []}'},
        {"ds/ann/1.jpg.json": b""},
        {"ds/ann/1.jpg.json": b'{"size": {}, "tags": []}'},
        {"meta.json": meta("cat")},
    ],
)
def test_other_files_are_none_of_these(tree_of, files):
    """Not in a folder of that name either."""
    assert PROJECT.detect(tree_of("ds/img/1.jpg", **files)) is None


def test_no_file(tree_of):
    """The format says what it needs."""
    with pytest.raises(InvalidInput, match="annotation file of supervisely"):
        PROJECT.read(tree_of("1.jpg"), None, max_records=10)


@pytest.mark.parametrize(
    ("content", "fitting"),
    [
        (document(tags=[tag("sunny")]), {Tagged}),
        (document(rectangle(0, 0, 9, 9)), {Boxed}),
        (document(made.polygon(SQUARE)), {Boxed, Outlined, Flattened}),
    ],
)
def test_tasks_that_a_project_is_enough_for(tree_of, content, fitting):
    """By what its files have."""
    tree = tree_of(IMAGE, **{ONE: content})

    found = {kind for kind in (Tagged, Boxed, Outlined, Flattened) if kind(PROJECT).detect(tree)}

    assert found == fitting


def test_data_sets_are_no_class_folders(tree_of):
    """Though each is a folder with images."""
    files = {}
    for folder in ("cats", "dogs"):
        files |= {f"{folder}/img/1.jpg": b"", f"{folder}/ann/1.jpg.json": document()}

    assert ImageFolder().detect(tree_of(*(one for one in files if "img" in one)))
    assert ImageFolder().detect(tree_of(**files)) is None
