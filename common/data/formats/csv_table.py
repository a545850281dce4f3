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

import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from common.data.formats import Format, Reading, Record, check_class_count, tables
from common.data.formats.finding_files import Finder, splits_by_folder
from common.data.formats.image_folder import SUBSET_OF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree

# Detection looks at this many rows; the first may be of images that were left away.
_SAMPLE_ROWS = 20_000


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
    layout = """labels.csv          file,label,split
images/1.jpg        images/1.jpg,cat,train
images/2.jpg        images/2.jpg,dog,test"""
    detected = (
        "A .csv or .tsv table with a column for the file and one for the label, which names images."
    )
    kept = (
        "File, label and split; all further columns, to group images by; splits by the names of "
        "tables and folders."
    )
    dropped = "Rows without a label."

    def detect(self, tree: Tree) -> str | None:
        """Say so if a table has the columns and names images of the archive."""
        finder = Finder(tree)
        for path in tables.table_paths(tree):
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
        finder = Finder(tree)
        fitting = tables.fitting(
            tree,
            lambda path: _inspect(tree, path, finder),
            report,
            columns="file and label",
            needs=f"{self.name} needs {self.description}",
        )
        rows = _Rows(max_records)
        for table in fitting:
            _collect(tree, table, finder, rows, report)
        classes = sorted(rows.labels)
        index_of = {label: index for index, label in enumerate(classes)}
        listed = {file for file, _, _ in rows.columns}
        report.add("IMAGES_NOT_LISTED", (path for path in tree.images if path not in listed))
        by_folder = {} if any(split for _, _, split in rows.columns) else splits_by_folder(listed)
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
        self._budget = tables.ColumnBudget()

    def add(
        self, file: str, label: str, split: Subset | None, columns: dict[str, str], where: str
    ) -> bool:
        """Keep a row, and return whether it is new."""
        key = (file, self.labels.setdefault(label, label), split)
        check_class_count(len(self.labels), where)
        if key in self.columns:
            return False
        tables.check_row_count(len(self.columns) + 1, self._max_rows, where)
        self._budget.spend(columns, where)
        self.columns[key] = columns
        return True


def _collect(tree: Tree, table: _Table, finder: Finder, rows: _Rows, report: Report) -> None:
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
        elif not label:
            report.add("ROWS_WITHOUT_LABEL", f"{where}: {row[table.file]}")
        else:
            tables.check_label(label, where)
            split = subset_of_table
            if table.split is not None and row[table.split].strip():
                split = tables.subset(row[table.split].strip(), where)
            columns = {
                names[place]: cell
                for place, cell in enumerate(row)
                if place in names and place not in used
            }
            if not rows.add(file, label, split, columns, where):
                report.add("ROWS_REPEATED", f"{where}: {row[table.file]}")


def _inspect(tree: Tree, path: str, finder: Finder) -> _Table | None:
    """Find out how a table is written; None if it has no columns for file and label."""
    tables.check_size(tree, path)
    encoding = tables.encoding_of(tree, path)
    for delimiter in tables.DELIMITERS:
        first = next(tables.rows(tree, path, encoding, delimiter), [])
        names = [cell.strip().lower() for cell in first]
        file = tables.place(names, tables.FILE_COLUMNS)
        label = tables.place(names, tables.LABEL_COLUMNS)
        if file is not None and label is not None:
            header = [cell.strip() for cell in first]
            split = tables.place(names, tables.SPLIT_COLUMNS)
            return _Table(path, encoding, delimiter, header, file, label, split)
        if len(first) == 2 and finder.find(path, first[0]):
            return _Table(path, encoding, delimiter, None, 0, 1, None)
    return None


def _rows(tree: Tree, table: _Table) -> Iterator[list[str]]:
    rows = tables.rows(tree, table.path, table.encoding, table.delimiter)
    if table.header:
        next(rows)
    return rows
