"""Tables as spreadsheets and programs write them: `.csv` and `.tsv`.

Commas, semicolons, tabs and bars are told apart, and so are UTF-8, UTF-16 and, as Excel writes it,
Windows-1252.
"""

from __future__ import annotations

import csv
import io
import sys
from typing import TYPE_CHECKING, TypeVar

from common.data.formats.image_folder import SUBSET_OF
from common.data.tree import suffix
from common.errors import InvalidInput
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree

T = TypeVar("T")

DELIMITERS = ",;\t|"
FILE_COLUMNS = (
    *("file", "filename", "file_name", "filepath", "file_path", "path"),
    *("image", "image_name", "image_path", "image_file", "img", "image_id"),
)
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target")
SPLIT_COLUMNS = ("split", "subset", "set", "partition")

# A million rows of a hundred characters fit; what is far larger was not meant as labels.
MAX_TABLE_BYTES = 256 * MIB
MAX_LABEL_LENGTH = 200
# All further columns are held in memory, and written to the manifest with their names.
MAX_COLUMN_BYTES = 256 * MIB
_MAX_ROW_LENGTH = MIB


def table_paths(tree: Tree) -> list[str]:
    """Return the paths of all tables."""
    return [path for path in tree.files if suffix(path) in {".csv", ".tsv"}]


def encoding_of(tree: Tree, path: str) -> str:
    """Return the encoding of a text, as Python names it."""
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


def rows(tree: Tree, path: str, encoding: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of each row, the first included.

    Raises:
        InvalidInput: The table cannot be read any further.
    """
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


def check_size(tree: Tree, path: str) -> None:
    """Return if a table is not too large to have been meant as labels.

    Raises:
        InvalidInput: It is larger than `MAX_TABLE_BYTES`.
    """
    if tree.size(path) > MAX_TABLE_BYTES:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"{path} has {tree.size(path)} bytes; a table may have {MAX_TABLE_BYTES}. "
            "Leave out columns that are not needed, or split it in several tables.",
        )


def place(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Return the place of the first of the wanted columns that there is, in lower case."""
    return next((names.index(name) for name in wanted if name in names), None)


def subset(text: str, where: str) -> Subset:
    """Return the split that a cell says.

    Raises:
        InvalidInput: It says none.
    """
    if text.lower() not in SUBSET_OF:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"{where}: the split is {text[:50]!r}. Write train, val or test, or leave it empty.",
        )
    return SUBSET_OF[text.lower()]


def check_label(label: str, where: str) -> None:
    """Return if a cell may be the name of a class.

    Raises:
        InvalidInput: It is longer than `MAX_LABEL_LENGTH`.
    """
    if len(label) > MAX_LABEL_LENGTH:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"{where}: the label has {len(label)} characters; at most {MAX_LABEL_LENGTH} are "
            f"allowed. It starts with {label[:50]!r}. Name the column with the class label.",
        )


class ColumnBudget:
    """Bounds the memory of columns that are only kept for `group_by`, over all tables."""

    def __init__(self) -> None:
        self._bytes = 0

    def spend(self, columns: Mapping[str, str], where: str) -> None:
        """Count the cells of a row by their names.

        Raises:
            InvalidInput: With them it is more than `MAX_COLUMN_BYTES`.
        """
        if columns:
            self._bytes += sys.getsizeof(columns)
            self._bytes += sum(len(n) + sys.getsizeof(cell) for n, cell in columns.items())
        if self._bytes > MAX_COLUMN_BYTES:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"{where}: up to here, the columns other than file, label and split take more than "
                f"{MAX_COLUMN_BYTES} bytes of memory. Leave out those that split_config.group_by "
                "will not need.",
                maximum=MAX_COLUMN_BYTES,
            )


def check_row_count(count: int, maximum: int, where: str, sources: str = "tables") -> None:
    """Return if tables, or other sources, may list so many images.

    Raises:
        InvalidInput: They are more than `maximum`.
    """
    if count > maximum:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"{where}: the {sources} list more than {maximum} images. Split the archive "
            "into several data sets, or ask the operator to raise NOCODE_MAX_ARCHIVE_MEMBERS.",
            maximum=maximum,
        )


def fitting(
    tree: Tree, inspect: Callable[[str], T | None], report: Report, *, columns: str, needs: str
) -> list[T]:
    """Return what `inspect` makes of each table that has the columns that it looks for.

    Args:
        tree: The files.
        inspect: From a table's path to how to read it, or None if it lacks columns.
        report: Told of these.
        columns: What they are, for a person.
        needs: The format and how to lay out files for it, for a person.

    Raises:
        InvalidInput: No table has them.
    """
    found = []
    for path in table_paths(tree):
        table = inspect(path)
        if table is None:
            report.add("TABLES_IGNORED", path)
        else:
            found.append(table)
    if not found:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"There is no table with columns for {columns} in the archive, which has "
            f"{tree.describe()}. The format {needs}.",
        )
    return found
