"""COCO's panoptic files: segments that are listed in a JSON and drawn in a picture."""

import json

import numpy as np
import pytest

from common.data.findings import Report
from common.data.formats.instance_index import InstanceIndex
from common.errors import InvalidInput
from tests.common.data.formats.drawn import read_objects
from tests.common.data.formats.masks import jpeg
from tests.common.data.pictures import encode

INDEX = InstanceIndex()
FILE = "val2017/1.jpg"
JSON = "annotations/panoptic_val2017.json"
PICTURE = "annotations/panoptic_val2017/1.png"
CAR, CROWD, SKY, UNLISTED = 70_000, 300, 5, 9


def drawn(*rows, file_format="PNG"):
    """A picture of these numbers, red first."""
    numbers = np.array(rows)
    colours = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1)
    return encode(colours.astype(np.uint8), file_format)


def segment(number, category, **more):
    return {"id": number, "category_id": category, "iscrowd": 0} | more


def listed(*segments, categories=None, **more) -> bytes:
    """A file that lists one image."""
    document = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 4, "height": 2}],
        "annotations": [{"image_id": 1, "file_name": "1.png", "segments_info": list(segments)}],
        "categories": categories
        or [
            {"id": 7, "name": "sky", "isthing": 0},
            {"id": 3, "name": "car", "isthing": 1},
            {"id": 1, "name": "person", "isthing": 1},
        ],
    }
    return json.dumps(document | more).encode()


SEGMENTS = (segment(CAR, 3), segment(CROWD, 1, iscrowd=1), segment(SKY, 7))
ROWS = ([CAR, CAR, 0, SKY], [CROWD, 0, CROWD, SKY])


def tree_with(tree_of, content, picture):
    return tree_of(**{FILE: jpeg(), JSON: content, PICTURE: picture})


def test_things_are_objects_and_the_rest_is_not(tree_of):
    """The number of a pixel's segment is its red + 256 green + 65536 blue."""
    tree = tree_with(tree_of, listed(*SEGMENTS), drawn(*ROWS))

    objects, _, findings = read_objects(INDEX, tree)

    assert INDEX.detect(tree) == f"{JSON} lists the segments of images"
    assert objects == {FILE: [("person", [(0, 1), (2, 1)]), ("car", [(0, 0), (1, 0)])]}
    assert findings == {}
    reading = INDEX.read(tree, Report(), max_records=10)
    assert reading.classes == ["person", "car"]
    assert [one.crowd for one in reading.records[0].annotation.objects] == [True, False]


def test_without_isthing_all_are_objects(tree_of):
    """Of programs that know no other."""
    content = listed(*SEGMENTS, categories=[{"id": i, "name": f"c{i}"} for i in (1, 3, 7)])

    objects, *_ = read_objects(INDEX, tree_with(tree_of, content, drawn(*ROWS)))

    assert [name for name, _ in objects[FILE]] == ["c7", "c1", "c3"]


def test_a_picture_that_happens_to_be_grey(tree_of):
    """Its numbers are still those of colours."""
    number = 2 + 256 * 2 + 65536 * 2
    tree = tree_with(tree_of, listed(segment(number, 3)), drawn([number] * 4, [0] * 4))

    objects, *_ = read_objects(INDEX, tree)

    assert objects == {FILE: [("car", [(0, 0), (1, 0), (2, 0), (3, 0)])]}


def test_numbers_of_a_picture_and_a_file_that_differ_are_named(tree_of):
    """What is drawn, but not listed, and the other way round."""
    content = listed(*SEGMENTS, segment(12, 3), segment(13, 99))
    picture = drawn([CAR, CAR, UNLISTED, SKY], [CROWD, 13, CROWD, SKY])

    objects, _, findings = read_objects(INDEX, tree_with(tree_of, content, picture))

    assert len(objects[FILE]) == 2
    assert findings == {
        "NUMBERS_NOT_LISTED": [f"{PICTURE}, number {UNLISTED}"],
        "NUMBERS_NOT_DRAWN": [f"{PICTURE}, number 12"],
        "BOXES_OF_UNKNOWN_CLASS": [f"{PICTURE}, number 13"],
    }


def test_images_that_are_missing_or_not_listed_are_named(tree_of):
    """A picture of segments is none that should be listed."""
    annotations = [
        {"image_id": 1, "file_name": "1.png", "segments_info": [segment(CAR, 3)]},
        {"image_id": 2, "file_name": "2.png", "segments_info": []},
        {"image_id": 8, "file_name": "8.png", "segments_info": []},
    ]
    images = [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}]
    content = listed(annotations=annotations, images=images)
    tree = tree_of(
        **{FILE: jpeg(), "val2017/5.jpg": jpeg(), JSON: content, PICTURE: drawn([CAR] * 4)}
    )

    objects, _, findings = read_objects(INDEX, tree)

    assert list(objects) == [FILE]
    assert findings == {
        "LISTED_FILES_MISSING": [f"{JSON}: 2.jpg"],
        "ANNOTATIONS_WITHOUT_IMAGE": [f"{JSON}: 8.png"],
        "IMAGES_NOT_LISTED": ["val2017/5.jpg"],
    }


@pytest.mark.parametrize("picture", [drawn(*ROWS)[:50], drawn(*ROWS, file_format="JPEG")])
def test_pictures_that_cannot_be_read_are_named(tree_of, picture):
    """Broken ones, and those that were stored with loss."""
    objects, _, findings = read_objects(INDEX, tree_with(tree_of, listed(*SEGMENTS), picture))

    assert objects == {}
    assert findings["MASKS_UNREADABLE"][0].startswith(PICTURE)
    assert "IMAGES_NOT_LISTED" not in findings


def test_files_for_train_and_val_are_splits(tree_of):
    """As COCO names them."""
    files = {}
    for split in ("train", "val"):
        files |= {
            f"{split}2017/1.jpg": jpeg(),
            f"annotations/panoptic_{split}2017.json": listed(*SEGMENTS),
            f"annotations/panoptic_{split}2017/1.png": drawn(*ROWS),
        }

    objects, splits, _ = read_objects(INDEX, tree_of(**files))

    assert splits == {"train2017/1.jpg": "train", "val2017/1.jpg": "val"}
    assert objects["train2017/1.jpg"] == objects["val2017/1.jpg"]


def test_a_file_without_things_is_refused(tree_of):
    """There is nothing to learn from it."""
    content = listed(*SEGMENTS, categories=[{"id": 7, "name": "sky", "isthing": 0}])

    with pytest.raises(InvalidInput, match="Set isthing to 1"):
        read_objects(INDEX, tree_with(tree_of, content, drawn(*ROWS)))


@pytest.mark.parametrize("value", [None, [], {}, "x", 1e400, True, -1])
@pytest.mark.parametrize("key", ["id", "category_id", "iscrowd"])
def test_odd_values_in_segments_are_no_crash(tree_of, key, value):
    """They are another number, another category, or no crowd."""
    content = listed(*SEGMENTS[1:], segment(CAR, 3, **{key: value}))

    objects, *_ = read_objects(INDEX, tree_with(tree_of, content, drawn(*ROWS)))

    assert ("person", [(0, 1), (2, 1)]) in objects[FILE]


@pytest.mark.parametrize("value", [None, [], {}, "x", 1, [3], [None, 5]])
@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_odd_lists_are_refused_or_read(tree_of, key, value):
    """Never anything but the error that a user understands."""
    tree = tree_with(tree_of, listed(*SEGMENTS, **{key: value}), drawn(*ROWS))

    try:
        objects, *_ = read_objects(INDEX, tree)
    except InvalidInput as error:
        assert error.args  # noqa: PT017 - it may be read as well
    else:
        assert set(objects) <= {FILE}
