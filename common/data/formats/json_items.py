"""Reads a large JSON file element by element, also where these lie one level deeper.

Some tools write a list, others an object with a member for each image, at the top or under a name
of its own. As in `json_parts`, memory holds one element at a time.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

from common.data.formats import tables
from common.data.formats.json_parts import Text, elements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from common.data.tree import Tree


class Item(NamedTuple):
    """An element of a file.

    Attributes:
        key: The member of the object that it is, or is in; empty in a list.
        name: Its name in the object that is under the key, or its number in the list that the file
            is, from 1; empty if it is all that is under the key.
        value: As Python's parser gives it; NaN and infinite numbers are let through.
    """

    key: str
    name: str
    value: Any


def items(tree: Tree, path: str, inside: Collection[str] = ()) -> Iterator[Item]:
    """Yield each element of the list that a file is, or each member of the object.

    Args:
        tree: The files.
        path: Of the file.
        inside: Keys under which each member of the object that is there is yielded by itself.

    Raises:
        JsonError: The file is no JSON from here on, or neither object nor list, or an element is
            too long to be held.
    """
    encoding = tables.encoding_of(tree, path)
    with io.TextIOWrapper(tree.open(path), encoding, errors="replace") as file:
        text = Text(file)
        if text.peek() == "[":
            for number, value in enumerate(elements(text), start=1):
                yield Item("", str(number), value)
        else:
            for key in _keys(text):
                if key in inside and text.peek() == "{":
                    for name in _keys(text):
                        yield Item(key, name, text.value())
                else:
                    yield Item(key, "", text.value())
        if text.peek():
            raise text.error("something follows the end")


def _keys(text: Text) -> Iterator[str]:
    """Yield each name in an object; the caller takes the value behind it."""
    text.take("{")
    if text.peek() == "}":
        text.take("}")
        return
    while True:
        key = text.value()
        if not isinstance(key, str):
            raise text.error("a name is missing")
        text.take(":")
        yield key
        if text.take(",}") == "}":
            return
