r"""LabelMe: a JSON file for each image.

    1.jpg                           images/1.jpg
    1.json                          annotations/1.json

Polygons, circles (which become polygons) and masks are outlines, rectangles boxes; those of one
class with the same `group_id` are one object. Points and lines are left out. Flags of an image that
are set are its tags. An image without a file has not been labeled; one whose file has no shape
shows no object.

A file belongs to the image of its own name beside it, or else to the one that its `imagePath`
names, which may be written as Windows does. If that is not in the archive, it is taken out of the
file itself (`imageData`).

Format: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from common.data import images
from common.data.formats import labelme_shapes, tables
from common.data.formats.coco_outlines import number
from common.data.formats.finding_files import Finder, split_in
from common.data.formats.json_parts import JsonError, parts
from common.data.formats.labelme_images import EmbeddedImages
from common.data.formats.pictures import Picture, Pictures, Read
from common.data.formats.pictures_shapes import joined
from common.data.tree import IMAGE_SUFFIXES, suffix
from common.names import shorten
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.findings import Report
    from common.data.formats.pictures import Shape
    from common.data.tree import Tree

_SHAPES = re.compile(rb'"shapes"\s*:\s*\[')
_IMAGE = re.compile(rb'"image(?:Path|Data|Height|Width)"\s*:')
# Of a file; an image may lie between them.
_START_BYTES = _END_BYTES = MIB
# Detection looks at this many files.
_SAMPLE_FILES = 2000
_MAX_SIDE = 1 << 20
_MAX_NAME_LENGTH = 1024
_MOST_NAMES = 10_000
_KEYS = frozenset({"imagePath", "imageData", "imageHeight", "imageWidth", "flags"})


class LabelMe(Pictures):
    """The layout above."""

    name = "labelme"
    description = "a .json file of LabelMe for each image, beside it"
    layout = "1.jpg\n1.json: {shapes: […], imagePath: 1.jpg, imageHeight, imageWidth}"
    detected = "A JSON file with the list shapes and imagePath, imageData or imageHeight."
    kept = (
        "Polygons, rectangles, circles and masks, groups, flags of images as their tags, the flags "
        "difficult, truncated and crowd of shapes, and images that are inside of the files."
    )
    dropped = (
        "Points and lines; other flags and descriptions of shapes; the rotation of boxes, which "
        "become the upright boxes around them."
    )

    def detect(self, tree: Tree) -> str | None:
        """Say so if a JSON file has the shapes of an image."""
        for path in itertools.islice(_paths(tree), _SAMPLE_FILES):
            if _is_labelme(tree, path):
                return f"{path} is of LabelMe"
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Read:
        """Read every file as its picture is taken, then list the images that have none."""
        found: dict[bool, list[str]] = {True: [], False: []}
        for path in _paths(tree):
            found[_is_labelme(tree, path)].append(path)
        if not found[True]:
            raise self.nothing(tree)
        report.add("ANNOTATION_FILES_IGNORED", found[False])
        return Read(self._pictures(tree, found[True], report, max_records))

    def _pictures(
        self, tree: Tree, paths: list[str], report: Report, max_records: int
    ) -> Iterator[Picture]:
        reader = _Reader(tree, report)
        broken = []
        taken = set()
        for count, path in enumerate(paths, start=1):
            tables.check_row_count(count, max_records, path, "annotation files")
            try:
                picture = reader.picture(path)
            except JsonError as error:
                broken.append(f"{path}: {error}")
                continue
            if picture is not None:
                taken.add(picture.file)
                yield picture
        if len(broken) == len(paths):
            raise self.nothing(tree, broken[0])
        report.add("ANNOTATION_FILES_UNREADABLE", broken)
        report.add("ATTRIBUTES_NOT_READ", sorted(reader.unread))
        for file in tree.images:
            if file not in taken:
                yield Picture(file, file, labeled=False)


def _paths(tree: Tree) -> Iterator[str]:
    return (path for path in tree.files if suffix(path) == ".json")


def _is_labelme(tree: Tree, path: str) -> bool:
    """Whether a file is of LabelMe, or was before it was damaged."""
    with tree.open(path) as file:
        text = file.read(_START_BYTES)
        rest = tree.size(path) - len(text)
        if rest > 0:
            file.seek(max(len(text), tree.size(path) - _END_BYTES))
            text += file.read()
    return bool(_SHAPES.search(text) and _IMAGE.search(text))


class _Reader:
    """Reads files.

    Attributes:
        unread: Flags of shapes that are not read, by class.
    """

    def __init__(self, tree: Tree, report: Report) -> None:
        self.unread: set[str] = set()
        self._tree = tree
        self._report = report
        self._finder = Finder(tree)
        self._embedded: EmbeddedImages | None = None
        # Images by their paths without the suffix.
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for file in tree.images:
            if suffix(file) in IMAGE_SUFFIXES:
                self._by_stem[file.rpartition(".")[0]].append(file)

    def picture(self, path: str) -> Picture | None:
        """Return what a file says; None if its image is nowhere, which is reported.

        Raises:
            JsonError: It cannot be read.
        """
        said: dict[str, Any] = {}
        values: list[Any] = []
        for part in parts(self._tree, path):
            if part.key == "shapes" and part.place is not None and part.place >= 0:
                values.append(part.value)
            elif part.key in _KEYS and part.place is None:
                said[part.key] = part.value
        written = said.get("imagePath")
        written = written[:_MAX_NAME_LENGTH] if isinstance(written, str) else ""
        file = self._find(path, written) or self._take_out(path, written, said.get("imageData"))
        if file is None:
            self._report.add("LISTED_FILES_MISSING", f"{path}: {shorten(written)}")
            return None
        size = _side(said.get("imageWidth")), _side(said.get("imageHeight"))
        grouped: list[tuple[object, Shape]] = []
        for place, value in enumerate(values, start=1):
            shape = labelme_shapes.read(value, size, path, f"shape {place}", self._report)
            if shape is not None:
                group = value.get("group_id")
                grouped.append((group if isinstance(group, int | str) else None, shape))
                if len(self.unread) < _MOST_NAMES:
                    self.unread |= {f"{shape.label}.{n}" for n in labelme_shapes.unread(value)}
        return Picture(
            file,
            path,
            labelme_shapes.flags(said),
            joined(grouped, self._report, path),
            split_in(path.rpartition("/")[0]),
            *size,
            dropped=len(values) - len(grouped),
        )

    def _find(self, path: str, written: str) -> str | None:
        own = self._by_stem.get(path.rpartition(".")[0], [])
        name = written.replace("\\", "/").rpartition("/")[2]
        called = [file for file in own if file.rpartition("/")[2] == name]
        if len(called or own) == 1:
            return (called or own)[0]
        return self._finder.nearest(path, written) if written else None

    def _take_out(self, path: str, written: str, text: Any) -> str | None:
        """Return the path of the image that is inside of a file, if there is one."""
        content = labelme_shapes.decoded(text)
        if content is None or not images.is_image(content):
            return None
        name = written.replace("\\", "/").rpartition("/")[2] or "image"
        file = f"{path}/{name}"
        if _is_among(self._tree.files, file):
            return None  # the archive has a folder of the name of the file
        if self._embedded is None:
            self._embedded = EmbeddedImages(self._tree.folder)
            self._tree.attach(self._embedded)
        self._embedded.add(file, content)
        self._report.add("IMAGES_EMBEDDED", file)
        return file


def _is_among(files: list[str], path: str) -> bool:
    at = bisect_left(files, path)
    return at < len(files) and files[at] == path


def _side(value: Any) -> int:
    side = number(value)
    return int(side) if side is not None and 0 < side < _MAX_SIDE else 0
