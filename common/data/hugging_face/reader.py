"""Data sets in the layouts of the Hugging Face hub: parquet, and images with a metadata file.

    README.md                               train/metadata.jsonl
    data/train-00000-of-00002.parquet       train/1.jpg
    data/train-00001-of-00002.parquet       train/2.jpg
    data/test-00000-of-00001.parquet        test/metadata.jsonl

What columns are is told by the request or found, as `roles` says; classes are named by the features
that the hub's library writes into parquet files or README.md. A number without a name, or a text,
is its own name; -1 and nothing mean that an image has not been labeled. How boxes are written is
found from all of them, as `boxes` says. A file named like a split, or in a folder that is, is that
split, unless README.md says which files are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.data.formats import tables
from common.data.formats.coco_outlines import OutlineError, number
from common.data.formats.csv_boxes import CsvBoxes
from common.data.formats.csv_table import CsvTable
from common.data.formats.pictures import Picture, Pictures, Read
from common.data.hugging_face import archive, boxes
from common.data.hugging_face.features import Kind
from common.data.hugging_face.objects import (
    ObjectReader,
    label_of,
    lists_of,
    numbers_of,
    outline_of,
)
from common.data.tree import suffix
from common.names import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.findings import Report
    from common.data.hugging_face.archive import Archive, Source
    from common.data.hugging_face.roles import Objects
    from common.data.tree import Tree
    from common.objects.annotation import Box

# Of images whose size no column says, so many are looked at to find out how boxes are written.
_SIZED_IMAGES = 2000
_LARGEST_SIDE = 1 << 20
_UNLABELED = frozenset({"", "-1"})
# Kept for `group_by`.
_MOST_COLUMNS = 32


class HuggingFace(Pictures):
    """The layouts above."""

    name = "hugging_face"
    description = (
        "parquet files with a column of images, or images with a metadata.jsonl or metadata.csv "
        "with a column file_name, as on the Hugging Face hub"
    )
    layout = (
        "README.md\ndata/train-00000-of-00002.parquet\ndata/train-00001-of-00002.parquet\n"
        "data/test-00000-of-00001.parquet\n\nor\n\ntrain/metadata.jsonl\ntrain/1.jpg\n"
        "test/metadata.jsonl\ntest/2.jpg"
    )
    detected = (
        "A parquet file with a column of images or of their names, or a table called "
        "metadata.jsonl or metadata.csv with a column file_name, and with what the task needs. A "
        "metadata.csv that another format can read, too, is read as that."
    )
    kept = (
        "The class of each image; objects with boxes, polygons, runs of pixels or pictures of "
        "masks; masks of pixels; names of classes in parquet files and README.md; splits; the "
        "first 32 other columns with short values, for group_by."
    )
    dropped = (
        "Long texts, captions, key points, rows without a label, other configurations than the "
        "one that is read, and archives inside."
    )

    def detect(self, tree: Tree) -> str | None:
        """Say so if a table has images in it, or names them."""
        if not any(map(archive.is_candidate, tree.files)):
            return None
        found = archive.of(tree)
        if found.sources and _is_plain_csv(tree, found):
            return None
        if found.sources:
            return f"{found.sources[0].table.path} has a row for each image"
        if found.broken:
            return f"{found.broken[0].partition(': ')[0]} seems to label images"
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Read:  # noqa: ARG002
        """Make a picture of every row."""
        found = archive.of(tree)
        if not found.sources:
            raise self.nothing(tree, found.broken[0] if found.broken else "")
        report.add("TABLES_IGNORED", found.ignored)
        for source in found.sources:
            chosen = (f"{source.table.path}: {one}" for one in source.roles.others)
            report.add("COLUMNS_CHOSEN", chosen)
        others: set[str] = set()
        return Read(_Reader(tree, found, report, others).pictures(), _classes(found), others)


def _is_plain_csv(tree: Tree, found: Archive) -> bool:
    """Whether other formats read the same tables, as they do without the name `metadata`."""
    kinds = {suffix(source.table.path) for source in found.sources}
    return kinds == {".csv"} and any(one.detect(tree) for one in (CsvTable(), CsvBoxes()))


def _classes(found: Archive) -> list[str]:
    """Return the classes that features name, in their order."""
    classes: dict[str, None] = {}
    for source in found.sources:
        label, objects = source.roles.label, source.roles.objects
        for path in ((label,) if label else None, objects.label if objects else None):
            classes.update(dict.fromkeys(source.names.get(path or (), ())))
    return list(classes)


class _Reader:
    """Makes pictures of rows."""

    def __init__(self, tree: Tree, found: Archive, report: Report, others: set[str]) -> None:
        self._tree = tree
        self._found = found
        self._report = report
        self._others = others
        self._long: dict[str, None] = {}

    def pictures(self) -> Iterator[Picture]:
        """Yield a picture for every row whose image is there."""
        box_format = self._box_format()
        objects = ObjectReader(self._tree, self._report, box_format)
        broken = list(self._found.broken)
        for source in self._found.sources:
            plain = _further(source)
            for row_number, row in archive.values(source, {*plain, *_used(source)}, broken):
                picture = self._picture(source, row_number, row)
                if picture is None:
                    continue
                picture.columns = self._columns(source, row, plain)
                found = objects.shapes(source, row_number, row)
                if found is not None:
                    picture.shapes, picture.dropped = found
                picture.labeled = found is not None or bool(picture.tags)
                picture.normalized = box_format.fractions
                yield picture
        self._report.add("CLASSES_GUESSED", objects.guessed)
        self._report.add("COLUMNS_NOT_KEPT", self._long, maximum=tables.MAX_LABEL_LENGTH)
        self._report.add("ANNOTATION_FILES_UNREADABLE", broken)

    def _picture(self, source: Source, row_number: int, row: dict[str, Any]) -> Picture | None:
        """Return an image with its tags; None if it is not there."""
        table, known = source.table, source.roles
        where = f"{table.path}, row {row_number}"
        file = table.file(row_number, known.image, row.get(known.image))
        if file is None:
            written = shorten(str(row.get(known.image)))
            self._report.add("LISTED_FILES_MISSING", f"{where}: {written}")
            return None
        if known.mask is not None:
            mask = table.file(row_number, known.mask, row.get(known.mask))
            if mask is not None and not mask.startswith(f"{table.path}/"):
                self._others.add(mask)
        picture = Picture(file, table.path, split=source.split)
        if known.size:
            picture.width, picture.height = (_side(row.get(column)) for column in known.size)
        if known.label is not None:
            value = row.get(known.label)
            names = source.names.get((known.label,), [])
            for one in value if isinstance(value, list) else [value]:
                label = (
                    "" if one is None or str(one).strip() in _UNLABELED else label_of(one, names)
                )
                if label is None:
                    self._report.add("LABELS_OUTSIDE_CLASSES", f"{where}: {shorten(str(one))}")
                elif label:
                    picture.tags.append(label)
        return picture

    def _columns(self, source: Source, row: dict[str, Any], plain: list[str]) -> dict[str, str]:
        """Return what else is said of an image, if it is short enough to be a group."""
        kept = {}
        for name in plain:
            value = row.get(name)
            text = "" if value is None else str(value)
            if len(text) > tables.MAX_LABEL_LENGTH:
                self._long[f"{source.table.path}: {name}"] = None
            elif text:
                kept[name] = text
        return kept

    def _box_format(self) -> boxes.BoxFormat:
        """Return how boxes are written, and report how that is known."""
        told = self._tree.told.get("box_format", "")
        if told:
            return boxes.named(told)
        if self._found.box_format is None:
            self._found.box_format = _find_box_format(self._tree, self._found)
        chosen, shown, unclear = self._found.box_format
        if shown:
            self._report.add("BOX_FORMAT_UNCLEAR" if unclear else "BOX_FORMAT_FOUND", shown)
        return chosen


def _find_box_format(tree: Tree, found: Archive) -> tuple[boxes.BoxFormat, str, bool]:
    """Look at all boxes of images whose size is known, and at those of some others."""
    survey = boxes.Survey()
    looked = count = 0
    has_boxes = False
    for source in found.sources:
        known = source.roles
        if known.objects is None or not (known.objects.box or known.objects.outline):
            continue
        has_boxes = has_boxes or known.objects.box is not None
        for row_number, row in archive.values(source, _used(source), []):
            numbers = _all_numbers(row, known.objects)
            if not numbers:
                continue
            width, height = (_side(row.get(one)) for one in known.size or ("", ""))
            if not (width and height):
                if looked >= _SIZED_IMAGES:
                    continue
                looked += 1
                file = source.table.file(row_number, known.image, row.get(known.image))
                width, height = archive.size_of(tree, file) if file else (0, 0)
            if width and height:
                for one in numbers:
                    survey.add(one, width, height)
                    count += 1
    chosen, shown, unclear = survey.choose()
    # Of outlines alone, it only matters whether they are fractions.
    return chosen, shown if has_boxes and count else "", unclear


def _all_numbers(row: dict[str, Any], objects: Objects) -> list[Box]:
    """Return the boxes of a row as written, or else those around its polygons."""
    lists = lists_of(row, objects)
    if objects.box is not None:
        return [one for box in lists.get("box", []) if (one := numbers_of(box)) is not None]
    found: list[Box] = []
    for value in lists.get("outline", []):
        try:
            outline = outline_of(value)
        except OutlineError:
            continue
        around = outline.bounds() if outline is not None and outline.polygons else None
        if around is not None:
            found.append(around)
    return found


def _used(source: Source) -> set[str]:
    """Return the columns that are read."""
    known = source.roles
    objects = known.objects.columns if known.objects else set()
    named = {one for one in (known.image, known.label, known.mask, *objects) if one}
    return named | set(known.size or ())


def _further(source: Source) -> list[str]:
    """Return other columns with a plain value."""
    columns = source.table.columns.values()
    used = _used(source)
    plain = [one.name for one in columns if one.kind == Kind.PLAIN and one.name not in used]
    return plain[:_MOST_COLUMNS]


def _side(value: Any) -> int:
    side = number(value)
    return int(side) if side is not None and 0 < side < _LARGEST_SIDE else 0
