"""The tables of Open Images, each known by its columns.

train-annotations-bbox.csv              ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,
                                          IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside
train-annotations-object-segmentation   MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,
  .csv                                    BoxYMin,BoxYMax,PredictedIoU,Clicks
train-annotations-human-imagelabels.csv ImageID,Source,LabelName,Confidence
class-descriptions-boxable.csv          /m/011k07,Tortoise, perhaps below LabelName,DisplayName
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from common.data.formats import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.tree import Tree

_IDENTIFIER = re.compile(r"/[a-z]/[0-9a-z_]+")


class Kind(Enum):
    """What a table lists."""

    BOXES = "boxes"
    MASKS = "masks"
    LABELS = "labels"
    NAMES = "names"


# The first that fits.
_COLUMNS = {
    Kind.MASKS: ("maskpath", "imageid", "labelname"),
    Kind.BOXES: (
        *("imageid", "source", "labelname", "confidence", "xmin", "xmax", "ymin", "ymax"),
    ),
    Kind.LABELS: ("imageid", "source", "labelname", "confidence"),
    Kind.NAMES: ("labelname", "displayname"),
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        path: In the archive.
        kind: What it lists.
        encoding: Of the text.
        places: Of the columns, by their names in lower case.
        headed: Whether the first line names the columns.
    """

    path: str
    kind: Kind
    encoding: str
    places: dict[str, int]
    headed: bool = True

    def rows(self, tree: Tree) -> Iterator[Row]:
        """Yield each row that is not empty.

        Raises:
            InvalidInput: The table cannot be read any further.
        """
        rows = tables.rows(tree, self.path, self.encoding, ",")
        for number, cells in enumerate(rows, start=1):
            if (number > 1 or not self.headed) and any(map(str.strip, cells)):
                yield Row(number, cells, self.places)


@dataclass(frozen=True, slots=True)
class Row:
    """A row.

    Attributes:
        number: The first line has 1.
    """

    number: int
    _cells: list[str]
    _places: dict[str, int]

    def cell(self, column: str) -> str:
        """Return what is in a column, without spaces around it; empty if there is nothing."""
        at = self._places.get(column, len(self._cells))
        return self._cells[at].strip() if at < len(self._cells) else ""

    def marked(self, column: str) -> bool:
        """Whether a column says yes; 0 is no, and -1 means that nobody knows."""
        return self.cell(column).lower() in {"1", "1.0", "true"}


def inspect(tree: Tree, path: str) -> Table | None:
    """Return a table of Open Images; None if it is another.

    Raises:
        InvalidInput: It is too large, or no table.
    """
    tables.check_size(tree, path)
    encoding = tables.encoding_of(tree, path)
    first = next(tables.rows(tree, path, encoding, ","), [])
    places = {cell.strip().lower(): at for at, cell in enumerate(first)}
    for kind, columns in _COLUMNS.items():
        if all(column in places for column in columns):
            return Table(path, kind, encoding, places)
    if len(first) == 2 and _IDENTIFIER.fullmatch(first[0].strip()):
        named = {"labelname": 0, "displayname": 1}
        return Table(path, Kind.NAMES, encoding, named, headed=False)
    return None


def lists_masks(tree: Tree) -> bool:
    """Whether a table lists pictures of objects."""
    found = (inspect(tree, path) for path in tables.table_paths(tree))
    return any(table is not None and table.kind == Kind.MASKS for table in found)


def is_identifier(name: str) -> bool:
    """Whether a class is given by its identifier, such as `/m/011k07`."""
    return _IDENTIFIER.fullmatch(name) is not None
