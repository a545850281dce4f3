"""Tables beside images: `metadata.jsonl` and `metadata.csv`, with a column `file_name`.

Other columns that end so name further images, such as `mask_file_name`; those that end in
`_file_names` name several. They are called as on the hub: without that end, and the first one
`image`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from common.data.formats import tables
from common.data.hugging_face.features import Column, Kind
from common.data.hugging_face.table import Table, TableError
from common.data.tree import suffix
from common.errors import InvalidInput
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from common.data.formats.finding_files import Finder
    from common.data.tree import Tree

IMAGE = "image"
_FILE_NAME = "file_name"
_ONE, _SEVERAL = "_file_name", "_file_names"
# Of a line; what it becomes in memory may take 20 times as much.
_MAX_LINE_LENGTH = 16 * MIB
_MOST_COLUMNS = 10_000


def is_metadata(path: str) -> bool:
    """Whether a file is called as the hub calls such tables."""
    return path.rpartition("/")[2].lower() in {"metadata.jsonl", "metadata.csv"}


class MetadataTable(Table):
    """Such a table.

    Raises:
        TableError: It cannot be read, or has no column `file_name`.
    """

    def __init__(self, tree: Tree, path: str, finder: Finder) -> None:
        super().__init__(path)
        self._tree = tree
        self._finder = finder
        try:
            tables.check_size(tree, path)
            self._encoding = tables.encoding_of(tree, path)
        except InvalidInput as error:
            raise TableError(error.message) from error
        # By how the hub calls it.
        self._written: dict[str, str] = {}
        broken = None
        try:
            # All rows, as a line may leave out what is empty.
            for _, row in self._rows():
                self._look(row)
                if len(self._written) > _MOST_COLUMNS:
                    raise TableError(f"it has more than {_MOST_COLUMNS} columns")
        except TableError as error:
            broken = error  # which is found again when rows are read
        if IMAGE not in self._written:
            raise broken or TableError(f"no row has a {_FILE_NAME}")

    def _look(self, row: dict[str, Any]) -> None:
        for written, value in row.items():
            name, kind = written, Kind.PLAIN
            if written == _FILE_NAME:
                name, kind = IMAGE, Kind.IMAGE
            elif written.endswith(_SEVERAL):
                name, kind = written.removesuffix(_SEVERAL), Kind.IMAGES
            elif written.endswith(_ONE):
                name, kind = written.removesuffix(_ONE), Kind.IMAGE
            elif isinstance(value, dict | list):
                kind = Kind.NESTED
            if self._written.setdefault(name, written) != written:
                continue  # e.g. `image`, beside `file_name`
            parts = () if kind != Kind.NESTED else _parts(value)
            known = self.columns.get(name)
            if known is None or (known.kind == Kind.PLAIN and kind == Kind.NESTED):
                self.columns[name] = Column(name, kind, parts)
            elif kind == Kind.NESTED:
                merged = dict.fromkeys((*known.parts, *parts))
                self.columns[name] = Column(name, kind, tuple(merged))

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield rows; names of columns are those of the hub."""
        wanted = {name: self._written[name] for name in columns if name in self._written}
        for number, row in self._rows():
            yield number, {name: row.get(written) for name, written in wanted.items()}

    def file(self, row: int, column: str, value: Any, place: int | None = None) -> str | None:
        """Find the image by what it is called, from the folder of the table."""
        del row, column
        if place is not None:
            value = value[place] if isinstance(value, list) and place < len(value) else None
        return self._finder.nearest(self.path, value) if isinstance(value, str) else None

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        if suffix(self.path) == ".csv":
            return self._rows_of_csv()
        return self._rows_of_lines()

    def _rows_of_csv(self) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            rows = tables.rows(self._tree, self.path, self._encoding, ",")
            header = [name.strip() for name in next(rows, [])]
            for number, cells in enumerate(rows, start=2):
                if any(cell.strip() for cell in cells):
                    pairs = zip(header, cells, strict=False)
                    yield number, {name: _value(cell) for name, cell in pairs}
        except InvalidInput as error:
            raise TableError(error.message) from error

    def _rows_of_lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with self._tree.open(self.path) as file:
            number = 0
            while line := file.readline(_MAX_LINE_LENGTH):
                number += 1
                if len(line) == _MAX_LINE_LENGTH:
                    raise TableError(f"line {number} has {_MAX_LINE_LENGTH} bytes or more")
                text = line.decode(self._encoding, errors="replace").strip().lstrip("\ufeff")
                if not text:
                    continue
                try:
                    row = json.loads(text)
                # Deep nesting makes Python give up.
                except (ValueError, RecursionError) as error:
                    raise TableError(f"line {number} is no JSON: {error}") from error
                if not isinstance(row, dict):
                    raise TableError(f"line {number} is no object")
                yield number, row


def _value(cell: str) -> Any:
    """Return what a cell has: a list or an object if it is written as one, else text."""
    if cell[:1] in {"[", "{"}:
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return cell
    return cell


def _parts(value: Any) -> tuple[str, ...]:
    dicts: Iterable[Any] = value if isinstance(value, list) else [value]
    first = next((one for one in dicts if isinstance(one, dict)), {})
    return tuple(str(name) for name in first)
