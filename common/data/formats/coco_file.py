"""One COCO JSON file: its images, its categories, and the objects with boxes and outlines."""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common.data.formats import coco_outlines, tables
from common.data.formats.finding_files import split_in
from common.data.formats.json_parts import JsonError, parts
from common.names import shorten
from common.objects.drafts import DraftObject, check_object_count, check_outline_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree
    from common.masks.outlines import Outline
    from common.objects.annotation import Box

Id = int | str
"""Of an image or a category; a text of digits is the same as their number."""

_LARGEST_SIDE = 1 << 20
_NOWHERE = (math.nan, math.nan, math.nan, math.nan)
# Areas this close are the same but for rounding; an outline this much smaller than its box is not.
_SAME_AREA = 1e-3
_SMALLER = 0.95


@dataclass(slots=True)
class Image:
    """An image as a file lists it.

    Attributes:
        written: Its path, name or URL.
        width: In pixels, 0 if the file does not say.
        height: The same.
        objects: Labels are places in `CocoFile.category_ids` until `CocoFile.label`.
        dropped: How many more objects could not be read.
    """

    written: str
    width: int
    height: int
    objects: list[DraftObject] = field(default_factory=list)
    dropped: int = 0


@dataclass(slots=True)
class CocoFile:
    """What a file says.

    Attributes:
        path: In the archive.
        split: As its name, or a folder's that it is in, says.
        categories: Names by id, in the order of the ids.
        images: By id.
        shared: What images are called that share their id with another; they are not in `images`.
        category_ids: Of objects, each at the place that is its objects' label.
        outline_bytes: What the outlines take in memory, about.
    """

    path: str
    split: Subset | None
    categories: dict[Id, str]
    images: dict[Id, Image]
    shared: list[str]
    category_ids: list[Id | None]
    outline_bytes: int = 0

    def label(self, index_of: Mapping[str, int], report: Report) -> None:
        """Turn labels into indices of classes; leave out objects whose category has no name."""
        labels = [
            index_of[self.categories[category]] if category in self.categories else None
            for category in self.category_ids
        ]
        if None not in labels:
            for image in self.images.values():
                for one in image.objects:
                    one.label = labels[one.label] or 0
            return
        for image in self.images.values():
            kept = []
            for one in image.objects:
                label = labels[one.label]
                if label is None:
                    category = shorten(str(self.category_ids[one.label]))
                    where = f"{self.path}, {one.where}: category {category}"
                    report.add("BOXES_OF_UNKNOWN_CLASS", where)
                else:
                    one.label = label
                    kept.append(one)
            image.dropped += len(image.objects) - len(kept)
            image.objects = kept


def read_file(
    tree: Tree,
    path: str,
    report: Report,
    *,
    max_images: int,
    before: Sequence[CocoFile] = (),
    outlines: bool = False,
) -> CocoFile:
    """Read a file; report what is odd about it.

    Args:
        tree: Where it is.
        path: Its path.
        report: Told.
        max_images: How many images a file may list.
        before: The files that were read already, whose objects count to the most that may be.
        outlines: Whether to keep those of objects, and not only boxes.

    Raises:
        JsonError: It cannot be read.
        InvalidInput: It lists too many images or objects, or too long outlines.
    """
    reader = _Reader(path, report, max_images, before, outlines=outlines)
    listed = set()
    for key, place, value in parts(tree, path):
        listed.add(key)
        if place is None or place < 0:
            continue
        if key == "images":
            reader.add_image(value, place)
        elif key == "categories":
            reader.add_category(value)
        elif key == "annotations":
            reader.add_annotation(value, place)
    missing = sorted({"images", "annotations", "categories"} - listed)
    if missing:
        raise JsonError(f"it has no list {missing[0]}")
    return reader.finish()


class _Reader:
    """Takes in the lists of a file, in whatever order they come."""

    def __init__(
        self,
        path: str,
        report: Report,
        max_images: int,
        before: Sequence[CocoFile],
        *,
        outlines: bool,
    ) -> None:
        self._path = path
        self._report = report
        self._max_images = max_images
        self._object_count = sum(
            len(image.objects) for file in before for image in file.images.values()
        )
        self._outlines = outlines
        self._bytes_before = sum(file.outline_bytes for file in before)
        self._outline_bytes = 0
        self._images: dict[Id, Image] = {}
        self._shared: dict[Id, list[str]] = {}
        self._categories: dict[Id, str] = {}
        self._category_ids: dict[Id | None, int] = {}
        # Objects by the id of their image, with how many of each could not be read.
        self._objects: dict[Id, list[DraftObject]] = defaultdict(list)
        self._dropped: dict[Id, int] = defaultdict(int)

    def add_image(self, value: Any, place: int) -> None:
        """Take in an element of the list of images."""
        tables.check_row_count(
            len(self._images) + 1, self._max_images, self._path, "annotation files"
        )
        value = value if isinstance(value, dict) else {}
        key = _id(value.get("id"))
        written = next(
            (
                name
                for field_name in ("file_name", "path", "coco_url")
                if isinstance(name := value.get(field_name), str) and name.strip()
            ),
            None,
        )
        if key is None or written is None:
            where = f"{self._path}, image {shorten(str(value.get('id', f'at place {place + 1}')))}"
            lacking = "id" if key is None else "file_name"
            self._report.add("LISTED_FILES_MISSING", f"{where}: without {lacking}")
            return
        known = self._images.get(key)
        if known is None:
            self._images[key] = Image(
                written, _side(value.get("width")), _side(value.get("height"))
            )
        elif known.written == written:
            self._report.add("ROWS_REPEATED", f"{self._path}, image {shorten(str(key))}: {written}")
        else:
            self._shared.setdefault(key, [known.written]).append(written)

    def add_category(self, value: Any) -> None:
        """Take in an element of the list of categories."""
        value = value if isinstance(value, dict) else {}
        key = _id(value.get("id"))
        if key is None:
            return
        name = value.get("name")
        name = unicodedata.normalize("NFC", str(name if name is not None else "").strip())
        name = name.encode(errors="replace").decode()  # JSON allows half characters
        if not name:
            name = str(key)
            self._report.add("CLASSES_GUESSED", f"{self._path}: {shorten(name)}")
        if len(name) > tables.MAX_LABEL_LENGTH:
            raise JsonError(
                f"the name of category {shorten(str(key))} has {len(name)} characters; at most "
                f"{tables.MAX_LABEL_LENGTH} are allowed"
            )
        if self._categories.setdefault(key, name) != name:
            raise JsonError(
                f"category {shorten(str(key))} is both {shorten(self._categories[key])!r} and "
                f"{shorten(name)!r}"
            )

    def add_annotation(self, value: Any, place: int) -> None:
        """Take in an element of the list of annotations."""
        value = value if isinstance(value, dict) else {}
        name = value.get("id")
        where = f"annotation {shorten(str(f'at place {place + 1}' if name is None else name))}"
        image = _id(value.get("image_id"))
        if image is None:
            where = f"{self._path}, {where}: without image_id"
            self._report.add("ANNOTATIONS_WITHOUT_IMAGE", where)
            return
        try:
            box, outline = self._shape(value)
        except coco_outlines.OutlineError as error:
            self._report.add("OUTLINES_UNREADABLE", f"{self._path}, {where}: {error}")
            self._dropped[image] += 1
            return
        if box is None and not self._outlines:
            self._report.add("BOXES_UNREADABLE", f"{self._path}, {where}")
            self._dropped[image] += 1
            return
        self._object_count += 1
        check_object_count(self._object_count, f"{self._path}, {where}")
        if outline is not None:
            self._outline_bytes += outline.byte_count
            held = self._bytes_before + self._outline_bytes
            check_outline_bytes(held, f"{self._path}, {where}")
        area = coco_outlines.number(value.get("area"))
        if not self._outlines and box and _is_of_box(area, box, value.get("segmentation")):
            self._report.add("AREAS_OF_BOXES", f"{self._path}, {where}")
        category = _id(value.get("category_id"))
        self._objects[image].append(
            DraftObject(
                label=self._category_ids.setdefault(category, len(self._category_ids)),
                box=box or _NOWHERE,
                where=where,
                crowd=_flag(value.get("iscrowd")),
                difficult=_flag(value.get("difficult")) or _flag(value.get("ignore")),
                truncated=_flag(value.get("truncated")),
                area=area,
                outline=outline,
                boxed=_box(value.get("bbox")) is not None,
            )
        )

    def _shape(self, value: dict[str, Any]) -> tuple[Box | None, Outline | None]:
        """Return the box of an object, that of the outline if it has none, and the outline."""
        box, drawn = _box(value.get("bbox")), value.get("segmentation")
        if not self._outlines:
            return box or coco_outlines.bounds(drawn), None
        outline = coco_outlines.read(drawn)
        if box is None and outline is not None:
            box = outline.bounds()
        return box, outline

    def finish(self) -> CocoFile:
        """Give each object to its image."""
        for key, names in self._shared.items():
            del self._images[key]
            where = f"{self._path}, image {shorten(str(key))}"
            self._report.add("IMAGE_IDS_REPEATED", (f"{where}: {name}" for name in names))
        for key in self._objects.keys() | self._dropped.keys():
            objects, dropped = self._objects.get(key, []), self._dropped.get(key, 0)
            image = self._images.get(key)
            if image is not None:
                image.objects, image.dropped = objects, dropped
            elif key not in self._shared:
                examples = [
                    f"{self._path}, {one.where}: image {shorten(str(key))}" for one in objects
                ]
                if examples:
                    self._report.add("ANNOTATIONS_WITHOUT_IMAGE", examples)
        return CocoFile(
            self._path,
            split_in(self._path),
            {key: self._categories[key] for key in sorted(self._categories, key=_order)},
            self._images,
            [name for names in self._shared.values() for name in names],
            list(self._category_ids),
            self._outline_bytes,
        )


def _order(key: Id) -> tuple[bool, int, str]:
    return (False, key, "") if isinstance(key, int) else (True, 0, key)


def _id(value: Any) -> Id | None:
    """Return an id; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        value = value.strip()
        plain = value.isascii() and value.isdigit() and len(value) < 20
        return int(value) if plain and str(int(value)) == value else value or None
    return value if isinstance(value, int) else None


def _side(value: Any) -> int:
    side = coco_outlines.number(value)
    return int(side) if side is not None and 0 < side < _LARGEST_SIDE else 0


def _flag(value: Any) -> bool:
    return bool(coco_outlines.number(value)) or value is True


def _box(value: Any) -> Box | None:
    """Return the box of x, y, width and height; None if these are not four numbers."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    numbers = [side for each in value if (side := coco_outlines.number(each)) is not None]
    if len(numbers) != 4:
        return None
    x, y, width, height = numbers
    return x, y, x + width, y + height


def _is_of_box(area: float | None, box: Box, outline: Any) -> bool:
    """Whether an area is that of the box although a polygon says that the object has a smaller."""
    of_box = (box[2] - box[0]) * (box[3] - box[1])
    if area is None or not abs(area - of_box) <= _SAME_AREA * of_box:
        return False
    of_polygon = coco_outlines.polygon_area(outline)
    return of_polygon is not None and of_polygon < _SMALLER * of_box
