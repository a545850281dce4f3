"""What names the classes of YOLO label files, and what says their split."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.findings import Report
from common.data.formats import yolo_config
from common.data.formats.yolo import Yolo
from common.data.formats.yolo_config import parse_yaml
from common.errors import InvalidInput
from tests.common.data.formats.boxes import read_boxes
from tests.common.data.formats.made import BOX

YOLO = Yolo()
NAMES = b"names: [cat, dog]\n"
BOMB = b"a: &a [x, x]\nb: &b [*a, *a]\nnames: *b\n"


def classes_of(objects):
    return {file: [name for name, *_ in boxes] for file, boxes in objects.items()}


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        ("data.yaml", b"names: [cat, dog]", ["cat", "dog"]),
        ("d/data.yml", b"names: {1: dog, 0: cat}", ["cat", "dog"]),
        ("data.yaml", b"names:\n- cat\n- dog\n", ["cat", "dog"]),
        ("data.yaml", b"names: {cat: 0, dog: 1}", ["cat", "dog"]),
        ("data.yaml", "\ufeffnames: [cat, dog]".encode("utf-16-le"), ["cat", "dog"]),
        ("data.yaml", b"names: [no, 1.10]", ["no", "1.10"]),
        ("data.yaml", "names: [Lo\u0308we, Bär]".encode(), ["Löwe", "Bär"]),
        ("classes.txt", b"cat\r\ndog\r\n", ["cat", "dog"]),
        ("d/obj.names", b"cat\n\n", ["cat"]),
        ("d/_darknet.labels", b"cat\ndog", ["cat", "dog"]),
        ("elsewhere/data.yaml", b"names: [cat, dog]", ["cat", "dog"]),
    ],
)
def test_ways_to_name_classes(file, content, names, tree_of):
    tree = tree_of("d/1.jpg", **{"d/1.txt": BOX, file: content})

    report = Report()
    assert YOLO.read(tree, report, max_records=9).classes == names
    assert report.findings() == []


def test_the_nearest_names_count(tree_of):
    """Two data sets in an archive number the same classes differently."""
    tree = tree_of(
        *("a/1.jpg", "b/1.jpg"),
        **{
            "a/1.txt": BOX,
            "b/1.txt": BOX,
            "a/data.yaml": b"names: [cat, dog]",
            "b/data.yaml": b"names: [dog, owl]",
            "data.yaml": b"names: [ant]",
        },
    )

    objects, _, _ = read_boxes(YOLO, tree)

    assert classes_of(objects) == {"a/1.jpg": ["cat"], "b/1.jpg": ["dog"]}
    assert YOLO.read(tree, Report(), max_records=9).classes == ["cat", "dog", "owl"]


def test_names_that_contradict(tree_of):
    files = {"1.txt": BOX, "a.yaml": b"names: [cat]", "b.yaml": b"names: [dog]"}

    with pytest.raises(InvalidInput, match=r"a\.yaml and b\.yaml name the classes differently"):
        read_boxes(YOLO, tree_of("1.jpg", **files))


def test_a_name_under_two_numbers_is_one_class(tree_of):
    files = {"1.txt": BOX + b"1 .5 .5 .1 .1", "data.yaml": b"names: [cat, cat, dog]"}

    objects, _, findings = read_boxes(YOLO, tree_of("1.jpg", **files))

    assert classes_of(objects) == {"1.jpg": ["cat", "cat"]}
    assert findings == {"CATEGORY_NAMES_REPEATED": ["data.yaml: 0: cat", "data.yaml: 1: cat"]}


def test_without_names_classes_are_called_by_number(tree_of):
    """In the order of the numbers, not of their digits."""
    files = {"1.txt": b"10 .5 .5 .1 .1\n2 .5 .5 .1 .1\n"}

    objects, _, findings = read_boxes(YOLO, tree_of("1.jpg", **files))

    assert classes_of(objects) == {"1.jpg": ["10", "2"]}
    assert findings == {"CLASSES_GUESSED": ["2", "10"]}


SPLITS = {
    "folders": b"train: a\nval: b\n",
    "here": b"path: .\ntrain: ./a\nvalid: ./b/\n",
    "lists of folders": b"train: [a, missing]\nval:\n- b\n",
    "of another machine": b"path: /content/x\ntrain: /content/x/a\nval: C:\\data\\b\n",
    "above": b"train: ../../a\nval: ../b/../b\n",
    "texts": b"train: a.txt\nval: ../lists/b.txt\n",
    "empty keys": b"train: a\nval: b\ntest:\n",
}


@pytest.mark.parametrize("config", SPLITS.values(), ids=SPLITS.keys())
def test_ways_to_say_the_split(config, tree_of):
    tree = tree_of(
        *("d/a/1.jpg", "d/b/2.jpg", "d/c/3.jpg"),
        **{"d/a/1.txt": BOX, "d/b/2.txt": BOX, "d/c/3.txt": BOX},
        **{"d/data.yaml": config + NAMES, "d/a.txt": b"./a/1.jpg\n"},
        **{"d/lists/b.txt": b"/home/me/d/b/2.jpg"},
    )

    _, splits, findings = read_boxes(YOLO, tree)

    assert splits == {"d/a/1.jpg": "train", "d/b/2.jpg": "val", "d/c/3.jpg": None}
    assert findings.keys() <= {"SPLIT_FILES_IGNORED"}


def test_the_same_folder_for_train_and_val_says_nothing(tree_of):
    """Then the folders inside do, if any."""
    config = b"train: images\nval: images\n" + NAMES
    labels = {f"labels/{name}.txt": BOX for name in ("train/1", "val/2")}
    tree = tree_of("images/train/1.jpg", "images/val/2.jpg", **labels, **{"data.yaml": config})

    assert read_boxes(YOLO, tree)[1] == {"images/train/1.jpg": "train", "images/val/2.jpg": "val"}

    tree = tree_of("images/1.jpg", **{"labels/1.txt": BOX, "data.yaml": config})

    assert read_boxes(YOLO, tree)[1] == {"images/1.jpg": None}


def test_darknet_layout(tree_of):
    """Texts named like a split list images; the label files lie beside these."""
    tree = tree_of(
        *("data/obj/1.jpg", "data/obj/2.jpg"),
        **{
            "data/obj/1.txt": BOX,
            "data/obj/2.txt": BOX,
            "data/obj.names": b"cat\n",
            "data/obj.data": b"classes = 1\ntrain = data/train.txt\n",
            "data/train.txt": b"data/obj/1.jpg\ndata/obj/9.jpg\n",
            "data/valid.txt": b"data/obj/2.jpg\n",
        },
    )

    objects, splits, findings = read_boxes(YOLO, tree)

    assert classes_of(objects) == {"data/obj/1.jpg": ["cat"], "data/obj/2.jpg": ["cat"]}
    assert splits == {"data/obj/1.jpg": "train", "data/obj/2.jpg": "val"}
    assert findings == {"SPLIT_ENTRIES_MISSING": ["data/train.txt, line 2: data/obj/9.jpg"]}


def test_only_the_label_file_says_the_split(tree_of):
    """If all images lie in one folder."""
    labels = {"labels/train/1.txt": BOX, "labels/val/2.txt": BOX}

    _, splits, _ = read_boxes(YOLO, tree_of("images/1.jpg", "images/2.jpg", **labels))

    assert splits == {"images/1.jpg": "train", "images/2.jpg": "val"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (BOMB, "it has aliases, which are not read"),
        (b"names: " + b"[" * 30 + b"]" * 30, "it is deeper than 20 levels"),
        (b"names: " + b"[" * 100_000, "maximum nesting depth"),
        (b"names: [cat\nnc: 1", "line 2: did not find expected ',' or ']'"),
        (b"names: [a]\n---\nnames: [b]\n", "but found another document"),
        (b"names: [a]\n#\x00", "control characters are not allowed"),
        (b"names: [a]\n#" + b"x" * yolo_config._MAX_CONFIG_BYTES, "it has 1048588 bytes"),
    ],
)
def test_an_unreadable_configuration_is_named(content, why, tree_of):
    """Then classes are called by number."""
    objects, _, findings = read_boxes(YOLO, tree_of("1.jpg", **{"1.txt": BOX, "d.yaml": content}))

    assert classes_of(objects) == {"1.jpg": ["0"]}
    (example,) = findings["ANNOTATION_FILES_UNREADABLE"]
    assert example.startswith("d.yaml: ")
    assert why in example


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"- 1\n", b"lr: 0.1\n", b"names:\n", b"names: 3\n", b"names: {a: b}"),
        *(b"names: [[1]]", b"? {names: 1}\n: 2\n", b"? [names]\n: 2\n"),
    ],
)
def test_yaml_about_something_else(content, tree_of):
    """Settings of a training, say: what names the classes is another file."""
    files = {"1.txt": BOX, "hyp.yaml": content, "classes.txt": b"cat\n"}

    objects, _, _ = read_boxes(YOLO, tree_of("1.jpg", **files))

    assert classes_of(objects) == {"1.jpg": ["cat"]}


def test_yaml_runs_nothing():
    """Whatever its tags ask for."""
    tagged = "!!python/object/apply:os.system {names: [!!python/name:eval x]}"

    assert parse_yaml(tagged) == {"names": ["x"]}


def test_a_configuration_without_names_still_says_the_split(tree_of):
    config = b"train: a\nval: b\nnames:\n"
    labels = {"a/1.txt": BOX, "b/2.txt": BOX}

    objects, splits, _ = read_boxes(
        YOLO, tree_of("a/1.jpg", "b/2.jpg", **labels, **{"data.yaml": config})
    )

    assert classes_of(objects) == {"a/1.jpg": ["0"], "b/2.jpg": ["0"]}
    assert splits == {"a/1.jpg": "train", "b/2.jpg": "val"}


@given(
    st.recursive(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_yaml_is_read_as_written(value):
    """Whatever a program quotes comes back, all of it as text."""
    assert parse_yaml(json.dumps(value, ensure_ascii=False)) == value


def test_names_are_bounded(tree_of, monkeypatch):
    """Over all files: each is small, but there may be many."""
    files = {f"{number}/data.yaml": NAMES for number in range(9)} | {"1.txt": BOX}
    tree = tree_of("1.jpg", **files)
    read_boxes(YOLO, tree)
    monkeypatch.setattr(yolo_config, "_MAX_ALL_CONFIG_BYTES", 100)

    with pytest.raises(InvalidInput, match=r"up to 5/data\.yaml, have more than 100 bytes"):
        read_boxes(YOLO, tree)
