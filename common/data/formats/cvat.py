"""CVAT's own XML: `CVAT for images 1.1` and `CVAT for video 1.1`.

    annotations.xml                 annotations.xml
    images/1.jpg                    images/frame_000000.PNG
    images/Train/2.jpg              images/frame_000001.PNG

An `<image>` has boxes, polygons, ellipses, masks and tags; its subset says the split. Boxes that
are drawn turned become the upright ones around them, ellipses polygons; outlines of one class and
one group are one object. Of a video, a `<track>` has a shape for each frame that shows it, and
every frame in the archive is a picture. Points, lines, cuboids and skeletons are left out.

Attributes of objects are not read, but those called difficult, truncated and crowd; attributes of
tags are kept for `SplitConfig.group_by`.

Format: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.data.formats import cvat_shapes, tables
from common.data.formats.cvat_file import XmlError, parts
from common.data.formats.finding_files import Finder
from common.data.formats.image_folder import SUBSET_OF
from common.data.formats.pictures import Picture, Pictures, Read, Shape
from common.data.formats.pictures_shapes import joined
from common.data.tree import suffix
from common.names import shorten
from common.objects.drafts import check_object_count, check_outline_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree

_START = re.compile(rb"<annotations[\s/>]")
_START_BYTES = 4096
_FRAME = re.compile(r"frame_(\d+)")
_MAX_SIDE = 1 << 20
_MOST_NAMES = 10_000
_MAX_NAME_LENGTH = 1024

Grouped = tuple[str | None, Shape]


class Cvat(Pictures):
    """The layout above."""

    name = "cvat"
    description = (
        "an annotations.xml of CVAT (CVAT for images 1.1, or CVAT for video 1.1), beside the "
        "folder images that is exported with it"
    )
    layout = "annotations.xml\nimages/1.jpg\nimages/Train/2.jpg"
    detected = "An XML file whose root is <annotations>."
    kept = (
        "Boxes, polygons, ellipses, masks, groups, tracks of videos, tags with their attributes, "
        "subsets, and the attributes difficult, truncated and crowd."
    )
    dropped = (
        "Points, lines, cuboids and skeletons; other attributes of objects; the rotation of boxes, "
        "which become the upright boxes around them."
    )

    def detect(self, tree: Tree) -> str | None:
        """Say so if an XML file begins as CVAT's do."""
        path = next(_paths(tree), None)
        return path and f"{path} is of CVAT"

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Read:
        """Read every file; one that breaks off is left out whole."""
        finder = Finder(tree)
        budget = _Budget(max_records)
        pictures: list[Picture] = []
        classes: dict[str, None] = {}
        broken = []
        paths = list(_paths(tree))
        for path in paths:
            file = _File(tree, path, finder, report, budget)
            try:
                for parent, element in parts(tree, path, "annotations"):
                    file.add(parent, element)
            except XmlError as error:
                broken.append(f"{path} {error}")
                continue
            pictures += file.finish()
            classes.update(file.classes)
        if len(broken) == len(paths):
            raise self.nothing(tree, broken[0] if broken else "")
        report.add("ANNOTATION_FILES_UNREADABLE", broken)
        return Read(pictures, list(classes))


def _paths(tree: Tree) -> Iterator[str]:
    for path in tree.files:
        if suffix(path) == ".xml":
            with tree.open(path) as file:
                if _START.search(file.read(_START_BYTES)):
                    yield path


class _Budget:
    """What all files together may hold in memory."""

    def __init__(self, max_pictures: int) -> None:
        self._max_pictures = max_pictures
        self._pictures = 0
        self._shapes = 0
        self._bytes = 0

    def spend_picture(self, where: str) -> None:
        self._pictures += 1
        tables.check_row_count(self._pictures, self._max_pictures, where, "annotation files")

    def spend(self, shape: Shape, where: str) -> None:
        self._shapes += 1
        check_object_count(self._shapes, where)
        if shape.outline is not None:
            self._bytes += shape.outline.byte_count
            check_outline_bytes(self._bytes, where)


@dataclass(slots=True)
class _Frame:
    """What tracks and tags say of a frame of a video."""

    grouped: list[Grouped] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    dropped: int = 0


class _File:
    """Takes in the elements of a file.

    Attributes:
        classes: As it names them, in its order.
    """

    def __init__(
        self, tree: Tree, path: str, finder: Finder, report: Report, budget: _Budget
    ) -> None:
        self.classes: dict[str, None] = {}
        self._tree = tree
        self._path = path
        self._finder = finder
        self._report = report
        self._budget = budget
        self._pictures: list[Picture] = []
        self._unread: set[str] = set()
        # Of the whole file.
        self._subset = ""
        self._size = 0, 0
        # Of the image or track that is being read.
        self._open: Element | None = None
        self._number = 0
        self._grouped: list[Grouped] = []
        self._tags: list[str] = []
        self._columns: dict[str, str] = {}
        self._dropped = 0
        # Of a video, by subset and number.
        self._frames: dict[tuple[str, int], _Frame] = defaultdict(_Frame)
        self._is_video = False

    def add(self, parent: Element, element: Element | None) -> None:
        """Take in an element of an image, a track or the head of the file."""
        if parent is not self._open:
            self._open = parent
            self._number = 0
            self._grouped, self._tags, self._columns, self._dropped = [], [], {}, 0
        if parent.tag == "meta" and element is not None:
            self._add_meta(element)
        elif parent.tag == "image":
            if element is None:
                self._end_image(parent)
            else:
                self._number += 1
                self._add_to_image(parent, element)
        elif parent.tag == "track":
            self._is_video = True
            if element is not None:
                self._add_to_track(parent, element)
        elif parent.tag == "tag" and element is None:
            self._is_video = True
            frame = self._frame(parent, parent, "tag")
            if frame is not None:
                frame.tags.append(parent.get("label", ""))

    def finish(self) -> list[Picture]:
        """Return the pictures."""
        if self._is_video:
            self._add_frames()
        self._report.add(
            "ATTRIBUTES_NOT_READ", (f"{self._path}: {n}" for n in sorted(self._unread))
        )
        return self._pictures

    def _add_meta(self, element: Element) -> None:
        for label in element.iter("label"):
            name = (label.findtext("name") or "").strip()
            # Those with a parent are the points of a skeleton.
            if name and label.find("parent") is None and len(self.classes) < _MOST_NAMES:
                self.classes[name] = None
        self._subset = (element.findtext("subset") or self._subset).strip()
        size = element.find("original_size")
        if size is not None:
            self._size = _side(size.findtext("width")), _side(size.findtext("height"))

    def _add_to_image(self, image: Element, element: Element) -> None:
        label = element.get("label", "")
        where = f"image {shorten(image.get('id', '?'))}, {element.tag[:20]} {self._number}"
        if element.tag == "tag":
            self._tags.append(label)
            said = cvat_shapes.attributes(element)
            self._columns |= {f"{label}.{name}": value for name, value in said.items()}
            return
        shape = self._shape(element, label, _size(image), where)
        if shape is not None:
            self._grouped.append((element.get("group_id"), shape))

    def _shape(
        self, element: Element, label: str, size: tuple[int, int], where: str
    ) -> Shape | None:
        """Return a shape, if it can be used; else it counts as dropped."""
        shape = None
        if element.tag in cvat_shapes.USABLE:
            shape = cvat_shapes.read(element, label, size, self._path, where, self._report)
        elif element.tag in cvat_shapes.UNUSABLE:
            self._report.add("SHAPES_UNUSABLE", f"{self._path}, {where}")
        else:
            return None  # of a kind that is no shape
        if shape is None:
            self._dropped += 1
            return None
        self._budget.spend(shape, f"{self._path}, {where}")
        if len(self._unread) < _MOST_NAMES:
            self._unread.update(f"{label}.{name}" for name in cvat_shapes.unread(element))
        return shape

    def _end_image(self, image: Element) -> None:
        written, subset = image.get("name", ""), image.get("subset", self._subset).strip()
        where = f"{self._path}, image {shorten(image.get('id', '?'))}: {shorten(written)}"
        self._budget.spend_picture(where)
        file = self._find(written[:_MAX_NAME_LENGTH], subset)
        if file is None:
            self._report.add("LISTED_FILES_MISSING", where)
            return
        width, height = _size(image)
        shapes = joined(self._grouped, self._report, self._path)
        self._pictures.append(
            Picture(
                file,
                self._path,
                self._tags,
                shapes,
                SUBSET_OF.get(subset.lower()),
                width,
                height,
                dropped=self._dropped,
                columns=self._columns,
            )
        )

    def _find(self, written: str, subset: str) -> str | None:
        """Return the image of a name; the same name may be in several subsets."""
        folder = self._path.rpartition("/")[0]
        for path in (f"images/{subset}/{written}", f"images/{written}"):
            whole = f"{folder}/{path}" if folder else path
            if whole in self._tree:
                return whole
        return self._finder.nearest(self._path, written, SUBSET_OF.get(subset.lower()))

    def _add_to_track(self, track: Element, element: Element) -> None:
        if element.get("outside") == "1":
            return
        where = f"track {shorten(track.get('id', '?'))}, frame {shorten(element.get('frame', '?'))}"
        frame = self._frame(track, element, where)
        if frame is None:
            return
        shape = self._shape(element, track.get("label", ""), self._size, where)
        if shape is not None:
            frame.grouped.append((track.get("group_id"), shape))
        elif element.tag in cvat_shapes.USABLE | cvat_shapes.UNUSABLE:
            frame.dropped += 1

    def _frame(self, parent: Element, element: Element, where: str) -> _Frame | None:
        number = _whole(element.get("frame"))
        if number is None:
            self._report.add("ANNOTATIONS_WITHOUT_IMAGE", f"{self._path}, {where}")
            return None
        return self._frames[parent.get("subset", self._subset).strip(), number]

    def _add_frames(self) -> None:
        """List every frame of the archive, also those that no track shows."""
        folder = self._path.rpartition("/")[0]
        inside = f"{folder}/" if folder else ""
        files: dict[int, list[str]] = defaultdict(list)
        for path in self._tree.images:
            name = path.rpartition("/")[2].rpartition(".")[0]
            found = _FRAME.fullmatch(name) if path.startswith(inside) else None
            if found and (number := _whole(found[1])) is not None:
                files[number].append(path)
        taken = set()
        for (subset, number), frame in sorted(self._frames.items()):
            found_files = files.get(number, [])
            if len(found_files) > 1:
                found_files = [p for p in found_files if f"/{subset}/" in p.removeprefix(inside)]
            if len(found_files) != 1:
                self._report.add("LISTED_FILES_MISSING", f"{self._path}: frame {number}")
                continue
            taken.add(found_files[0])
            self._add_frame(found_files[0], subset, frame)
        for path in sorted({path for paths in files.values() for path in paths} - taken):
            self._add_frame(path, self._subset, _Frame())

    def _add_frame(self, file: str, subset: str, frame: _Frame) -> None:
        self._budget.spend_picture(f"{self._path}, {file}")
        shapes = joined(frame.grouped, self._report, self._path)
        split: Subset | None = SUBSET_OF.get(subset.lower())
        width, height = self._size
        self._pictures.append(
            Picture(
                file, self._path, frame.tags, shapes, split, width, height, dropped=frame.dropped
            )
        )


def _size(image: Element) -> tuple[int, int]:
    return _side(image.get("width")), _side(image.get("height"))


def _side(text: str | None) -> int:
    side = _whole(text)
    return side if side is not None and side < _MAX_SIDE else 0


def _whole(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
