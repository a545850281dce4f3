"""Finds the file that names the classes of masks, and says which of their pixels are void.

It is a `.txt` or `.names` named for classes or labels, a `.csv` or `.tsv` with a column for the
name and one for the value or the colour, a `.json` named for classes, or a YAML file with `names`
or `classes`. The nearest counts: in the folder of the masks or the innermost around that has one,
or else anywhere.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.data.formats import check_class_count, class_lines, tables
from common.data.formats.pairing import parents, stem, text_of
from common.data.formats.yolo_config import parse_yaml
from common.data.tree import suffix
from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from common.data.findings import Report
    from common.data.formats.class_lines import ClassRow
    from common.data.tree import Tree

MAX_TABLE_BYTES = MIB
# Of all files that may name classes: reading them must not take long.
_MAX_FILES = 200

_NAMED = re.compile(
    r"(?:.*[^a-z])?(?:class|classes|label|labels|labelmap|category|categories|names|colou?rs?|"
    r"palette|legend|meta|id2label|objectinfo\d*)(?:[^a-z].*)?"
)
_TEXTS = {".txt", ".names", ".labels"}
_TABLES = {".csv", ".tsv"}
_YAML = {".yaml", ".yml"}

_VOID = re.compile(
    r"(?:void|unlabell?ed|ignored?|unknown[ _-]?label|don'?t[ _-]?care)"
    r"(?:[ _/-]+(?:void|unlabell?ed|ignored?|index|labels?|class|pixels?|regions?|area))*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ClassTable:
    """What a file says.

    Attributes:
        path: Of the file.
        rows: Its classes, by their values.
    """

    path: str
    rows: tuple[ClassRow, ...]

    @property
    def has_colours(self) -> bool:
        """Whether most classes have one; those without are of no use in masks of colours."""
        return 2 * sum(row.colour is not None for row in self.rows) > len(self.rows)


def means_void(name: str) -> bool:
    """Whether a class is called so that its pixels are those of which nobody says anything."""
    return _VOID.fullmatch(name.strip()) is not None


def find(
    tree: Tree,
    folders: Sequence[str],
    report: Report,
    *,
    colours: bool = False,
    but: Container[str] = (),
) -> ClassTable | None:
    """Return the table that is nearest to masks, if there is any.

    Args:
        tree: The files.
        folders: Those that the masks lie in.
        report: Told of files that cannot be read.
        colours: Only tables with colours are wanted.
        but: Names, without suffixes, of files that are about a single mask.

    Raises:
        InvalidInput: Several are as near, and differ; or there are too many classes.
    """
    by_folder: dict[str, list[ClassTable]] = {}
    for path in _paths(tree, but):
        table = _read(tree, path, report)
        if table is not None and (table.has_colours or not colours):
            by_folder.setdefault(path.rpartition("/")[0], []).append(table)
    around = {folder: parents(f"{folder}/x") if folder else [""] for folder in folders}
    for depth in range(max((len(up) for up in around.values()), default=0)):
        # Each set of masks may lie in folders for the splits, with a table in only one of these.
        near = {up[depth] for up in around.values() if depth < len(up)}
        found = [table for folder in sorted(near) for table in by_folder.get(folder, [])]
        if found:
            return _only(found, colours=colours)
    every = [table for found in by_folder.values() for table in found]
    return _only(every, colours=colours) if every else None


def _only(found: list[ClassTable], *, colours: bool) -> ClassTable:
    """Return the one that says most; they must not contradict each other."""

    def said(table: ClassTable) -> dict[object, str]:
        return {row.colour if colours else row.value: row.name for row in table.rows}

    best = max(found, key=lambda table: (table.has_colours, len(table.rows)))
    for other in found:
        if said(other) != said(best):
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"{shorten(best.path)} and {shorten(other.path)} name the classes differently, and "
                "nothing says which is meant. Keep the right one only, in the folder of the masks "
                "or above.",
            )
    return best


def _paths(tree: Tree, but: Container[str]) -> Iterator[str]:
    count = 0
    for path in tree.files:
        kind, name = suffix(path), stem(path).lower()
        may_be = (
            kind in _YAML
            or kind in _TABLES
            or (kind in _TEXTS and (kind != ".txt" or _NAMED.fullmatch(name)))
            or (kind == ".json" and _NAMED.fullmatch(name))
        )
        if may_be and stem(path) not in but and 0 < tree.size(path) <= MAX_TABLE_BYTES:
            count += 1
            if count > _MAX_FILES:
                return
            yield path


def _read(tree: Tree, path: str, report: Report) -> ClassTable | None:
    """Return what a file says; None if it is about something else."""
    kind = suffix(path)
    try:
        if kind in _TABLES:
            rows = _of_csv(tree, path)
        elif kind in _YAML:
            content = parse_yaml(text_of(tree, path))
            says = isinstance(content, dict) and {"names", "classes", "labels"} & content.keys()
            rows = class_lines.of_json(content) if says else []
        elif kind == ".json":
            rows = class_lines.of_json(json.loads(text_of(tree, path)))
        else:
            text = text_of(tree, path)
            rows = _of_columns(text) or class_lines.of_text(text)
    # Deep nesting makes Python give up.
    except (ValueError, RecursionError, InvalidInput) as error:
        report.add("CLASS_TABLES_UNREADABLE", f"{path}: {error}")
        return None
    check_class_count(len(rows), path)
    by_value = {row.value: row for row in reversed(rows)}
    return ClassTable(path, tuple(by_value[value] for value in sorted(by_value))) if rows else None


def _of_columns(text: str) -> list[ClassRow]:
    """Read a text with tabs whose first line names the columns, as `objectInfo150.txt` of ADE."""
    cells = [line.split("\t") for line in text.splitlines() if line.strip()]
    return class_lines.of_table(cells[0], cells[1:]) if cells and len(cells[0]) > 1 else []


def _of_csv(tree: Tree, path: str) -> list[ClassRow]:
    encoding = tables.encoding_of(tree, path)
    for delimiter in tables.DELIMITERS:
        cells = list(tables.rows(tree, path, encoding, delimiter))
        if cells and (rows := class_lines.of_table(cells[0], cells[1:])):
            return rows
    if _NAMED.fullmatch(stem(path).lower()):
        rows = class_lines.of_text(text_of(tree, path))
        # A table of something else has columns that are no part of a name.
        if not any(mark in row.name for row in rows for mark in tables.DELIMITERS):
            return rows
    return []
