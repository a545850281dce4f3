"""COCO JSON as people break it: what is left out, what is refused, and how that is said."""

import copy
import json
import random
import time

import pytest

from common.data import formats
from common.data.formats import coco_outlines, json_parts
from common.errors import InvalidInput
from common.objects import drafts
from tests.common.data.formats.coco_files import COCO, annotation, document, image, one_image, read
from tests.common.data.test_fuzz_import import mutated

NAN = float("nan")
SQUARE = [[5, 6, 15, 6, 15, 26, 5, 26]]
RUNS = {"size": [4, 5], "counts": [6, 1, 1, 2, 10]}


def test_numbers_that_json_should_not_have(tree_of):
    """NaN, infinite and huge ones are kept, for the import to find."""
    content = one_image(
        annotation(1, bbox=[NAN, 1, 2, 3]), annotation(1, bbox=[1, 2, 10**400, float("inf")])
    )

    ((first, second),) = read(tree_of("1.jpg", **{"x.json": content}))[0].values()

    assert first[1] != first[1]
    assert second == ("cat", 1, 2, float("inf"), float("inf"))


def test_findings(tree_of):
    """Each says where."""
    content = document(
        [image(1, "1.jpg"), image(2, "gone.jpg"), image(1, "1.jpg"), {"id": 4}, image(None, "x")],
        [
            annotation(1, 5),
            annotation(1, None),
            annotation(1),
            annotation(99),
            annotation(None),
            {"bbox": [1, 2, 3, 4]},
            "?",
        ],
    )

    objects, _, findings = read(tree_of("1.jpg", **{"x.json": content}))

    assert objects == {"1.jpg": [("cat", 10, 20, 40, 60)]}
    assert findings == {
        "LISTED_FILES_MISSING": [
            "x.json, image 4: without file_name",
            "x.json, image None: without id",
            "x.json: gone.jpg",
        ],
        "ANNOTATIONS_WITHOUT_IMAGE": [
            "x.json, annotation 7: without image_id",
            "x.json, annotation at place 6: without image_id",
            "x.json, annotation at place 7: without image_id",
            "x.json, annotation 7: image 99",
        ],
        "BOXES_OF_UNKNOWN_CLASS": [
            "x.json, annotation 7: category 5",
            "x.json, annotation 7: category None",
        ],
        "ROWS_REPEATED": ["x.json, image 1: 1.jpg"],
    }


def test_images_that_share_an_id(tree_of):
    """Nobody knows whose objects are whose, so neither is used."""
    content = document([image(1, "1.jpg"), image(1, "2.jpg"), image(3, "3.jpg")], [annotation(1)])

    objects, _, findings = read(tree_of("1.jpg", "2.jpg", "3.jpg", **{"x.json": content}))

    assert objects == {"3.jpg": []}
    assert findings == {"IMAGE_IDS_REPEATED": ["x.json, image 1: 1.jpg", "x.json, image 1: 2.jpg"]}


def test_the_area_of_a_box_with_an_outline(tree_of):
    """Half of the box is the triangle's; a rectangle has the area of its box by right."""
    triangle = annotation(1, area=1200.001, segmentation=[[10, 20, 40, 20, 10, 60]])
    rectangle = annotation(1, area=1200, segmentation=[[10, 20, 40, 20, 40, 60, 10, 60]])
    right = annotation(1, area=600, segmentation=[[10, 20, 40, 20, 10, 60]])
    content = one_image(triangle | {"id": "t"}, rectangle, right)

    findings = read(tree_of("1.jpg", **{"x.json": content}))[2]

    assert findings == {"AREAS_OF_BOXES": ["x.json, annotation t"]}


BOX, OTHER = (10, 20, 30, 40), (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("first", "second", "boxes", "differ"),
    [
        pytest.param([BOX, OTHER], [OTHER, BOX], 2, False, id="the same"),
        pytest.param([BOX], [OTHER], 2, True, id="others"),
        pytest.param([BOX], [BOX, OTHER], 2, True, id="more"),
        pytest.param([BOX, OTHER], [], 2, True, id="none"),
    ],
)
@pytest.mark.parametrize("files", [1, 2])
def test_an_image_that_is_listed_twice(first, second, boxes, differ, files, tree_of):
    """In one file under two ids, or in two files: it is one image, with the objects of both."""
    if files == 1:
        contents = {
            "x.json": document(
                [image(1, "1.jpg"), image(2, "1.jpg")],
                [annotation(1, bbox=box) for box in first]
                + [annotation(2, bbox=box) for box in second],
            )
        }
    else:
        contents = {
            f"{name}.json": one_image(*(annotation(1, bbox=box) for box in found))
            for name, found in {"x": first, "y": second}.items()
        }

    objects, _, findings = read(tree_of("1.jpg", **contents))

    assert len(objects["1.jpg"]) == boxes
    source = "x.json" if files == 1 else "y.json"
    expected = {"ANNOTATIONS_DIFFER": [f"1.jpg: in x.json and {source}"]} if differ else {}
    assert findings == expected


@pytest.mark.parametrize(
    ("width", "height", "box", "sizes"),
    [
        pytest.param(200, 160, (5, 10, 20, 30), False, id="twice as large"),
        pytest.param(80, 100, (10, 20, 40, 60), True, id="turned"),
        pytest.param(200, 80, (10, 20, 40, 60), True, id="of another shape"),
    ],
)
def test_an_image_that_is_listed_twice_with_different_sizes(width, height, box, sizes, tree_of):
    """Objects are scaled to the first size; never out of shape, which is named instead."""
    images = [image(1, "1.jpg"), image(2, "1.jpg", width=width, height=height)]
    tree = tree_of("1.jpg", **{"x.json": document(images, [annotation(2)])})

    objects, _, findings = read(tree)

    assert objects["1.jpg"] == [("cat", *box)]
    shown = [f"1.jpg: 100 × 80 in x.json, {width} × {height} in x.json"]
    assert findings.get("ANNOTATED_SIZE_DIFFERS") == (shown if sizes else None)


def test_an_image_in_two_splits_is_kept_in_one(tree_of):
    """To train on it, and not to test."""
    images = [image(1, "1.jpg"), image(2, "2.jpg")]
    contents = {"test.json": document(images, []), "train.json": document(images[:1], [])}

    _, splits, findings = read(tree_of("1.jpg", "2.jpg", **contents))

    assert splits == {"1.jpg": "train", "2.jpg": "test"}
    assert findings == {"IMAGES_IN_SEVERAL_SPLITS": ["1.jpg"]}


def test_a_split_without_an_image_is_none(tree_of):
    """As in a subset of val2017 with the annotations of train2017: all would be to validate on."""
    contents = {
        "instances_train2017.json": document([image(1, "1.jpg")], [annotation(1)]),
        "instances_val2017.json": document([image(2, "2.jpg")], [annotation(2)]),
    }

    _, splits, findings = read(tree_of("val2017/2.jpg", **contents))

    assert splits == {"val2017/2.jpg": None}
    assert findings == {"LISTED_FILES_MISSING": ["instances_train2017.json: 1.jpg"]}


def test_an_image_that_is_listed_thousands_of_times(tree_of):
    """Takes time in proportion: here each with an object that the others do not have."""
    count = 4000
    images = [image(number, "1.jpg") for number in range(count)]
    objects = [annotation(number, bbox=(number, 0, 1, 1)) for number in range(count)]
    start = time.process_time()

    objects, _, _ = read(
        tree_of("1.jpg", **{"a.json": document(images, objects)}), max_records=count
    )

    assert len(objects["1.jpg"]) == count
    assert time.process_time() - start < 1


def test_a_broken_file_beside_a_good_one(tree_of):
    """It is named, with the place; the other is read."""
    good = one_image(annotation(1))
    contents = {
        "a.json": good[:-30],
        "b.json": good,
        "c.json": one_image(annotation(1), categories=[{"id": 1, "name": n} for n in "ab"]),
        "d.json": json.dumps({"annotations": [annotation(1)], "images": []}).encode(),
    }

    objects, _, findings = read(tree_of("1.jpg", **contents))

    assert objects == {"1.jpg": [("cat", 10, 20, 40, 60)]}
    (cut, *others) = findings.pop("ANNOTATION_FILES_UNREADABLE")
    assert cut.startswith("a.json: line 1, column ")
    assert others == ["c.json: category 1 is both 'a' and 'b'", "d.json: it has no list categories"]
    assert findings == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"images": [{"id": 1, "file_name": 1.jpg}]}',
            r"The annotation file x\.json: line 1, column 37: expecting ',' delimiter",
        ),
        (b'{"images": [', r"x\.json: line 1, column 13: expecting value"),
        (b"[]", "no COCO file with boxes in the archive, which has 2 files"),
        (b"", "no COCO file with boxes"),
        (b'{"images": [], "annotations": [{"caption": "A cat."}]}', "no COCO file with boxes"),
        (one_image(annotation(1), categories={1: "x" * 201}), "category 1 has 201 characters"),
    ],
)
def test_what_cannot_be_read(content, message, tree_of):
    """File and place are named."""
    with pytest.raises(InvalidInput, match=message):
        read(tree_of("1.jpg", **{"x.json": content}))


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b"",
        b"\xff\xfe\x00",
        b'{"images": {"a": 1}, "annotations": 3}',
        b'[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]',
        b'{"shapes": [{"label": "cat", "points": [[1, 2], [3, 4]]}], "imagePath": "1.jpg"}',
        document([image(1, "1.jpg")], [{"image_id": 1, "segments_info": [annotation(1)]}]),
    ],
)
def test_other_json_is_not_taken_for_coco(content, tree_of):
    assert COCO.detect(tree_of("cats/1.jpg", "dogs/1.jpg", **{"x.json": content})) is None


def test_a_broken_file_is_detected(tree_of):
    """So that its owner hears what is wrong with it, and not that the layout is unknown."""
    content = one_image(annotation(1))[:60]

    assert COCO.detect(tree_of("1.jpg", **{"x.json": content})) == (
        "x.json seems to list images and boxes"
    )


def test_a_file_without_annotations(tree_of):
    """Such as one of a split in which nothing is to be seen."""
    tree = tree_of("1.jpg", **{"x.json": one_image()})

    assert COCO.detect(tree)
    assert read(tree)[0] == {"1.jpg": []}


def test_bounds(tree_of, monkeypatch):
    """Of images, objects, classes and bytes."""
    content = document([image(1, "1.jpg"), image(2, "2.jpg")], [annotation(1), annotation(2, 2)])
    tree = tree_of("1.jpg", "2.jpg", **{"x.json": content})
    assert len(read(tree, max_records=2)[0]) == 2

    with pytest.raises(
        InvalidInput, match=r"x\.json: the annotation files list more than 1 images"
    ):
        read(tree, max_records=1)
    with monkeypatch.context() as patch:
        patch.setattr(drafts, "MAX_OBJECTS", 1)
        with pytest.raises(InvalidInput, match=r"x\.json, annotation 7: .* more than 1 objects"):
            read(tree)
    with monkeypatch.context() as patch:
        patch.setattr(formats, "MAX_CLASSES", 1)
        with pytest.raises(InvalidInput, match=r"more than 1 classes.* x\.json, category 2"):
            read(tree)
    monkeypatch.setattr(json_parts, "MAX_JSON_BYTES", 10)
    with pytest.raises(
        InvalidInput, match=r"x\.json has \d+ bytes; an annotation file may have 10"
    ):
        read(tree)


def test_mutated_files(tree_of):
    """Each is read or refused, and nothing else happens; also if a value is of another kind."""
    chance = random.Random(0)
    whole = document(
        [image(1, "1.jpg"), image(2, "2.jpg")],
        [annotation(1, segmentation=RUNS), annotation(2, 2, segmentation=SQUARE, area=1)],
        info={"a": [1]},
    )
    values = [None, [], {}, "", "x", -1, 1e999, True, [[]], 10**30, "\ud800", [1] * 7, {"id": 1}]
    refused = 0
    for number in range(800):
        if number % 2:
            content = mutated(whole, chance)
        else:
            changed = json.loads(whole)
            for _ in range(chance.randrange(1, 4)):
                _change(changed, chance, values)
            content = json.dumps(changed).encode()
        tree = tree_of("1.jpg", "2.jpg", **{"x.json": content})
        COCO.detect(tree)
        try:
            objects, _, _ = read(tree)
        except InvalidInput:
            refused += 1
        else:
            assert all(one[0].encode() for found in objects.values() for one in found)
    assert 80 < refused < 700


def _change(value, chance, values):
    """Put another value somewhere."""
    while True:
        places = list(value) if isinstance(value, dict) else range(len(value))
        if not places:
            return
        place = chance.choice(list(places))
        inner = value[place]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.2:
            value[place] = copy.deepcopy(chance.choice(values))
            return
        value = inner


def test_the_runs_of_a_text_are_those_of_pycocotools():
    """Its own encoding of drawn masks, and the boxes that it finds around them."""
    mask = pytest.importorskip("pycocotools.mask")
    np = pytest.importorskip("numpy")
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 200, 2)
        pixels = np.zeros((height, width), np.uint8, order="F")
        for _ in range(rng.integers(1, 4)):
            top, left = rng.integers(0, height), rng.integers(0, width)
            pixels[top : top + rng.integers(1, 90), left : left + rng.integers(1, 90)] = 1
        runs = mask.encode(pixels)
        x, y, across, down = mask.toBbox(runs).tolist()

        runs["counts"] = runs["counts"].decode()
        assert coco_outlines.bounds(runs) == (x, y, x + across, y + down)
