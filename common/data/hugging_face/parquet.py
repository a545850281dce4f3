"""Tables in parquet files, with images in their rows or named by them.

An image is a struct with its `bytes`, as the hub's own library writes it, or bytes alone. Whatever
a file holds, a few rows of it are in memory at a time: also of a file whose rows are all in one
group, as its columns are read piece by piece.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from common.data.hugging_face.features import Column, Kind, Names, names_of_json
from common.data.hugging_face.table import Table, TableError
from common.data.images import is_image
from common.names import shorten
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from common.data.formats.finding_files import Finder
    from common.data.tree import Tree

Cell = tuple[str, int | None]
"""An image of a row: its column, and which it is if that has lists."""

_MAGIC = b"PAR1"
# Of the description at the end of a file, which is read as a whole.
_MAX_FOOTER_BYTES = 64 * MIB
_MAX_COLUMNS = 10_000
_BUFFER_BYTES = MIB
# Of rows in memory, about; rows of images are also few because they are unlike in size.
_BATCH_BYTES = 8 * MIB
_MOST_ROWS = 1024
_MOST_ROWS_OF_IMAGES = 32
_PATH_PARTS = 200
_FILE_COLUMNS = ("file_name", "image", "image_path", "path", "filename")


class ParquetTable(Table):
    """A parquet file.

    Args:
        tree: The files.
        path: Of this one.
        finder: Finds images that it names.

    Raises:
        TableError: It cannot be read, or has neither images nor the names of any.
    """

    def __init__(self, tree: Tree, path: str, finder: Finder) -> None:
        super().__init__(path)
        self._tree = tree
        self._finder = finder
        file = self._open()
        with _damage_named():
            schema = file.schema_arrow
            self.row_count = max(0, file.metadata.num_rows)
            self._first_rows = [0]
            for group in range(file.metadata.num_row_groups):
                count = max(0, file.metadata.row_group(group).num_rows)
                self._first_rows.append(self._first_rows[-1] + count)
            self._leaves = [file.schema.column(at).path for at in range(len(file.schema.names))]
            self.names = _names(schema)
            self._inner = _images(file, schema)
            self.columns = {
                field.name: Column(field.name, *self._kind(field.name, field.type))
                for field in schema
            }

    def _kind(self, name: str, type_: pa.DataType) -> tuple[Kind, tuple[str, ...]]:
        if name in self._inner:
            return (Kind.IMAGES if _is_list(type_) else Kind.IMAGE), ()
        if _is_image(type_):  # in a file beside the table
            return Kind.IMAGE, ()
        while _is_list(type_):
            type_ = type_.value_type
            if not pa.types.is_nested(type_):
                return Kind.NESTED, ()
        if pa.types.is_struct(type_):
            return Kind.NESTED, tuple(type_.field(at).name for at in range(type_.num_fields))
        text = pa.types.is_string(type_) or pa.types.is_large_string(type_)
        return (Kind.IMAGE if text and name in _FILE_COLUMNS else Kind.PLAIN), ()

    @property
    def holds_images(self) -> bool:
        """Whether images are in its rows."""
        return bool(self._inner)

    def group_of(self, row: int) -> int:
        """Return which group a row is in; both are counted from 0."""
        return bisect_right(self._first_rows, row) - 1

    def first_of(self, group: int) -> int:
        """Return the first row of a group."""
        return self._first_rows[group]

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield rows without the bytes of images."""
        bytes_of = set(self._inner.values())
        leaves = [
            leaf for leaf in self._leaves if _column_of(leaf, columns) and leaf not in bytes_of
        ]
        if not leaves:
            for row in range(self.row_count):
                yield row + 1, {}
            return
        number = 0
        with _damage_named():
            for batch in self._batches(leaves, 0, _MOST_ROWS):
                for row_ in batch.to_pylist():
                    number += 1
                    yield number, row_

    def images(
        self, columns: Sequence[str], first_group: int
    ) -> Iterator[tuple[int, dict[Cell, memoryview]]]:
        """Yield the number of each row, from 1, and the bytes of its images.

        Args:
            columns: Those of images.
            first_group: To begin with.

        Raises:
            TableError: The table is damaged from here on.
        """
        wanted = [self._inner[name] for name in columns if name in self._inner]
        leaves = [leaf for leaf in self._leaves if leaf in wanted]
        number = self._first_rows[first_group]
        with _damage_named():
            for batch in self._batches(leaves, first_group, _MOST_ROWS_OF_IMAGES):
                arrays = {name: _bytes_of(batch.column(name)) for name in batch.schema.names}
                for at in range(batch.num_rows):
                    number += 1
                    yield (
                        number,
                        {
                            cell: content
                            for name, array in arrays.items()
                            for cell, content in _cells(name, array[at])
                        },
                    )

    def file(self, row: int, column: str, value: Any, place: int | None = None) -> str | None:
        """Return the path of an image: of the table, the row, the column, and its own name."""
        if column not in self._inner:
            name = value.get("path") if isinstance(value, dict) else value
            return self._finder.nearest(self.path, name) if isinstance(name, str) else None
        if place is not None:
            value = value[place] if isinstance(value, list) and place < len(value) else None
        name = value.get("path") if isinstance(value, dict) else None
        inner = f"{self.path}/{row:07d}/{column.replace('/', '_')}"
        if place is not None:
            return f"{inner}/{place}"
        if isinstance(name, str) and (bare := name.replace("\\", "/").rpartition("/")[2]):
            return f"{inner}/{bare[:_PATH_PARTS]}"
        return inner

    def cell(self, rest: str) -> tuple[int, Cell] | None:
        """Return which row and image a path means, of which the table's own is taken off."""
        row, _, more = rest.partition("/")
        column, _, last = more.partition("/")
        if not row.isdecimal() or not 0 < int(row) <= self.row_count:
            return None
        for name in self._inner:
            if name.replace("/", "_") == column:
                several = self.columns[name].kind == Kind.IMAGES
                if several and not last.isdecimal():
                    return None
                return int(row), (name, int(last) if several else None)
        return None

    def _batches(
        self, leaves: Sequence[str], first_group: int, most_rows: int
    ) -> Iterator[pa.RecordBatch]:
        file = self._open()
        groups = range(first_group, file.metadata.num_row_groups)
        row_bytes = 1.0
        for group in groups:
            meta = file.metadata.row_group(group)
            size = sum(
                meta.column(at).total_uncompressed_size
                for at, leaf in enumerate(self._leaves)
                if leaf in leaves
            )
            row_bytes = max(row_bytes, size / max(1, meta.num_rows))
        for group in groups:  # one by one, so that damage in one costs no row of another
            yield from file.iter_batches(
                batch_size=max(1, min(most_rows, int(_BATCH_BYTES / row_bytes))),
                row_groups=[group],
                columns=list(leaves),
                use_threads=False,
            )

    def _open(self) -> pq.ParquetFile:
        with self._tree.open(self.path) as file:
            size = self._tree.size(self.path)
            start = file.read(4)
            file.seek(max(0, size - 8))
            end = file.read(8)
        if size < 12 or start != _MAGIC or end[4:] != _MAGIC:
            raise TableError("it is no parquet file, or not whole")
        if int.from_bytes(end[:4], "little") > _MAX_FOOTER_BYTES:
            raise TableError(f"its description has more than {_MAX_FOOTER_BYTES} bytes")
        with _damage_named():
            # Of a column, a buffer is held then, and not all that a group has of it.
            file_ = pq.ParquetFile(
                pa.PythonFile(self._tree.open(self.path), mode="r"),
                buffer_size=_BUFFER_BYTES,
                pre_buffer=False,
            )
            if len(file_.schema.names) > _MAX_COLUMNS:
                raise TableError(f"it has more than {_MAX_COLUMNS} columns")
            return file_


@contextmanager
def _damage_named() -> Iterator[None]:
    """Turn what the reader raises on damaged bytes into a `TableError`."""
    try:
        yield
    except (pa.ArrowException, ValueError, OSError, OverflowError, MemoryError) as error:
        text = str(error).split("\n", maxsplit=1)[0]
        raise TableError(shorten(text) or type(error).__name__) from error


def _names(schema: pa.Schema) -> Names:
    """Return the names of classes that the hub's library wrote into the file."""
    try:
        said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return names_of_json(said["info"]["features"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _images(file: pq.ParquetFile, schema: pa.Schema) -> dict[str, str]:
    """Return where the bytes of images are, by their columns."""
    found = {}
    for field in schema:
        type_ = field.type.value_type if _is_list(field.type) else field.type
        if not _is_image(type_) and not _is_binary(type_):
            continue
        end = "" if _is_binary(type_) else ".bytes"
        leaves = [file.schema.column(at).path for at in range(len(file.schema.names))]
        leaf = next(
            (one for one in leaves if _column_of(one, [field.name]) and one.endswith(end)), ""
        )
        start = _start(file, leaf, field.name)
        # Bytes may be text, or a picture of a kind that is found to be none later.
        if leaf and start is not None and (end or is_image(start)):
            found[field.name] = leaf
    return found


def _start(file: pq.ParquetFile, leaf: str, column: str) -> bytes | None:
    """Return how the first image of a column begins; None if none of the first rows has one."""
    if not file.metadata.num_row_groups:
        return None
    for batch in file.iter_batches(batch_size=8, row_groups=[0], columns=[leaf]):
        for value in batch.column(column):
            for _, content in _cells(column, value):
                return bytes(content[:16])
        return None
    return None


def _bytes_of(array: pa.Array) -> pa.Array:
    """Return the bytes of structs, of which each single one would take time to be made."""
    return array.field("bytes") if pa.types.is_struct(array.type) else array


def _cells(name: str, value: pa.Scalar) -> Iterator[tuple[Cell, memoryview]]:
    """Yield the images of a value with their bytes; those that are missing are left out."""
    if isinstance(value, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar):
        for place, one in enumerate(value.values or ()):
            for _, content in _cells(name, one):
                yield (name, place), content
        return
    if isinstance(value, pa.StructScalar):
        value = value.get("bytes") if value.is_valid else None
    if value is not None and value.is_valid:
        yield (name, None), memoryview(value.as_buffer())


def _column_of(leaf: str, columns: Sequence[str]) -> bool:
    return any(leaf == name or leaf.startswith(f"{name}.") for name in columns)


def _is_list(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(type_)
        or pa.types.is_large_list(type_)
        or pa.types.is_fixed_size_list(type_)
    )


def _is_image(type_: pa.DataType) -> bool:
    at = type_.get_field_index("bytes") if pa.types.is_struct(type_) else -1
    return at >= 0 and _is_binary(type_.field(at).type)


def _is_binary(type_: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type_) or pa.types.is_large_binary(type_))
