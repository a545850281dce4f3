"""COCO JSON as tools write it."""

import json

import pytest

from common.data.findings import Report
from tests.common.data.formats.coco_files import COCO, annotation, document, image, one_image, read


def test_boxes_are_corner_and_size(tree_of):
    """10 + 30 and 20 + 40."""
    tree = tree_of("a/1.jpg", **{"a/x.json": one_image(annotation(1), info={"year": 2017})})

    objects, splits, findings = read(tree)

    assert objects == {"a/1.jpg": [("cat", 10, 20, 40, 60)]}
    assert splits == {"a/1.jpg": None}
    assert findings == {}
    assert COCO.detect(tree) == "a/x.json lists images and boxes"


@pytest.mark.parametrize(
    "order", ["images annotations categories", "annotations categories images"]
)
def test_lists_in_any_order(order, tree_of):
    lists = json.loads(one_image(annotation(1)))
    content = json.dumps({key: lists[key] for key in order.split()}, indent=2).encode()

    assert read(tree_of("1.jpg", **{"x.json": content}))[0] == {"1.jpg": [("cat", 10, 20, 40, 60)]}


def test_all_of_an_object_is_kept(tree_of):
    """Its marks and area, where it is, and the size that is said for its image."""
    marked = annotation(1, iscrowd=1, area=12.5, truncated=True, difficult="1")
    tree = tree_of("1.jpg", **{"x.json": one_image(marked, annotation(1, iscrowd=0))})

    (record,) = COCO.read(tree, Report(), max_records=9).records

    draft = record.annotation
    assert (draft.source, draft.width, draft.height, draft.normalized) == ("x.json", 100, 80, False)
    first, second = draft.objects
    assert (first.crowd, first.truncated, first.difficult, first.area) == (True, True, True, 12.5)
    assert (second.crowd, second.truncated, second.difficult) == (False, False, False)
    assert second.area is None
    assert first.where == "annotation 7"


@pytest.mark.parametrize(
    ("categories", "ids"),
    [
        pytest.param({0: "cat", 1: "dog"}, (0, 1), id="from 0"),
        pytest.param({1: "cat", 2: "dog"}, (1, 2), id="from 1"),
        pytest.param({17: "cat", 90: "dog"}, (17, 90), id="gaps"),
        pytest.param({90: "dog", 17: "cat"}, (17, 90), id="in another order"),
        pytest.param({"a": "cat", "b": "dog"}, ("a", "b"), id="texts"),
        pytest.param({"9": "cat", "10": "dog"}, (9, 10), id="numbers as texts"),
        pytest.param({9: "cat", 10: "dog"}, ("9", 10.0), id="texts and fractions as numbers"),
        pytest.param({3: " cat ", 4: "dog"}, (3, 4), id="spaces"),
    ],
)
def test_ids_never_shift(categories, ids, tree_of):
    """Classes are in the order of the ids, and objects go by the name of theirs."""
    content = one_image(
        annotation(1, ids[1]), annotation(1, ids[0], [0, 0, 1, 1]), categories=categories
    )
    tree = tree_of("1.jpg", **{"x.json": content})

    objects, _, findings = read(tree)

    assert objects == {"1.jpg": [("dog", 10, 20, 40, 60), ("cat", 0, 0, 1, 1)]}
    assert COCO.read(tree, Report(), max_records=9).classes == ["cat", "dog"]
    assert findings == {}


def test_files_that_number_classes_differently(tree_of):
    """By name; a class that only the second knows comes last."""
    tree = tree_of(
        *("train/1.jpg", "valid/1.jpg"),
        **{
            "train/_annotations.coco.json": one_image(annotation(1, 2)),
            "valid/_annotations.coco.json": one_image(
                annotation(1, 1), annotation(1, 0), categories={0: "ant", 1: "dog", 2: "cat"}
            ),
        },
    )

    objects, splits, findings = read(tree)

    box = (10, 20, 40, 60)
    assert objects == {
        "train/1.jpg": [("dog", *box)],
        "valid/1.jpg": [("dog", *box), ("ant", *box)],
    }
    assert splits == {"train/1.jpg": "train", "valid/1.jpg": "val"}
    assert COCO.read(tree, Report(), max_records=9).classes == ["cat", "dog", "ant"]
    assert findings == {
        "CATEGORY_IDS_DIFFER": [
            "valid/_annotations.coco.json: dog is 1, elsewhere 2",
            "valid/_annotations.coco.json: cat is 2, elsewhere 1",
        ]
    }


def test_a_name_under_two_ids_is_one_class(tree_of):
    """As Roboflow writes its group of classes."""
    categories = {0: "facade", 1: "car", 3: "facade"}
    tree = tree_of(
        "1.jpg",
        **{"x.json": one_image(annotation(1, 3), annotation(1, 1), categories=categories)},
    )

    objects, _, findings = read(tree)

    assert objects == {"1.jpg": [("facade", 10, 20, 40, 60), ("car", 10, 20, 40, 60)]}
    assert COCO.read(tree, Report(), max_records=9).classes == ["facade", "car"]
    assert findings == {"CATEGORY_NAMES_REPEATED": ["facade: ids 0, 3"]}


def test_coco_as_it_is_published(tree_of):
    """Annotations in their own folder, images by split; other kinds of annotations beside them."""
    box = annotation(1)
    tree = tree_of(
        *("train2017/1.jpg", "val2017/1.jpg", "annotations/panoptic_val2017/1.png"),
        **{
            "annotations/instances_train2017.json": one_image(box),
            "annotations/instances_val2017.json": one_image(annotation(1, 2)),
            "annotations/captions_val2017.json": json.dumps(
                {"images": [], "annotations": [{"image_id": 1, "id": 3, "caption": "A cat."}]}
            ).encode(),
            "annotations/person_keypoints_val2017.json": one_image(
                box | {"keypoints": [1, 2, 2], "num_keypoints": 1}
            ),
            "annotations/panoptic_val2017.json": document(
                [image(1, "1.jpg")],
                [{"image_id": 1, "file_name": "1.png", "segments_info": [box]}],
            ),
            "annotations/image_info_test2017.json": b'{"images": [{"id": 1}], "categories": []}',
            "package.json": b"not even JSON",
        },
    )

    objects, splits, findings = read(tree)

    assert objects == {
        "train2017/1.jpg": [("cat", 10, 20, 40, 60)],
        "val2017/1.jpg": [("dog", 10, 20, 40, 60)],
    }
    assert splits == {"train2017/1.jpg": "train", "val2017/1.jpg": "val"}
    assert findings == {
        "ANNOTATION_FILES_IGNORED": [
            "annotations/captions_val2017.json",
            "annotations/image_info_test2017.json",
            "annotations/panoptic_val2017.json",
            "annotations/person_keypoints_val2017.json",
            "package.json",
        ]
    }


def test_key_points_alone_have_boxes_too(tree_of):
    tree = tree_of("1.jpg", **{"x.json": one_image(annotation(1, keypoints=[1, 2, 2]))})

    assert COCO.detect(tree)
    assert read(tree)[0] == {"1.jpg": [("cat", 10, 20, 40, 60)]}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train.json", "val.json"), ("train", "val")),
        (("a/train.json", "a/test-dev.json"), ("train", None)),
        (("valid.json", "test.json"), (None, None)),
        (("train.json", "more.json"), (None, None)),
        (("train_a.json", "train_b.json"), (None, None)),
    ],
)
def test_splits_by_files(names, splits, tree_of):
    """There have to be train and another, or the one says nothing."""
    contents = {
        name: document([image(1, f"{place}.jpg")], [annotation(1)])
        for place, name in enumerate(names)
    }

    found = read(tree_of("0.jpg", "1.jpg", **contents))[1]

    expected = splits if None not in splits else (None, None)
    assert found == dict(zip(("0.jpg", "1.jpg"), expected, strict=True))


def test_splits_by_folders(tree_of):
    """If one file lists all."""
    names = ["train/1.jpg", "val/1.jpg"]
    content = document([image(id_, name) for id_, name in enumerate(names)], [annotation(0)])

    splits = read(tree_of(*names, **{"annotations.json": content}))[1]

    assert splits == {"train/1.jpg": "train", "val/1.jpg": "val"}


def test_an_image_without_annotations_shows_no_object(tree_of):
    """One that no file lists is not labeled, and left out."""
    content = document([image(1, "1.jpg"), image(2, "2.jpg")], [annotation(2)])

    objects, _, findings = read(tree_of("1.jpg", "2.jpg", "3.jpg", **{"x.json": content}))

    assert objects == {"1.jpg": [], "2.jpg": [("cat", 10, 20, 40, 60)]}
    assert findings == {"IMAGES_NOT_LISTED": ["3.jpg"]}


SQUARE = [[5, 6, 15, 6, 15, 26, 5, 26]]
# Of 4 rows and 5 columns: pixel (column 1, row 2), then (2, 0) to (2, 1).
RUNS = {"size": [4, 5], "counts": [6, 1, 1, 2, 10]}


@pytest.mark.parametrize(
    ("bbox", "segmentation", "box"),
    [
        pytest.param(["10", "20.5", 30, "1e1"], None, (10, 20.5, 40, 30.5), id="texts"),
        pytest.param([10, 20, -30, 40], None, (10, 20, -20, 60), id="negative, for the import"),
        pytest.param([10, 20, 0, 0], None, (10, 20, 10, 20), id="no area, for the import"),
        pytest.param(None, SQUARE, (5, 6, 15, 26), id="a polygon"),
        pytest.param([1, 2, 3], [*SQUARE, [0, 1, 2, 3, 4, 5]], (0, 1, 15, 26), id="two polygons"),
        pytest.param([], SQUARE[0], (5, 6, 15, 26), id="a polygon, not in a list"),
        pytest.param([], RUNS, (1, 0, 3, 3), id="runs"),
        pytest.param([], {"size": [4, 5], "counts": "61119"}, (1, 0, 3, 3), id="runs as a text"),
        pytest.param([], {"size": [4, 5], "counts": [3, 2, 15]}, (0, 0, 2, 4), id="a long run"),
    ],
)
def test_ways_to_write_a_box(bbox, segmentation, box, tree_of):
    """Without a box, that of the outline is taken."""
    content = one_image(annotation(1, bbox=bbox, segmentation=segmentation))

    objects, _, findings = read(tree_of("1.jpg", **{"x.json": content}))

    assert objects == {"1.jpg": [("cat", *box)]}
    assert findings == {}


@pytest.mark.parametrize(
    "more",
    [
        {"bbox": None},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 3, None]},
        {"bbox": [1, 2, 3, "x"]},
        {"bbox": [1, 2, 3, True]},
        {"bbox": {"x": 1}},
        {"bbox": [], "segmentation": []},
        {"bbox": [], "segmentation": [[1, 2, 3, 4]]},
        {"bbox": [], "segmentation": [[1, 2, 3, 4, 5, 6, 7]]},
        {"bbox": [], "segmentation": [[1, 2, 3, 4, 5, "x"]]},
        {"bbox": [], "segmentation": {"size": [4, 5], "counts": "\u00e9\x00"}},
        {"bbox": [], "segmentation": {"size": [4, 5], "counts": [1, 99]}},
        {"bbox": [], "segmentation": {"size": [4, 5], "counts": [20]}},
        {"bbox": [], "segmentation": {"size": [0, 5], "counts": [1, 2]}},
        {"bbox": [], "segmentation": {"counts": [1, 2]}},
    ],
)
def test_boxes_that_cannot_be_read(more, tree_of):
    """They are named, and the image is not taken for one without an object."""
    tree = tree_of("1.jpg", **{"x.json": one_image(annotation(1, **more))})

    objects, _, findings = read(tree)

    assert objects == {"1.jpg": []}
    assert findings == {"BOXES_UNREADABLE": ["x.json, annotation 7"]}
    assert COCO.read(tree, Report(), max_records=9).records[0].annotation.dropped == 1
