"""Open Images: tables of boxes, masks and labels of images, beside the images.

    train/0a1b2c3d4e5f6071.jpg
    train-annotations-bbox.csv
    train-annotations-object-segmentation.csv
    train-masks/0a1b2c3d4e5f6071_m011k07_5a6b7c8d.png
    class-descriptions-boxable.csv

Any of the tables may be there, under any names; they are known by their columns. A table, or a
folder around it, that is named for a split is that split. `class-descriptions` gives the names of
classes; without it they keep their identifiers.

Boxes are fractions of the image's sides. A mask is a picture that is black outside of the object;
if there is a box of the same class and place, both are one object. Groups (`IsGroupOf`) are crowds.
Labels of a whole image count if people verified them (confidence 1). An image that has such labels
only is not labeled for boxes.

Format: https://storage.googleapis.com/openimages/web/download_v7.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from common.data.formats import mask_pixels, tables
from common.data.formats.coco_outlines import number
from common.data.formats.finding_files import Finder, split_in
from common.data.formats.open_images_tables import Kind, Row, Table, inspect, is_identifier
from common.data.formats.pictures import Picture, Pictures, Read, Shape
from common.data.images import ImageError
from common.masks import rle
from common.masks.outlines import Outline
from common.names import shorten
from common.objects.drafts import check_object_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree
    from common.objects.annotation import Box

# Of a box in two tables, as they round it.
_DECIMALS = 4
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_SIDES_OF_MASK = ("boxxmin", "boxymin", "boxxmax", "boxymax")


class OpenImages(Pictures):
    """The layout above."""

    name = "open_images"
    description = (
        "the .csv tables of Open Images, with columns such as ImageID, LabelName and XMin, beside "
        "the images"
    )
    layout = "train/0a1b2c3d4e5f6071.jpg\ntrain-annotations-bbox.csv\nclass-descriptions.csv"
    detected = (
        "A .csv file has the columns ImageID, Source, LabelName and Confidence, or MaskPath, "
        "ImageID and LabelName."
    )
    kept = "Boxes, masks, groups as crowds, truncated objects, and verified labels of images."
    dropped = (
        "Labels that nobody verified, classes that an image is said not to show, relations, and "
        "whether an object is occluded, depicted or seen from inside."
    )

    def detect(self, tree: Tree) -> str | None:
        """Say so if a table has the columns."""
        for path in tables.table_paths(tree):
            table = inspect(tree, path)
            if table is not None and table.kind != Kind.NAMES:
                return f"{path} has the columns of Open Images"
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Read:
        """Put together what all tables say of each image; masks are decoded as they are taken."""
        found: list[Table] = []
        for path in tables.table_paths(tree):
            table = inspect(tree, path)
            if table is None:
                report.add("TABLES_IGNORED", path)
            else:
                found.append(table)
        if all(table.kind == Kind.NAMES for table in found):
            raise self.nothing(tree)
        masked = any(table.kind == Kind.MASKS for table in found)
        reader = _Reader(tree, report, max_records, masked=masked)
        # Boxes before masks, which may be of the same objects.
        for kind in (Kind.NAMES, Kind.LABELS, Kind.BOXES, Kind.MASKS):
            for table in found:
                if table.kind == kind:
                    reader.add(table)
        return Read(reader.pictures(), others=reader.mask_paths)


class _Masked(NamedTuple):
    """A shape, and the picture in which it is drawn."""

    shape: Shape
    mask: str


@dataclass(slots=True)
class _Image:
    """What tables say of an image."""

    picture: Picture
    masks: list[_Masked] = field(default_factory=list)
    # Boxes without a mask, by class and place.
    boxes: dict[tuple[str, Box], Shape] = field(default_factory=dict)


class _Reader:
    """Reads one table after the other.

    Attributes:
        mask_paths: Pictures of objects that tables name.
    """

    def __init__(self, tree: Tree, report: Report, max_records: int, *, masked: bool) -> None:
        self._masked = masked  # or else nobody will look for boxes by their place
        self.mask_paths: set[str] = set()
        self._tree = tree
        self._report = report
        self._max_records = max_records
        self._finder = Finder(tree)
        self._names: dict[str, str] = {}
        self._unnamed: set[str] = set()
        self._images: dict[tuple[str, Subset | None], _Image] = {}
        self._object_count = 0

    def add(self, table: Table) -> None:
        """Read a table."""
        if table.kind == Kind.NAMES:
            for row in table.rows(self._tree):
                name = row.cell("displayname")
                if name:
                    self._names.setdefault(row.cell("labelname"), name)
            return
        split = split_in(table.path)
        written, image = "", None
        for row in table.rows(self._tree):
            # Rows of an image come together, most often.
            if row.cell("imageid") != written:
                written = row.cell("imageid")
                image = self._image(table, written, split)
            where = f"{table.path}, row {row.number}"
            if image is None:
                self._report.add("LISTED_FILES_MISSING", f"{where}: {shorten(written)}")
            elif table.kind == Kind.LABELS:
                self._add_label(row, image, where)
            else:
                image.picture.labeled = True
                self._object_count += 1
                check_object_count(self._object_count, where)
                self._add_shape(table, row, image, where)

    def pictures(self) -> Iterator[Picture]:
        """Yield each image once; among the first there is one of each kind, if there is any."""
        left = sorted(self._images.values(), key=lambda one: bool(one.picture.tags))
        masked = next((at for at, one in enumerate(left) if one.masks), None)
        if masked is not None:
            left.append(left.pop(masked))
        self._images.clear()
        while left:
            image = left.pop()
            for shape, path in image.masks:
                shape.outline = self._outline(path)
            yield image.picture

    def _image(self, table: Table, written: str, split: Subset | None) -> _Image | None:
        path = self._finder.nearest(table.path, written, split)
        if path is None:
            return None
        known = self._images.get((path, split))
        if known is None:
            tables.check_row_count(len(self._images) + 1, self._max_records, table.path)
            picture = Picture(path, table.path, split=split, normalized=True, labeled=False)
            known = self._images[path, split] = _Image(picture)
        return known

    def _add_label(self, row: Row, image: _Image, where: str) -> None:
        confidence = number(row.cell("confidence"))
        if confidence == 0:
            self._report.add("LABELS_ABSENT", where)
        elif confidence != 1 or row.cell("source").lower() == "machine":
            self._report.add("LABELS_UNVERIFIED", where)
        else:
            name = self._name(row, where)
            if name not in image.picture.tags:
                image.picture.tags.append(name)

    def _add_shape(self, table: Table, row: Row, image: _Image, where: str) -> None:
        masked = table.kind == Kind.MASKS
        box = _box(row, _SIDES_OF_MASK if masked else _SIDES)
        path = self._mask(table, row, where) if masked else None
        if box is None and path is None:
            self._report.add("BOXES_UNREADABLE", where)
            image.picture.dropped += 1
            return
        name = self._name(row, where)
        key = (name, _rounded(box)) if box and self._masked else None
        if path is not None and key in image.boxes:
            # Of objects with the same box, each mask is that of another.
            image.masks.append(_Masked(image.boxes.pop(key), path))
            return
        of_other = table.path != image.picture.source
        shape = Shape(
            name,
            f"row {row.number} of {table.path}" if of_other else f"row {row.number}",
            box,
            crowd=row.marked("isgroupof"),
            truncated=row.marked("istruncated"),
        )
        image.picture.shapes.append(shape)
        if path is not None:
            image.masks.append(_Masked(shape, path))
        elif key is not None and not masked:
            image.boxes.setdefault(key, shape)

    def _mask(self, table: Table, row: Row, where: str) -> str | None:
        written = row.cell("maskpath")
        path = self._finder.nearest(table.path, written)
        if path is None:
            self._report.add("LISTED_FILES_MISSING", f"{where}: {shorten(written)}")
        else:
            self.mask_paths.add(path)
        return path

    def _outline(self, path: str) -> Outline | None:
        try:
            pixels = mask_pixels.read(self._tree, path).array
        except ImageError as error:
            self._report.add("OBJECT_MASKS_UNREADABLE", f"{path}: {error}")
            return None
        return Outline(rle=rle.encode(pixels.max(axis=2) if pixels.ndim == 3 else pixels))

    def _name(self, row: Row, where: str) -> str:
        written = row.cell("labelname")
        name = self._names.get(written)
        if name is None and is_identifier(written) and written not in self._unnamed:
            self._unnamed.add(written)
            self._report.add("CLASSES_GUESSED", f"{where}: {shorten(written)}")
        return name or written


def _box(row: Row, columns: Sequence[str]) -> Box | None:
    sides = [side for column in columns if (side := number(row.cell(column))) is not None]
    if len(sides) < 4:
        return None
    xmin, ymin, xmax, ymax = sides
    return xmin, ymin, xmax, ymax


def _rounded(box: Iterable[float]) -> Box:
    xmin, ymin, xmax, ymax = (round(side, _DECIMALS) for side in box)
    return xmin, ymin, xmax, ymax
