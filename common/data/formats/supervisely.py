"""Projects of Supervisely, as they are downloaded: an annotation file for each image.

    meta.json
    train/img/1.jpg         val/img/2.jpg
    train/ann/1.jpg.json    val/ann/2.jpg.json

The folders that hold `img` and `ann` are data sets, perhaps one in another; those that are named
for a split are one. Classes come in the order of `meta.json`. A tag of an image is its class, but
for tags such as train and val, which say its split, and for those with a value: these are columns.
Only if there is a single tag that has values, and none without, its values are the classes.

Format: https://developer.supervisely.com/getting-started/supervisely-annotation-format. What is
drawn: `supervisely_shapes`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common.data.formats import coco_outlines
from common.data.formats.finding_files import Finder, split_in
from common.data.formats.image_folder import SUBSET_OF
from common.data.formats.json_parts import JsonError, check_size, parts
from common.data.formats.pairing import join, stem
from common.data.formats.pictures import Picture, Pictures, Read, Shape
from common.data.formats.pictures_shapes import ShapeError
from common.data.formats.supervisely_shapes import BITMAP, RECTANGLE, drawn
from common.data.tree import suffix
from common.names import shorten
from common.objects.drafts import check_object_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.findings import Report
    from common.data.tree import Tree

_START_BYTES = 1 << 16
_SAMPLE = 20
_ABOUT_IMAGES = re.compile(rb'\s*(?:\xef\xbb\xbf)?\{.*"(?:objects|size|tags)"\s*:', re.DOTALL)
_LARGEST_SIDE = 1 << 20
_TEXTS = {"any_string", "oneof_string"}
_MAX_META_BYTES = 1 << 24


class Supervisely(Pictures):
    """The layout above."""

    name = "supervisely"
    description = (
        "a Supervisely project: meta.json, and for each data set a folder with the images in img "
        "and a .json file for each of them in ann"
    )
    layout = "meta.json\ntrain/img/1.jpg\ntrain/ann/1.jpg.json"
    detected = "A .json file in a folder named ann has objects and the size of an image."
    kept = (
        "Rectangles, polygons with their holes, bitmaps; tags of images as classes, splits or "
        "columns; data sets as splits."
    )
    dropped = "Points, lines, key points, cuboids, turned boxes, and tags of objects."

    def detect(self, tree: Tree) -> str | None:
        """Say so if one of the first files in folders named `ann` is about an image."""
        for path in _paths(tree)[:_SAMPLE]:
            if _is_about_image(tree, path):
                return f"{path} lists what is drawn on an image"
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Read:
        """Read the project, then its files one by one."""
        del max_records  # counted where pictures are taken
        paths = _paths(tree)
        if not paths:
            raise self.nothing(tree)
        meta = _meta(tree, report)
        roots = {_root(path) for path in paths}
        others = {path for path in tree.images if _is_drawn(path, roots)}
        reader = _Reader(tree, meta, report)
        return Read(reader.pictures(paths), list(meta.shapes), others)


def _paths(tree: Tree) -> list[str]:
    return [p for p in tree.files if suffix(p) == ".json" and p.split("/")[-2:-1] == ["ann"]]


def _root(path: str) -> str:
    """Return the data set of an annotation file, or of an image in its folder."""
    return path.rpartition("/")[0].rpartition("/")[0]


def _is_drawn(path: str, roots: set[str]) -> bool:
    """Whether an image is a picture of labels, which may be packed beside the images."""
    return _root(path) in roots and path.count("/") > 0 and path.split("/")[-2] != "img"


def _is_about_image(tree: Tree, path: str) -> bool:
    with tree.open(path) as file:
        if not _ABOUT_IMAGES.match(file.read(_START_BYTES)):
            return False
    found = set()
    try:
        for part in parts(tree, path):
            sized = part.key == "size" and isinstance(part.value, dict)
            if sized or (part.key == "objects" and part.place is not None):
                found.add(part.key)
            if len(found) == 2:
                return True
    except JsonError:
        return False
    return False


@dataclass(slots=True)
class _Meta:
    """What a project says of its classes and tags.

    Attributes:
        shapes: Of each class, in the order of the file; perhaps empty.
        values: The kind of values of each tag.
    """

    shapes: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    @property
    def class_tag(self) -> str | None:
        """The tag whose values are classes."""
        plain = [
            name
            for name, kind in self.values.items()
            if kind == "none" and name.lower() not in SUBSET_OF
        ]
        named = [name for name, kind in self.values.items() if kind in _TEXTS]
        return named[0] if len(named) == 1 and not plain else None


def _meta(tree: Tree, report: Report) -> _Meta:
    """Read all `meta.json`, of which an archive of several projects has several."""
    meta = _Meta()
    for path in tree.files:
        if path.rpartition("/")[2] != "meta.json" or tree.size(path) > _MAX_META_BYTES:
            continue
        try:
            for part in parts(tree, path):
                one = part.value
                if not isinstance(one, dict):
                    continue
                if part.key == "classes" and isinstance(one.get("title"), str):
                    meta.shapes.setdefault(one["title"], str(one.get("shape", "")))
                elif part.key == "tags" and isinstance(one.get("name"), str):
                    meta.values.setdefault(one["name"], str(one.get("value_type", "none")))
        except JsonError as error:
            report.add("ANNOTATION_FILES_UNREADABLE", f"{path}: {error}")
    return meta


class _Reader:
    """Makes pictures of annotation files."""

    def __init__(self, tree: Tree, meta: _Meta, report: Report) -> None:
        self._tree = tree
        self._meta = meta
        self._report = report
        self._finder = Finder(tree)
        self._class_tag = meta.class_tag
        self._by_stem: dict[str, str] = {}
        for path in tree.images:
            if path.split("/")[-2:-1] == ["img"]:
                self._by_stem.setdefault(f"{_root(path)}/{stem(path)}", path)
        self._tags_of_objects: Counter[str] = Counter()

    def pictures(self, paths: list[str]) -> Iterator[Picture]:
        """Yield the image of each file."""
        for path in paths:
            check_size(self._tree, path)
            file = self._find(path)
            if file is None:
                self._report.add("LISTED_FILES_MISSING", f"{path}: {shorten(stem(path))}")
                continue
            try:
                yield self._picture(path, file)
            except JsonError as error:
                self._report.add("ANNOTATION_FILES_UNREADABLE", f"{path}: {error}")
        for name, count in self._tags_of_objects.items():
            self._report.add("ATTRIBUTES_NOT_READ", shorten(name), count=count)

    def _find(self, path: str) -> str | None:
        """Return the image of a file: called like it but for `.json`, or for its own suffix."""
        root, name = _root(path), stem(path)
        beside = join(root, f"img/{name}")
        if beside in self._tree:
            return beside
        return self._by_stem.get(f"{root}/{name}") or self._finder.nearest(path, name)

    def _picture(self, path: str, file: str) -> Picture:
        picture = Picture(file, path, split=split_in(_root(path)))
        picture.width, picture.height = self._size(path)
        has_list = False
        for part in parts(self._tree, path):
            if part.key == "tags" and isinstance(part.value, dict):
                self._tag(part.value, picture)
            elif part.key == "objects" and part.place is not None:
                has_list = True
                if part.place >= 0:
                    self._object(part.value, f"object {part.place + 1}", picture)
        if not has_list:
            raise JsonError("it has no list objects")
        return picture

    def _size(self, path: str) -> tuple[int, int]:
        """Return width and height, which objects may need before they come in the file."""
        for part in parts(self._tree, path):
            if part.key == "size" and isinstance(part.value, dict):
                sides = [coco_outlines.number(part.value.get(key)) for key in ("width", "height")]
                known = [int(side) for side in sides if side and 0 < side < _LARGEST_SIDE]
                return (known[0], known[1]) if len(known) == 2 else (0, 0)
        return 0, 0

    def _tag(self, tag: dict[str, Any], picture: Picture) -> None:
        name, value = tag.get("name"), tag.get("value")
        if not isinstance(name, str) or not name.strip():
            picture.tags.append("")
        elif value is None or value == "":
            split = SUBSET_OF.get(name.strip().lower())
            if split is None:
                picture.tags.append(name)
            else:
                picture.split = split
        elif name == self._class_tag:
            picture.tags.append(value if isinstance(value, str) else "")
        elif isinstance(value, str | int | float):
            picture.columns[name] = str(value)

    def _object(self, one: Any, where: str, picture: Picture) -> None:
        one = one if isinstance(one, dict) else {}
        title = one.get("classTitle")
        title = title if isinstance(title, str) else ""
        kind = self._kind(one, title)
        try:
            box, outline = drawn(kind, one, picture.width, picture.height)
        except ShapeError as error:
            found = "BOXES_UNREADABLE" if kind == RECTANGLE else "OUTLINES_UNREADABLE"
            self._report.add(found, f"{picture.source}, {where}: {error}")
            picture.dropped += 1
            return
        if box is None and outline is None:
            shown = shorten(kind) if kind else "without geometryType"
            self._report.add("SHAPES_UNUSABLE", f"{picture.source}, {where}: {shown}")
            picture.dropped += 1
            return
        tags = one.get("tags")
        for tag in tags if isinstance(tags, list) else []:
            if isinstance(tag, dict) and isinstance(tag.get("name"), str):
                self._tags_of_objects[tag["name"]] += 1
        picture.shapes.append(Shape(title, where, box, outline))
        check_object_count(len(picture.shapes), f"{picture.source}, {where}")

    def _kind(self, one: dict[str, Any], title: str) -> str:
        """Return the type of an object's geometry; old files leave it to the class."""
        kind = one.get("geometryType")
        if isinstance(kind, str):
            return kind
        if isinstance(one.get("bitmap"), dict):
            return BITMAP
        return self._meta.shapes.get(title, "")
