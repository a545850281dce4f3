"""The images in the rows of parquet files, as files of a `Tree`.

An import asks for images in order, a few at once, and for each again when it is found to be usable.
So rows are read one after the other, and the images of the last few hundred lie on disk, where
asking again costs nothing. Whoever asks for something else than what comes next makes the group of
its row be read from the start.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from common.data.hugging_face.table import TableError
from common.data.images import IMAGE_TOO_LARGE, IMAGE_UNDECODABLE, ImageError
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from common.data.hugging_face.parquet import Cell, ParquetTable
    from common.data.tree import Tree

_END = re.compile(r"\.parquet/", re.IGNORECASE)
# An import looks at less than half of the first number of rows ahead. Of what it leaves out, more
# may lie between, so that more rows are kept if they are small.
_LEAST_ROWS = 192
_MOST_ROWS = 8192
_MOST_BYTES = 256 * MIB
# What is kept is let go of in pieces of this size.
_SEGMENT_ROWS = 64
_SEGMENT_BYTES = 32 * MIB
# No image that is allowed has more.
_MOST_IMAGE_BYTES = 512 * MIB


class _Place(NamedTuple):
    segment: _Segment
    offset: int
    size: int


@dataclass(slots=True)
class _Segment:
    """Images one after the other in a file without a name.

    Attributes:
        file: Gone from the disk once it is closed.
        rows: Number of the table, and of the row, of those that are here.
        size: In bytes.
    """

    file: BinaryIO
    rows: list[tuple[int, int]] = field(default_factory=list)
    size: int = 0


class RowFiles:
    """Those of some tables.

    Args:
        tables: In the order in which they are read.
        columns: Of images, those that are asked for.
        folder: Where there is space on disk.
    """

    def __init__(
        self, tables: Sequence[ParquetTable], columns: Mapping[str, Sequence[str]], folder: Path
    ) -> None:
        self._tables = tables
        self._number_of = {table.path: number for number, table in enumerate(tables)}
        self._columns = columns
        self._folder = folder
        self._lock = threading.Lock()
        self._segments: deque[_Segment] = deque()
        self._rows = self._size = 0
        self._kept: dict[tuple[int, int], dict[Cell, _Place]] = {}
        self._stream: Iterator[tuple[int, dict[Cell, memoryview]]] = iter(())
        # The row that comes next; the first that cannot be read any more, by table and group.
        self._next = (-1, 0)
        self._damaged: dict[tuple[int, int], tuple[int, str]] = {}

    def __contains__(self, path: object) -> bool:
        """Whether there is such a row and column."""
        return isinstance(path, str) and self._where(path) is not None

    def size(self, path: str) -> int:
        """Return the number of bytes of an image.

        Raises:
            ImageError: Its part of the table is damaged, or it is too large for any image.
        """
        with self._lock:
            place = self._find(path)
            return place.size if place else 0

    def read(self, path: str) -> bytes:
        """Return the bytes of an image; none if the row has none.

        Raises:
            ImageError: See `size`.
        """
        with self._lock:
            place = self._find(path)
            if place is None:
                return b""
            return os.pread(place.segment.file.fileno(), place.size, place.offset)

    def close(self) -> None:
        """Free the disk."""
        with self._lock:
            self._stream = iter(())
            self._next = (-1, 0)
            self._kept.clear()
            self._rows = self._size = 0
            while self._segments:
                self._segments.popleft().file.close()

    def _where(self, path: str) -> tuple[int, int, Cell] | None:
        for end in _END.finditer(path):
            number = self._number_of.get(path[: end.end() - 1])
            if number is not None:
                found = self._tables[number].cell(path[end.end() :])
                return found and (number, found[0] - 1, found[1])
        return None

    def _find(self, path: str) -> _Place | None:
        where = self._where(path)
        if where is None:
            raise KeyError(path)
        number, row, cell = where
        if (number, row) not in self._kept:
            self._read_to(number, row)
        place = self._kept[number, row].get(cell)
        if place is not None and place.size > _MOST_IMAGE_BYTES:
            raise ImageError(IMAGE_TOO_LARGE, "The image is too large.")
        return place

    def _read_to(self, number: int, row: int) -> None:
        """Read on until a row is kept, from where it was left or from the start of its group."""
        table = self._tables[number]
        group = table.group_of(row)
        damaged = self._damaged.get((number, group))
        if damaged is not None and row >= damaged[0]:
            raise ImageError(IMAGE_UNDECODABLE, f"The table is damaged: {damaged[1]}.")
        first = table.first_of(group)
        at_number, at_row = self._next
        if at_number != number or not first <= at_row <= row:
            self._stream = table.images(self._columns[table.path], group)
            self._next = (number, first)
        try:
            while self._next <= (number, row):
                _, images = next(self._stream)
                self._keep(self._next, images)
                self._next = (number, self._next[1] + 1)
        except (TableError, StopIteration) as error:
            reason = str(error) or "it ends early"
            self._damaged[number, group] = self._next[1], reason
            self._next = (-1, 0)
            raise ImageError(IMAGE_UNDECODABLE, f"The table is damaged: {reason}.") from None

    def _keep(self, key: tuple[int, int], images: Mapping[Cell, memoryview]) -> None:
        last = self._segments[-1] if self._segments else None
        if last is None or len(last.rows) >= _SEGMENT_ROWS or last.size >= _SEGMENT_BYTES:
            last = _Segment(tempfile.TemporaryFile(dir=self._folder, buffering=0))  # noqa: SIM115
            self._segments.append(last)
        places = {}
        for cell, content in images.items():
            places[cell] = _Place(last, last.size, len(content))
            if len(content) <= _MOST_IMAGE_BYTES:
                _write(last.file, content)
                last.size += len(content)
                self._size += len(content)
        last.rows.append(key)
        self._rows += 1
        self._kept[key] = places
        self._let_go()

    def _let_go(self) -> None:
        while len(self._segments) > 1:
            first = self._segments[0]
            few = self._rows < _MOST_ROWS and self._size < _MOST_BYTES
            if few or self._rows - len(first.rows) < _LEAST_ROWS:
                return
            self._rows -= len(first.rows)
            self._size -= first.size
            for key in first.rows:
                if _is_in(self._kept.get(key, {}), first):
                    self._kept.pop(key, None)
            self._segments.popleft().file.close()


def _is_in(places: Mapping[Cell, _Place], segment: _Segment) -> bool:
    """Whether these are the images as they were read then, and not once more since."""
    return all(place.segment is segment for place in places.values())


def _write(file: BinaryIO, content: memoryview) -> None:
    while content:
        content = content[file.write(content) :]


def attach(
    tree: Tree, tables: Sequence[ParquetTable], columns: Mapping[str, Sequence[str]]
) -> None:
    """Make the images of tables files of a tree."""
    tree.attach(RowFiles(tables, columns, tree.folder))
