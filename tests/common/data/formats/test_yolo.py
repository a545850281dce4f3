"""YOLO texts as Ultralytics, Roboflow, LabelImg and Darknet lay them out, and as they go wrong."""

import pytest

from common.data.findings import Report
from common.data.formats import yolo
from common.data.formats.csv_table import CsvTable
from common.data.formats.voc import PascalVoc
from common.data.formats.yolo import Yolo
from common.errors import InvalidInput
from common.objects import drafts
from common.objects.drafts import complete
from tests.common.data.formats.boxes import read_boxes
from tests.common.data.formats.made import BOX, SAME, info

YOLO = Yolo()
OUTLINE = b"0 0.25 0.375 0.75 0.375 0.5 0.625\n"
NAMES = b"names: [cat, dog]\n"


def classes_of(objects):
    return {file: [name for name, *_ in boxes] for file, boxes in objects.items()}


def test_ultralytics_layout(tree_of):
    """Classes in the order of their numbers; unused ones are kept; several dots in a name."""
    tree = tree_of(
        *("d/images/train/a.rf.1.jpg", "d/images/train/2.jpg", "d/images/val/3.png"),
        **{
            "d/labels/train/a.rf.1.txt": b"3 0.5 0.5 0.5 0.25\n\n0 0.25 0.25 0.5 0.5 0.93\n",
            "d/labels/train/2.txt": b"",
            "d/labels/val/3.txt": b"3.0 .5 5e-1 0.5 0.25",
            "d/any.yaml": b"path: ../datasets/d\ntrain: images/train\nval: images/val\n"
            b"names:\n  3: dog\n  0: zebra\n  7: unused\n",
        },
    )

    objects, splits, findings = read_boxes(YOLO, tree)

    assert objects == {
        "d/images/train/2.jpg": [],
        "d/images/train/a.rf.1.jpg": [("dog", *SAME), ("zebra", 0, 0, 0.5, 0.5)],
        "d/images/val/3.png": [("dog", *SAME)],
    }
    assert list(splits.values()) == ["train", "train", "val"]
    assert findings == {}
    reading = YOLO.read(tree, Report(), max_records=9)
    assert reading.classes == ["zebra", "dog", "unused"]
    draft = reading.records[1].annotation
    assert (draft.source, draft.normalized) == ("d/labels/train/a.rf.1.txt", True)
    assert [one.where for one in draft.objects] == ["line 1", "line 3"]
    assert YOLO.detect(tree) == (
        "d/labels/train/a.rf.1.txt has a number of a class and a box on a line"
    )


def test_roboflow_layout(tree_of):
    """Paths that lead out of the archive are meant inside; a split without a key has its folder."""
    tree = tree_of(
        *("x/train/images/1.jpg", "x/valid/images/1.jpg", "x/test/images/1.jpg"),
        **{f"x/{folder}/labels/1.txt": BOX for folder in ("train", "valid", "test")},
        **{
            "x/data.yaml": b"train: ../train/images\nval: ../valid/images\n\nnames: ['fish']",
            "x/README.dataset.txt": b"# Aquarium\n",
            "x/README.roboflow.txt": b"1 2 3",
        },
    )

    objects, splits, findings = read_boxes(YOLO, tree)

    assert classes_of(objects) == {file: ["fish"] for file in splits}
    assert splits == {
        "x/test/images/1.jpg": "test",
        "x/train/images/1.jpg": "train",
        "x/valid/images/1.jpg": "val",
    }
    assert findings == {}


def two_sets(tree_of, boxes="boxes", outlines="outlines", count=4, outlined=3):
    """The same images with two sets of label files, with classes of their own."""
    files = {
        f"{boxes}/config.yaml": b"train: images/train2017\nval: images/val2017\nnames: {0: cat}",
        f"{outlines}/config.yaml": b"names: {0: dog, 1: cat}",
    }
    images = []
    for number in range(count):
        place = f"{'train' if number % 2 else 'val'}2017/{number}"
        images.append(f"images/{place}.jpg")
        if number:
            files[f"{boxes}/labels/{place}.txt"] = BOX
        if number < outlined:
            files[f"{outlines}/labels/{place}.txt"] = OUTLINE
    return tree_of(*images, **files)


@pytest.mark.parametrize("names", [("boxes", "outlines"), ("z", "a")])
def test_of_two_sets_of_label_files_that_of_boxes_is_read(names, tree_of):
    """With the names beside it; an image that only the other labels is unlabeled."""
    objects, splits, findings = read_boxes(YOLO, two_sets(tree_of, *names))

    assert classes_of(objects) == {
        "images/train2017/1.jpg": ["cat"],
        "images/train2017/3.jpg": ["cat"],
        "images/val2017/2.jpg": ["cat"],
    }
    assert list(splits.values()) == ["train", "train", "val"]
    assert findings == {
        "IMAGES_UNLABELED": ["images/val2017/0.jpg"],
        "LABELS_IGNORED": [f"{names[1]}/labels"],
    }


def test_a_stray_label_file_does_not_take_the_place_of_all(tree_of):
    """A single copy beside its image: of the two, that of the larger set."""
    tree = tree_of(
        *(f"images/{number}.jpg" for number in range(5)),
        **{f"labels/{number}.txt": BOX for number in range(3)},
        **{f"images/{number}.txt": b"" for number in range(2, 5)},
    )

    objects, _, findings = read_boxes(YOLO, tree)

    assert {file: len(boxes) for file, boxes in objects.items()} == {
        **{f"images/{number}.jpg": 1 for number in range(3)},
        **{f"images/{number}.jpg": 0 for number in range(3, 5)},
    }
    assert findings["LABELS_IGNORED"] == ["images/2.txt"]


def test_broken_lines_are_named(tree_of):
    """The others are kept; numbers that are none are judged with the image."""
    lines = [
        b"cat 0.5 0.5 0.5 0.25",
        b"0.5 0.5 0.5 0.5 0.25",
        b"0 0.5 0.5 0.5",
        b"0 0.5 0.5 0.5 x",
        b"0,0.5,0.5,0.5,0.25",
        b"0 .1 .1 .2 .2 .3 .3 .4",  # an outline with half a point
        b"-1 0.5 0.5 0.5 0.25",
        b"2 0.5 0.5 0.5 0.25",
        b"99999999999 0.5 0.5 0.5 0.25",
        b"1 nan 0.5 0.5 0.25",
        b"1 0.5 0.5 0 0.25",
        b"1 0.5 0.5 -0.5 0.25",
        b"1 0.5 0.5 0.5 0.25",
    ]
    files = {"1.txt": b"\r\n".join(lines), "data.yaml": NAMES}
    report = Report()

    (record,) = YOLO.read(tree_of("1.jpg", **files), report, max_records=9).records
    kept = complete(record.annotation, "1.jpg", info(), report)

    found = {f.id: [e.partition(":")[0] for e in f.examples] for f in report.findings()}
    assert [(one.label, one.box) for one in kept] == [(1, (25, 30, 75, 50))]
    assert record.annotation.dropped == 9
    assert found == {
        "BOXES_UNREADABLE": [f"1.txt, line {number}" for number in (1, 2, 3, 4, 5, 6, 9)],
        "BOXES_OF_UNKNOWN_CLASS": ["1.txt, line 7", "1.txt, line 8"],
        "BOXES_NOT_FINITE": ["1.txt, line 10"],
        "BOXES_WITHOUT_AREA": ["1.txt, line 11"],
        "BOXES_INVERTED": ["1.txt, line 12"],
        "BOXES_REPEATED": ["1.txt, line 13"],
    }


def test_outlines_become_boxes(tree_of):
    """The smallest box around; three points or more."""
    files = {"1.txt": OUTLINE + b"0 .1 .2 .3 .2 .3 .6 .1 .6", "data.yaml": NAMES}

    objects, _, findings = read_boxes(YOLO, tree_of("1.jpg", **files))

    assert objects == {"1.jpg": [("cat", *SAME), ("cat", 0.1, 0.2, 0.3, 0.6)]}
    assert findings == {}


def test_key_points_are_no_outline(tree_of):
    """A data set of poses says so; its boxes are read."""
    line = b"0 0.5 0.5 0.5 0.25 0.1 0.1 2 0.9 0.9 1\n"
    files = {"1.txt": line, "data.yaml": b"kpt_shape: [2, 3]\nnames: [man]\n"}

    objects, _, _ = read_boxes(YOLO, tree_of("1.jpg", **files))

    assert objects == {"1.jpg": [("man", *SAME)]}


def test_most_objects(tree_of, monkeypatch):
    monkeypatch.setattr(drafts, "MAX_OBJECTS", 3)
    files = {"1.txt": BOX * 2, "2.txt": BOX * 2}

    with pytest.raises(InvalidInput, match=r"2\.txt.* more than 3 objects"):
        read_boxes(YOLO, tree_of("1.jpg", "2.jpg", **files))


def test_too_large_a_label_file_is_left_out(tree_of, monkeypatch):
    monkeypatch.setattr(yolo, "_MAX_LABEL_BYTES", 30)
    files = {"1.txt": BOX * 2, "2.txt": BOX}

    objects, _, findings = read_boxes(YOLO, tree_of("1.jpg", "2.jpg", **files))

    assert list(objects) == ["2.jpg"]
    assert findings["ANNOTATION_FILES_UNREADABLE"] == ["1.txt: it has 38 bytes"]


@pytest.mark.parametrize(
    "files",
    [
        {"cats/1.jpg": b"", "dogs/2.jpg": b""},
        {"1.jpg": b"", "1.txt": b"A cat sits on a mat\n"},
        {"1.jpg": b"", "1.txt": b""},
        {"1.jpg": b"", "1.txt": b"3 100 200 50 50\n"},
        {"1.jpg": b"", "1.txt": b"Car 0.00 0 -1.58 587.01 173.33 614.12 200.12 1.65 1.67 3.64\n"},
        {"1.jpg": b"", "2.txt": BOX},
        {"1.jpg": b"", "labels.csv": b"file,label\n1.jpg,cat\n", "data.yaml": NAMES},
        {"1.jpg": b"", "_annotations.coco.json": b'{"images":[],"annotations":[]}'},
        {"a/1.jpg": b"", "a/1.xml": b"<annotation/>", "ImageSets/Main/train.txt": b"1\n"},
    ],
)
def test_other_data_is_not_detected(files, tree_of):
    assert YOLO.detect(tree_of(**files)) is None


def test_not_taken_for_another_format(tree_of):
    tree = tree_of("images/1.jpg", **{"labels/1.txt": BOX, "data.yaml": NAMES})

    assert PascalVoc().detect(tree) is None
    assert CsvTable().detect(tree) is None


def test_nothing_to_read(tree_of):
    with pytest.raises(InvalidInput, match="no text that belongs to an image"):
        read_boxes(YOLO, tree_of("1.jpg", **{"README.txt": b"x"}))
