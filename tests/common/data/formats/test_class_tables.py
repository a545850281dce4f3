"""The file that names the classes of masks."""

import json

import pytest

from common.data.findings import Report
from common.data.formats import class_tables
from common.errors import InvalidInput

NAMES = b"0 none\n1 road\n"
OTHERS = b"0 sea\n1 sky\n"
COLOURS = b"name,r,g,b\nnone,0,0,0\nroad,9,9,9\n"


def found(tree, *folders, colours=False):
    report = Report()
    table = class_tables.find(tree, folders or ["set/masks"], report, colours=colours)
    names = None if table is None else [row.name for row in table.rows]
    return names, {f.id: list(f.examples) for f in report.findings()}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("classes.txt", b"none\nroad"),
        ("set/labels.txt", NAMES),
        ("set/masks/class_names.txt", b"\xef\xbb\xbf0 none\r\n1 road"),
        ("labelmap.txt", b"none:0,0,0::\nroad:9,9,9::"),
        ("my.names", b"none\nroad"),
        ("classes.json", b'["none", "road"]'),
        ("label_names.json", b'{"0": "none", "1": "road"}'),
        ("set/data.yaml", b"names: [none, road]\ntrain: x"),
        ("set/anything.yml", b"classes:\n  0: none\n  1: road"),
        ("set/class_dict.csv", COLOURS),
        ("set/whatever.csv", b"id;name\n0;none\n1;road\n"),
        ("set/labels.csv", NAMES.replace(b" ", b",")),
        ("elsewhere/classes.txt", NAMES),
    ],
)
def test_found(path, content, tree_of):
    assert found(tree_of(**{path: content})) == (["none", "road"], {})


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("README.txt", NAMES),
        ("train.txt", b"1\n2"),
        ("boxes.csv", b"file,label\n1.jpg,cat"),
        ("labels.json", b'{"images": [], "annotations": [], "categories": ["a"]}'),
        ("config.yaml", b"epochs: 3"),
        ("annotations.json", b'["none", "road"]'),
        ("classes.txt", b""),
        ("classes.txt", b"0 none\n" + b" " * (1 << 20)),
    ],
)
def test_about_something_else(path, content, tree_of):
    assert found(tree_of(**{path: content})) == (None, {})


def test_the_nearest_counts(tree_of):
    tree = tree_of(**{"classes.txt": OTHERS, "set/classes.txt": NAMES, "x/classes.txt": OTHERS})

    assert found(tree)[0] == ["none", "road"]
    assert found(tree, "masks")[0] == ["sea", "sky"]


def test_in_one_of_the_folders(tree_of):
    """As Roboflow has it: a table in each folder, or only in that for train."""
    tree = tree_of(**{"train/_classes.csv": b"Pixel Value, Class\n0, none\n1, road\n"})

    assert found(tree, "test", "train")[0] == ["none", "road"]


def test_contradiction(tree_of):
    tree = tree_of(**{"classes.txt": NAMES, "labels.txt": OTHERS})

    with pytest.raises(InvalidInput, match=r"classes\.txt and labels\.txt name the classes diff"):
        found(tree)


def test_the_same_said_twice(tree_of):
    tree = tree_of(**{"classes.txt": NAMES, "class_dict.csv": COLOURS})

    assert found(tree) == (["none", "road"], {})
    assert found(tree, colours=True) == (["none", "road"], {})


def test_only_colours_are_wanted(tree_of):
    tree = tree_of(**{"set/masks/classes.txt": OTHERS, "class_dict.csv": COLOURS})

    assert found(tree, colours=True)[0] == ["none", "road"]
    assert found(tree_of(**{"classes.txt": NAMES}), colours=True)[0] is None


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("classes.json", b"{"),
        ("classes.json", b"[" * 100_000),
        ("data.yaml", b"names: [a, b"),
        ("data.yaml", b"a: &a [x]\nnames: *a"),
    ],
)
def test_unreadable(path, content, tree_of):
    names, findings = found(tree_of(**{path: content}))

    assert names is None
    assert findings["CLASS_TABLES_UNREADABLE"][0].startswith(path)


def test_too_many_classes(tree_of):
    content = json.dumps([f"c{number}" for number in range(10_001)]).encode()

    with pytest.raises(InvalidInput, match="more than 10000 classes"):
        found(tree_of(**{"classes.json": content}))


@pytest.mark.parametrize(
    "name",
    ["void", "Unlabeled", "unlabelled", "ignore", "ignore_index", "ignore label", "IGNORED",
     "void/unlabeled", "unlabeled region"],
)  # fmt: skip
def test_means_void(name):
    assert class_tables.means_void(name)


@pytest.mark.parametrize("name", ["background", "avoid", "void deck", "label", "unlabeled car"])
def test_means_a_class(name):
    assert not class_tables.means_void(name)
