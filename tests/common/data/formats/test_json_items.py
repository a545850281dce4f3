"""Files that tools write, element by element."""

import json

import pytest

from common.data.formats import json_items
from common.data.formats.json_items import Item
from common.data.formats.json_parts import JsonError


def items(tree_of, content, inside=()):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return list(json_items.items(tree_of(**{"a.json": data}), "a.json", inside))


def test_a_list(tree_of):
    assert items(tree_of, [1, {"a": []}, [2]]) == [
        Item("", "1", 1),
        Item("", "2", {"a": []}),
        Item("", "3", [2]),
    ]


def test_an_object(tree_of):
    """Members of those that are asked for come one by one."""
    content = {"a": {"x": 1, "y": [2]}, "b": {"x": 1}, "c": [3], "d": {}}

    assert items(tree_of, content, ("a", "c", "d")) == [
        Item("a", "x", 1),
        Item("a", "y", [2]),
        Item("b", "", {"x": 1}),
        Item("c", "", [3]),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding, tree_of):
    assert items(tree_of, ' ["ü"] \n'.encode(encoding)) == [Item("", "1", "ü")]


@pytest.mark.parametrize("content", [[], {}])
def test_nothing_inside(content, tree_of):
    assert items(tree_of, content) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "ends before {"),
        (b"3", "{ is missing"),
        (b"[1", "ends before , or ]"),
        (b"[1 2]", ", or ] is missing"),
        (b"[1] 2", "something follows"),
        (b'{"a": {"b": 1', "ends before , or }"),
        (b"{1: 2}", "a name is missing"),
        (b'{"a": {1: 2}}', "a name is missing"),
        (b'{"a" 1}', ": is missing"),
    ],
)
def test_what_is_no_json_is_said(content, why, tree_of):
    with pytest.raises(JsonError, match=rf"line 1, column \d+: .*{why}"):
        items(tree_of, content, ("a",))


def test_many_elements_need_not_fit_in_memory(tree_of):
    """Their text is longer than a single part may be."""
    content = b"[" + b",".join([b'"' + b"x" * 1_000_000 + b'"'] * 40) + b"]"

    assert len(items(tree_of, content)) == 40
