"""A table of boxes beside the images, a row a box.

    filename,width,height,class,xmin,ymin,xmax,ymax         images/1.jpg,12,30,80,99,cat
    1.jpg,640,480,cat,12,30,80,99                           images/1.jpg,50,10,70,44,dog
    1.jpg,640,480,dog,50,10,70,44                           images/2.jpg,,,,,

The first line names the columns, in any order: one for the file, one for the class, and four for
the box. These are xmin, ymin, xmax, ymax (or x1, left, …), or x, y, w, h from the upper left
corner, or x_center, y_center, w, h; or a single one, bbox, as `[x, y, w, h]`. If none is for the
class, all objects are of one. There may be columns for the split, for the size of the image, and
`difficult`, `truncated`, and `iscrowd` or `IsGroupOf`. Without that first line, a row is file, x1,
y1, x2, y2, class, and perhaps the width and height of the image. A row that names a file and
nothing else says that it shows no object.

Numbers are pixels; they are fractions of the image's sides if in more than half of a table's boxes
none is greater than 1, as no box in pixels ends within the first pixel.

Further columns are kept for `SplitConfig.group_by` as long as all rows of an image agree. Tables,
splits and names of files are read as `csv_table` reads them, but `train_labels.csv` is named like
a split, too, and of several images with a fitting name, the one nearest to the table is meant.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from common.data.formats import Format, Reading, check_class_count, open_images_tables, tables
from common.data.formats.coco_outlines import number
from common.data.formats.finding_files import Finder, split_in
from common.data.formats.listing import Listing
from common.names import shorten
from common.objects.drafts import Draft, DraftObject, check_object_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree
    from common.objects.annotation import Box

_FILE = (*tables.FILE_COLUMNS, "imageid")
_LABEL = (
    *(*tables.LABEL_COLUMNS, "labelname", "label_name", "classname", "category_name", "name"),
    *("class_id", "classid", "category_id", "label_id"),
)
_XMIN = ("xmin", "x_min", "x1", "left", "bbox_x", "x")
_YMIN = ("ymin", "y_min", "y1", "top", "bbox_y", "y")
_XMAX = ("xmax", "x_max", "x2", "right")
_YMAX = ("ymax", "y_max", "y2", "bottom")
_X_CENTER = ("x_center", "xcenter", "center_x", "xc", "cx")
_Y_CENTER = ("y_center", "ycenter", "center_y", "yc", "cy")
_BOX_WIDTH = ("w", "bbox_width", "box_width", "bbox_w", "width")
_BOX_HEIGHT = ("h", "bbox_height", "box_height", "bbox_h", "height")
_BOX = ("bbox", "box", "bounding_box")
_WIDTH = ("image_width", "img_width", "width")
_HEIGHT = ("image_height", "img_height", "height")
_CROWD = ("iscrowd", "is_crowd", "crowd", "isgroupof", "is_group_of")
_DIFFICULT = ("difficult", "isdifficult", "is_difficult")
_TRUNCATED = ("truncated", "istruncated", "is_truncated")

# The class of a table without a column for it.
_ONLY_CLASS = "object"
# Detection looks for an image in this many rows; the first may be of images that were left away.
_SAMPLE_ROWS = 20_000
# A table without names of columns is told by this many.
_PLAIN_ROWS = 50
_LARGEST_SIDE = 1 << 20
# What a table may write where an image shows nothing.
_NOTHING = frozenset({"", "none", "null", "nan", "na", "n/a", "-1"})


@dataclass(frozen=True, slots=True)
class _Table:
    """How to read a table; columns are given by their places.

    Attributes:
        path: In the archive.
        encoding: Of the text.
        delimiter: Between columns.
        header: Names of the columns as written; None if the first line is a row.
        file: The image.
        label: The class; None if there is only one.
        box: The four columns of the box, or the one.
        corners: What they are: two corners, `corner` and size, or `center` and size.
        split: If there is one.
        size: Width and height of the image, if they are there.
        marks: `crowd`, `difficult` and `truncated`, those that are there.
    """

    path: str
    encoding: str
    delimiter: str
    header: list[str] | None
    file: int
    label: int | None
    box: tuple[int, ...]
    kind: str = "corners"
    split: int | None = None
    size: tuple[int, int] | None = None
    marks: dict[str, int] = field(default_factory=dict)

    @property
    def used(self) -> set[int]:
        """Places of the columns that are read."""
        places = (self.file, self.label, self.split, *self.box, *(self.size or ()))
        return {at for at in (*places, *self.marks.values()) if at is not None}

    @property
    def further(self) -> dict[int, str]:
        """Names of the other columns by their places."""
        names = dict(enumerate(self.header or ()))
        return {at: names[at] for at in sorted(names.keys() - self.used)}


class CsvBoxes(Format):
    """The layout above."""

    name = "csv_boxes"
    description = (
        "a .csv table beside the images whose first line names the columns, file, class, xmin, "
        "ymin, xmax and ymax"
    )
    layout = """boxes.csv           file,class,xmin,ymin,xmax,ymax
images/1.jpg        images/1.jpg,cat,12,30,80,99"""
    detected = "A .csv or .tsv table with columns for the file and for boxes, which names images."
    kept = (
        "Boxes in pixels or fractions, by corners, corner and size, or center and size; class; "
        "difficult, truncated, iscrowd; split; further columns, to group images by; images "
        "without an object."
    )
    dropped = "Scores, and tables without boxes."

    def detect(self, tree: Tree) -> str | None:
        """Say so if a table has the columns and names images of the archive."""
        finder = Finder(tree)
        for path in tables.table_paths(tree):
            if open_images_tables.inspect(tree, path) is not None:
                continue  # which another format reads, with all that goes with it
            table = _inspect(tree, path, finder)
            if table is not None and _names_image(tree, table, finder):
                return f"{path} lists images and boxes"
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Give every image that a table lists its objects."""
        finder = Finder(tree)
        fitting = tables.fitting(
            tree,
            lambda path: _inspect(tree, path, finder),
            report,
            columns="file and box",
            needs=f"{self.name} needs {self.description}",
        )
        reader = _Reader(tree, finder, report, max_records)
        for table in fitting:
            reader.add(table)
        classes, listing = reader.finish()
        report.add("IMAGES_NOT_LISTED", (path for path in tree.images if path not in listing))
        return Reading(classes, listing.records())


@dataclass(slots=True)
class _Listed:
    """An image in a table."""

    draft: Draft
    columns: dict[str, str]


class _Reader:
    """Reads one table after the other."""

    def __init__(self, tree: Tree, finder: Finder, report: Report, max_records: int) -> None:
        self._tree = tree
        self._finder = finder
        self._report = report
        self._max_records = max_records
        self._budget = tables.ColumnBudget()
        self._object_count = 0
        self._listing = Listing(report, max_records)
        # Classes with their labels until all are known: in the order in which they are met.
        self._labels: dict[str, int] = {}

    def add(self, table: _Table) -> None:
        """Read a table."""
        split_of_table = split_in(PurePosixPath(table.path).stem)
        further = table.further
        if table.label is None:
            others = f"; other columns are {', '.join(further.values())}" if further else ""
            self._report.add("CLASSES_GUESSED", f"{table.path}: {_ONLY_CLASS}{others}")
        listed: dict[tuple[str, Subset | None], _Listed] = {}
        small = large = 0
        for row_number, row in _rows(self._tree, table):
            where = f"{table.path}, row {row_number}"
            file = self._finder.nearest(table.path, row[table.file], split_of_table)
            if file is None:
                self._report.add("LISTED_FILES_MISSING", f"{where}: {row[table.file]}")
                continue
            split = split_of_table
            if table.split is not None and row[table.split].strip():
                split = tables.subset(row[table.split].strip(), where)
            image = self._image(table, listed, file, split, row, where, further)
            one = self._object(table, image.draft, row, row_number, where)
            if one is not None:
                image.draft.objects.append(one)
                fits = all(abs(side) <= 1 for side in one.box)
                small, large = small + fits, large + (not fits)
        for (file, split), image in listed.items():
            image.draft.normalized = small > large
            self._listing.add(file, image.draft, split, image.columns)

    def finish(self) -> tuple[list[str], Listing]:
        """Return the classes, in the order of their characters, and what was listed."""
        classes = sorted(self._labels)
        index_of = {self._labels[name]: index for index, name in enumerate(classes)}
        for record in self._listing.records():
            for one in record.annotation.objects:
                one.label = index_of[one.label]
        return classes, self._listing

    def _image(
        self,
        table: _Table,
        listed: dict[tuple[str, Subset | None], _Listed],
        file: str,
        split: Subset | None,
        row: list[str],
        where: str,
        further: dict[int, str],
    ) -> _Listed:
        columns = {name: row[at] for at, name in further.items()}
        image = listed.get((file, split))
        if image is None:
            tables.check_row_count(len(listed) + 1, self._max_records, where)
            self._budget.spend(columns, where)
            width, height = (_side(row[at]) for at in table.size) if table.size else (0, 0)
            image = _Listed(Draft(table.path, width=width, height=height), columns)
            listed[file, split] = image
        else:
            for name in [n for n, cell in image.columns.items() if columns.get(n) != cell]:
                del image.columns[name]
        return image

    def _object(
        self, table: _Table, draft: Draft, row: list[str], row_number: int, where: str
    ) -> DraftObject | None:
        """Return the object of a row; None if it has none that can be read."""
        cells = [row[at].strip() for at in table.box]
        if len(cells) == 1 and cells[0].lower() not in _NOTHING:
            cells = [cell for cell in re.split(r"[\s,;]+", cells[0].strip("[](){}")) if cell]
        label = _ONLY_CLASS if table.label is None else row[table.label].strip()
        label = unicodedata.normalize("NFC", label)
        nothing = all(cell.lower() in _NOTHING for cell in cells)
        if nothing and (table.label is None or label.lower() in _NOTHING):
            return None
        box = _box(cells, table)
        if box is None:
            self._report.add("BOXES_UNREADABLE", f"{where}: {shorten(','.join(cells))}")
        elif not label:
            self._report.add("ROWS_WITHOUT_LABEL", f"{where}: {row[table.file]}")
        else:
            tables.check_label(label, where)
            self._object_count += 1
            check_object_count(self._object_count, where)
            index = self._labels.setdefault(label, len(self._labels))
            check_class_count(len(self._labels), where)
            marks: dict[str, Any] = {name: _is_true(row[at]) for name, at in table.marks.items()}
            return DraftObject(index, box, f"row {row_number}", **marks)
        draft.dropped += 1
        return None


def _box(cells: list[str], table: _Table) -> Box | None:
    """Return the box of four cells; None if one is no number."""
    if table.delimiter != ",":
        cells = [cell.replace(",", ".") for cell in cells]
    sides = [side for cell in cells if (side := number(cell)) is not None]
    if len(sides) != 4 or len(cells) != 4:
        return None
    first, second, third, fourth = sides
    if table.kind == "corners":
        return first, second, third, fourth
    if table.kind == "center":
        first, second = first - third / 2, second - fourth / 2
    return first, second, first + third, second + fourth


def _side(cell: str) -> int:
    side = number(cell)
    return int(side) if side is not None and 0 < side < _LARGEST_SIDE else 0


def _is_true(cell: str) -> bool:
    return cell.strip().lower() in {"1", "1.0", "true", "yes"}


def _inspect(tree: Tree, path: str, finder: Finder) -> _Table | None:
    """Find out how a table is written; None if it has no columns for file and box."""
    tables.check_size(tree, path)
    encoding = tables.encoding_of(tree, path)
    for delimiter in tables.DELIMITERS:
        rows = list(itertools.islice(tables.rows(tree, path, encoding, delimiter), _PLAIN_ROWS))
        if not rows:
            return None
        table = _by_header(path, encoding, delimiter, rows[0])
        if table is not None:
            return table
        full = [row for row in rows if any(cell.strip() for cell in row)]
        width = len(full[0]) if full else 0
        if full and all(len(row) == width and _is_plain(row) for row in full):
            size = (6, 7) if width == 8 else None
            table = _Table(path, encoding, delimiter, None, 0, 5, (1, 2, 3, 4), size=size)
            if _names_image(tree, table, finder):
                return table
    return None


def _names_image(tree: Tree, table: _Table, finder: Finder) -> bool:
    rows = itertools.islice(_rows(tree, table), _SAMPLE_ROWS)
    return any(finder.nearest(table.path, row[table.file]) for _, row in rows)


def _is_plain(row: list[str]) -> bool:
    """Whether a row is file, x1, y1, x2, y2, class, perhaps with a size, or a file alone."""
    cells = [cell.strip() for cell in row[1:5]]
    numbers = any(number(cell) is not None for cell in cells)
    sized = len(row) == 8 and all(number(cell) is not None for cell in row[6:])
    return (len(row) == 6 or sized) and (numbers or not any(cells))


def _by_header(path: str, encoding: str, delimiter: str, first: list[str]) -> _Table | None:
    names = [cell.strip().lower() for cell in first]
    file, label = tables.place(names, _FILE), tables.place(names, _LABEL)
    if file is None:
        return None
    kind, box = _box_columns(names)
    if kind is None or box is None:
        return None
    width, height = tables.place(names, _WIDTH), tables.place(names, _HEIGHT)
    size = None
    if width is not None and height is not None and not {width, height} & set(box):
        size = (width, height)
    wanted = {"crowd": _CROWD, "difficult": _DIFFICULT, "truncated": _TRUNCATED}
    places = {mark: tables.place(names, columns) for mark, columns in wanted.items()}
    marks = {mark: at for mark, at in places.items() if at is not None}
    return _Table(
        path,
        encoding,
        delimiter,
        [cell.strip() for cell in first],
        file,
        label,
        box,
        kind,
        tables.place(names, tables.SPLIT_COLUMNS),
        size,
        marks,
    )


def _box_columns(names: list[str]) -> tuple[str | None, tuple[int, ...] | None]:
    """Return what the columns of the box are, and where."""
    for kind, wanted in {
        "corners": (_XMIN, _YMIN, _XMAX, _YMAX),
        "center": (_X_CENTER, _Y_CENTER, _BOX_WIDTH, _BOX_HEIGHT),
        "corner": (_XMIN, _YMIN, _BOX_WIDTH, _BOX_HEIGHT),
    }.items():
        first, second, third, fourth = (tables.place(names, columns) for columns in wanted)
        if first is not None and second is not None and third is not None and fourth is not None:
            return kind, (first, second, third, fourth)
    single = tables.place(names, _BOX)
    return ("corner", (single,)) if single is not None else (None, None)


def _rows(tree: Tree, table: _Table) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty with its number; short ones are filled up."""
    rows = tables.rows(tree, table.path, table.encoding, table.delimiter)
    if table.header:
        next(rows)
    least = max(table.used) + 1
    for row_number, cells in enumerate(rows, start=2 if table.header else 1):
        if any(cell.strip() for cell in cells):
            width = max(least, len(table.header or ()))
            yield row_number, cells + [""] * (width - len(cells))
