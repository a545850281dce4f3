"""What is known of the columns of a table before its rows are read.

The hub's own library writes the features of a data set, with the names of its classes, into the
parquet files and into the head of README.md, in two notations. Both become `Names` here; what a
column is otherwise is seen from how it is stored.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common.data.formats import MAX_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str, ...]
"""Where a value is: a column, and perhaps a part of it, such as `("objects", "category")`."""

Names = dict[Path, list[str]]
"""The names of classes, by where their numbers stand."""

# Features lie in each other; nobody writes them deeper.
_MAX_DEPTH = 8
_NUMBER = re.compile("[0-9]{1,5}")
_LISTS = ("sequence", "list", "large_list")


class Kind(enum.Enum):
    """What a column has in each row."""

    IMAGE = enum.auto()
    """An image: its bytes, or where it is."""
    IMAGES = enum.auto()
    """A list of images."""
    NESTED = enum.auto()
    """Lists, or parts with names."""
    PLAIN = enum.auto()
    """A number, a text, a date."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: Unique in its table.
        kind: What it has.
        parts: The names of its parts, if it has any.
    """

    name: str
    kind: Kind
    parts: tuple[str, ...] = field(default=())


def names_of_json(features: Any) -> Names:
    """Return the names of classes in features as parquet files have them.

    These are dicts with `_type`: `ClassLabel` with `names`, `Sequence` or `List` with `feature`.
    A list with a single element means a list of such.
    """
    found: Names = {}
    for path, feature in _walk_json((), features, 0):
        names = feature.get("names")
        if feature.get("_type") == "ClassLabel" and isinstance(names, list):
            found[path] = _checked(names)
    return {path: names for path, names in found.items() if names}


def names_of_yaml(features: Any) -> Names:
    """Return the names of classes in features as the head of a README.md has them.

    These are lists of dicts with `name` and either `dtype`, `sequence`, `list` or `struct`.
    """
    found: Names = {}
    for path, names in _walk_yaml((), features, 0):
        listed = _by_number(names) if isinstance(names, dict) else names
        if isinstance(listed, list):
            found[path] = _checked(listed)
    return {path: names for path, names in found.items() if names}


def _by_number(names: dict[Any, Any]) -> list[Any]:
    """Return names in the order of their numbers; a number without one is its own name."""
    by_number = {
        int(key): name
        for key, name in names.items()
        if isinstance(key, str) and _NUMBER.fullmatch(key)
    }
    return [by_number.get(number, str(number)) for number in range(max(by_number, default=-1) + 1)]


def _checked(names: list[Any]) -> list[str]:
    """Return names of classes; none if they are none, or more than can be classes."""
    plain = all(isinstance(name, str | int | float) for name in names)
    return [str(name) for name in names] if plain and len(names) <= MAX_CLASSES else []


def _walk_json(path: Path, feature: Any, depth: int) -> Iterator[tuple[Path, dict[str, Any]]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(feature, list):
        for one in feature[:1]:
            yield from _walk_json(path, one, depth + 1)
    elif isinstance(feature, dict) and isinstance(feature.get("_type"), str):
        yield path, feature
        yield from _walk_json(path, feature.get("feature"), depth + 1)
    elif isinstance(feature, dict):
        for name, part in feature.items():
            yield from _walk_json((*path, str(name)), part, depth + 1)


def _walk_yaml(path: Path, features: Any, depth: int) -> Iterator[tuple[Path, Any]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(features, list):
        for one in features:
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                yield from _walk_yaml((*path, one["name"]), one, depth + 1)
    elif isinstance(features, dict):
        label = features.get("class_label")
        if isinstance(label, dict):
            yield path, label.get("names")
        for key in ("dtype", "struct", *_LISTS):
            if isinstance(features.get(key), dict | list):
                yield from _walk_yaml(path, features[key], depth + 1)
