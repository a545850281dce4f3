"""A table of file and label beside the images.

    file,label                      split,image;class;patient
    images/1.jpg,cat                ...

The table is a `.csv` or `.tsv` file; commas, semicolons, tabs and bars are told apart, and so are
UTF-8, UTF-16 and, as Excel writes it, Windows-1252. The first line names the columns, in any
order: one for the file, one for the label, perhaps one for the split. All further columns are kept,
for `SplitConfig.group_by`; tables with absurdly many are refused. A table of two columns may do
without the first line. There may be several tables, such as train.csv and test.csv: a table named
like a split is that split. If no table says the split, folders named train and test do.

A file is given by its path from the table's folder or from the top of the archive, by the end of
its path, or by its name with or without the suffix, as long as only one image is meant.
"""

from __future__ import annotations

import csv
import io
import sys
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from common.data.formats import Format, Reading, Record, check_class_count
from common.data.formats.image_folder import SUBSET_OF
from common.data.manifest import Subset
from common.data.tree import suffix
from common.errors import InvalidInput
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from common.data.findings import Report
    from common.data.tree import Tree

_FILE_COLUMNS = (
    *("file", "filename", "file_name", "filepath", "file_path", "path"),
    *("image", "image_name", "image_path", "image_file", "img", "image_id"),
)
_LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target")
_SPLIT_COLUMNS = ("split", "subset", "set", "partition")

# A million rows of a hundred characters fit; what is far larger was not meant as labels.
_MAX_TABLE_BYTES = 256 * MIB
_MAX_LABEL_LENGTH = 200
_MAX_ROW_LENGTH = MIB
# All further columns are held in memory, and written to the manifest with their names.
_MAX_COLUMN_BYTES = 256 * MIB
# Detection looks at this many rows.
_SAMPLE_ROWS = 50


@dataclass(frozen=True, slots=True)
class _Table:
    """How to read a table.

    Attributes:
        path: In the archive.
        encoding: Of the text.
        delimiter: Between columns.
        header: Names of the columns as written; None if the first line is a row.
        file: Place of the column that names the file.
        label: Place of the label.
        split: Place of the split, if there is one.
    """

    path: str
    encoding: str
    delimiter: str
    header: list[str] | None
    file: int
    label: int
    split: int | None


class CsvTable(Format):
    """The layout above."""

    name = "csv"
    description = (
        "a .csv table beside the images whose first line names the columns, file and label"
    )

    def detect(self, tree: Tree) -> str | None:
        """Say so if a table has the columns and names images of the archive."""
        finder = _Finder(tree)
        for path in _table_paths(tree):
            table = _inspect(tree, path, finder)
            if table is not None and any(
                finder.find(path, row[table.file])
                for _, row in zip(range(_SAMPLE_ROWS), _rows(tree, table), strict=False)
                if len(row) > table.file
            ):
                return f"{path} lists images and their labels"
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Label every file that a table lists."""
        finder = _Finder(tree)
        tables = []
        for path in _table_paths(tree):
            table = _inspect(tree, path, finder)
            if table is None:
                report.add("TABLES_IGNORED", path)
            else:
                tables.append(table)
        if not tables:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"There is no table with columns for file and label in the archive, which has "
                f"{tree.describe()}. The format {self.name} needs {self.description}.",
            )
        rows = _Rows(max_records)
        for table in tables:
            _collect(tree, table, finder, rows, report)
        classes = sorted(rows.labels)
        index_of = {label: index for index, label in enumerate(classes)}
        listed = {file for file, _, _ in rows.columns}
        report.add("IMAGES_NOT_LISTED", (path for path in tree.images if path not in listed))
        by_folder = {} if any(split for _, _, split in rows.columns) else _splits_by_folder(listed)
        return Reading(
            classes,
            [
                Record(file, {"label": index_of[label]}, split or by_folder.get(file), columns)
                for (file, label, split), columns in sorted(
                    rows.columns.items(),
                    key=lambda item: (item[0][0], item[0][1], item[0][2] or ""),
                )
            ],
        )


class _Rows:
    """What tables list, in bounded memory.

    Attributes:
        columns: Further columns by path, label and split. A file may be listed again under another
            label or in another split: the import then finds it to be a duplicate of itself, and
            says so.
        labels: All there are, each by itself, so that it is held once.
    """

    def __init__(self, max_rows: int) -> None:
        self.columns: dict[tuple[str, str, Subset | None], dict[str, str]] = {}
        self.labels: dict[str, str] = {}
        self._max_rows = max_rows
        self._column_bytes = 0

    def add(
        self, file: str, label: str, split: Subset | None, columns: dict[str, str], where: str
    ) -> bool:
        """Keep a row, and return whether it is new."""
        key = (file, self.labels.setdefault(label, label), split)
        check_class_count(len(self.labels), where)
        if key in self.columns:
            return False
        if len(self.columns) == self._max_rows:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"{where}: the tables list more than {self._max_rows} images. Split the archive "
                "into several data sets, or ask the operator to raise NOCODE_MAX_ARCHIVE_MEMBERS.",
                maximum=self._max_rows,
            )
        if columns:
            self._column_bytes += sys.getsizeof(columns)
            self._column_bytes += sum(len(n) + sys.getsizeof(cell) for n, cell in columns.items())
        if self._column_bytes > _MAX_COLUMN_BYTES:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"{where}: up to here, the columns other than file, label and split take more than "
                f"{_MAX_COLUMN_BYTES} bytes of memory. Leave out those that split_config.group_by "
                "will not need.",
                maximum=_MAX_COLUMN_BYTES,
            )
        self.columns[key] = columns
        return True


def _splits_by_folder(files: Iterable[str]) -> dict[str, Subset]:
    """Return the split of each file, if all lie in folders named so, some in one for train."""
    split_of = {}
    for file in files:
        named = [SUBSET_OF[name] for name in file.lower().split("/")[:-1] if name in SUBSET_OF]
        if not named:
            return {}
        split_of[file] = named[-1]
    found = set(split_of.values())
    return split_of if "train" in found and len(found) > 1 else {}


def _collect(tree: Tree, table: _Table, finder: _Finder, rows: _Rows, report: Report) -> None:
    subset_of_table = SUBSET_OF.get(PurePosixPath(table.path).stem.lower())
    used = {table.file, table.label}
    if table.split is not None:
        used.add(table.split)
    names = dict(enumerate(table.header)) if table.header else {}
    for number, cells in enumerate(_rows(tree, table), start=2 if table.header else 1):
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{table.path}, row {number}"
        row = cells + [""] * (max(used) + 1 - len(cells))
        file = finder.find(table.path, row[table.file])
        label = unicodedata.normalize("NFC", row[table.label].strip())
        if file is None:
            report.add("LISTED_FILES_MISSING", f"{where}: {row[table.file]}")
        elif len(label) > _MAX_LABEL_LENGTH:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"{where}: the label has {len(label)} characters; at most {_MAX_LABEL_LENGTH} are "
                f"allowed. It starts with {label[:50]!r}. Name the column with the class label.",
            )
        elif not label:
            report.add("ROWS_WITHOUT_LABEL", f"{where}: {row[table.file]}")
        else:
            split = subset_of_table
            if table.split is not None and row[table.split].strip():
                split = _subset(row[table.split].strip(), where)
            columns = {
                names[place]: cell
                for place, cell in enumerate(row)
                if place in names and place not in used
            }
            if not rows.add(file, label, split, columns, where):
                report.add("ROWS_REPEATED", f"{where}: {row[table.file]}")


def _subset(text: str, where: str) -> Subset:
    if text.lower() not in SUBSET_OF:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"{where}: the split is {text[:50]!r}. Write train, val or test, or leave it empty.",
        )
    return SUBSET_OF[text.lower()]


class _Finder:
    """Finds the image that a cell of a table names."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for path in tree.images:
            name = path.rpartition("/")[2]
            self._by_name[name].append(path)
            self._by_stem[name.rpartition(".")[0]].append(path)

    def find(self, table_path: str, cell: str) -> str | None:
        """Return the path of the only file that is meant, if there is one."""
        wanted = unicodedata.normalize("NFC", cell.strip().replace("\\", "/"))
        wanted = "/".join(part for part in wanted.split("/") if part not in {"", "."})
        if not wanted:
            return None
        folder = table_path.rpartition("/")[0]
        for path in (f"{folder}/{wanted}", wanted):
            if path in self._tree:
                return path
        name = wanted.rpartition("/")[2]
        candidates = self._by_name.get(name) or self._by_stem.get(name, [])
        if "/" in wanted:
            candidates = [
                path
                for path in candidates
                if path.endswith(f"/{wanted}") or path.rpartition(".")[0].endswith(f"/{wanted}")
            ]
        return candidates[0] if len(candidates) == 1 else None


def _table_paths(tree: Tree) -> list[str]:
    return [path for path in tree.files if suffix(path) in {".csv", ".tsv"}]


def _inspect(tree: Tree, path: str, finder: _Finder) -> _Table | None:
    """Find out how a table is written; None if it has no columns for file and label."""
    if tree.size(path) > _MAX_TABLE_BYTES:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"{path} has {tree.size(path)} bytes; a table may have {_MAX_TABLE_BYTES}. "
            "Leave out columns that are not needed, or split it in several tables.",
        )
    encoding = _encoding(tree, path)
    for delimiter in ",;\t|":
        first = next(_csv_rows(tree, path, encoding, delimiter), [])
        names = [cell.strip().lower() for cell in first]
        file, label = _place(names, _FILE_COLUMNS), _place(names, _LABEL_COLUMNS)
        if file is not None and label is not None:
            header = [cell.strip() for cell in first]
            split = _place(names, _SPLIT_COLUMNS)
            return _Table(path, encoding, delimiter, header, file, label, split)
        if len(first) == 2 and finder.find(path, first[0]):
            return _Table(path, encoding, delimiter, None, 0, 1, None)
    return None


def _place(names: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _encoding(tree: Tree, path: str) -> str:
    with tree.open(path) as file:
        if file.read(2) in {b"\xff\xfe", b"\xfe\xff"}:
            return "utf-16"
    with io.TextIOWrapper(tree.open(path), "utf-8") as text:
        try:
            while text.read(MIB):
                pass
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def _rows(tree: Tree, table: _Table) -> Iterator[list[str]]:
    rows = _csv_rows(tree, table.path, table.encoding, table.delimiter)
    if table.header:
        next(rows)
    return rows


def _csv_rows(tree: Tree, path: str, encoding: str, delimiter: str) -> Iterator[list[str]]:
    number = length = 0

    def lines() -> Iterator[str]:
        """Yield lines, as long as those of one row do not fill the memory."""
        nonlocal length
        while line := text.readline(_MAX_ROW_LENGTH):
            length += len(line)
            if length >= _MAX_ROW_LENGTH:
                raise csv.Error(f"a row has {_MAX_ROW_LENGTH} characters or more")
            yield line

    with io.TextIOWrapper(tree.open(path), encoding, errors="replace", newline="") as text:
        try:
            for row in csv.reader(lines(), delimiter=delimiter):
                number += 1
                length = 0
                yield row
        except (csv.Error, UnicodeError) as error:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"{path} cannot be read after row {number}: {error}. Save it as CSV anew.",
            ) from error
