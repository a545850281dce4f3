"""COCO's panoptic files: a JSON that lists the segments of images, and a picture that draws them.

    annotations/panoptic_train2017.json
    annotations/panoptic_train2017/000000000009.png
    train2017/000000000009.jpg

The colour of a pixel is the number of its segment: red + 256 green + 65536 blue. Segments of
categories with `isthing` 1 are objects; the others, such as the sky, have none to be told apart and
are left out. If no category says it, all are objects.

Format: https://cocodataset.org/#format-data, section 4
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common.data.formats import Reading, check_class_count, mask_pixels, tables
from common.data.formats.coco_kinds import Kind, kind_of
from common.data.formats.drawn_objects import Gatherer
from common.data.formats.finding_files import Finder, split_in
from common.data.formats.json_parts import JsonError, check_size, parts
from common.data.formats.listing import Listing
from common.data.formats.pairing import unlabeled
from common.data.images import ImageError
from common.data.tree import suffix
from common.errors import InvalidInput
from common.masks.instances import masks_of
from common.names import shorten
from common.objects.drafts import MAX_OBJECTS, Draft
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.findings import Report
    from common.data.tree import Tree

Id = int | str


class _Segment(NamedTuple):
    category: Id
    crowd: bool


class _Image(NamedTuple):
    """An image as a file lists it: what it is called, and its picture and segments by number."""

    written: str
    drawn: str
    segments: dict[int, _Segment]


@dataclass(slots=True)
class _File:
    path: str
    names: dict[Id, str] = field(default_factory=dict)
    things: set[Id] = field(default_factory=set)
    written: dict[Id, str] = field(default_factory=dict)
    annotations: list[tuple[Id, str, dict[int, _Segment]]] = field(default_factory=list)

    def images(self, report: Report) -> Iterator[_Image]:
        """Yield the images that have a picture."""
        for key, drawn, segments in self.annotations:
            if key in self.written:
                yield _Image(self.written[key], drawn, segments)
            else:
                report.add("ANNOTATIONS_WITHOUT_IMAGE", f"{self.path}: {shorten(drawn)}")


def paths(tree: Tree) -> list[str]:
    """Return the panoptic files of an archive."""
    return [
        path
        for path in tree.files
        if suffix(path) == ".json" and kind_of(tree, path) == Kind.PANOPTIC
    ]


def read(tree: Tree, report: Report, *, max_records: int) -> Reading:
    """Give every image that a file lists its objects.

    Args:
        tree: The files.
        report: Told what is odd.
        max_records: How many images there may be.

    Raises:
        InvalidInput: No file can be read, none has an object's category, or there is too much.
    """
    files = _read_files(tree, report, max_records)
    index_of: dict[str, int] = {}
    for file in files:
        for key in sorted(file.things, key=lambda key: (isinstance(key, str), key)):
            index_of.setdefault(file.names[key], len(index_of))
    check_class_count(len(index_of), files[-1].path)
    if not index_of:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"No category in {files[0].path} is one of objects. Set isthing to 1 for those that "
            "are.",
        )
    finder = Finder(tree)
    listing = Listing(report, max_records)
    gatherer = Gatherer()
    known: set[str] = set()
    for file in files:
        split = split_in(file.path)
        for image in file.images(report):
            found = finder.nearest(file.path, image.written, split)
            picture = finder.nearest(file.path, image.drawn, split)
            if found is None or picture is None or found == picture:
                missing = image.written if found is None else image.drawn
                report.add("LISTED_FILES_MISSING", f"{file.path}: {shorten(missing)}")
                continue
            known |= {found, picture}
            draft = _draft(tree, picture, image, file, index_of, gatherer, report)
            if draft is not None:
                listing.add(found, draft, split)
    records = listing.records()
    report.add("IMAGES_NOT_LISTED", unlabeled(tree, known))
    used = {one.label for record in records for one in record.annotation.objects}
    return Reading(list(index_of), records, frozenset(range(len(index_of))) - used)


def _draft(
    tree: Tree,
    picture: str,
    image: _Image,
    file: _File,
    index_of: dict[str, int],
    gatherer: Gatherer,
    report: Report,
) -> Draft | None:
    try:
        pixels = mask_pixels.read(tree, picture)
    except ImageError as error:
        report.add("MASKS_UNREADABLE", f"{picture}: {error.message}")
        return None
    if pixels.lossy:
        where = f"{picture}: it is stored with loss, so that its numbers are not exact"
        report.add("MASKS_UNREADABLE", where)
        return None
    numbers_HW = pixels.array
    if pixels.coloured:
        red_HW, green_HW, blue_HW = (pixels.array[:, :, one].astype(np.int32) for one in range(3))
        numbers_HW = red_HW | (green_HW << 8) | (blue_HW << 16)
    elif image.segments and max(image.segments) > int(numbers_HW.max(initial=0)):
        # A picture that happens to be grey throughout is one of colours all the same.
        grey_HW = numbers_HW.astype(np.int32)
        numbers_HW = grey_HW | (grey_HW << 8) | (grey_HW << 16)
    try:
        masks = list(masks_of(numbers_HW))
    except ValueError as error:
        report.add("MASKS_UNREADABLE", f"{picture}: {error}")
        return None
    height, width = numbers_HW.shape
    draft = Draft(picture, width=width, height=height)
    missing = {key: one for key, one in image.segments.items() if one.category in file.things}
    for number, mask in masks:
        missing.pop(number, None)
        segment = image.segments.get(number)
        if segment is None:
            report.add("NUMBERS_NOT_LISTED", f"{picture}, number {number}")
        elif segment.category in file.things:
            label = index_of[file.names[segment.category]]
            gatherer.add(draft, mask, label, f"number {number}", crowd=segment.crowd)
        elif segment.category not in file.names:
            report.add("BOXES_OF_UNKNOWN_CLASS", f"{picture}, number {number}")
            draft.dropped += 1
    draft.dropped += len(missing)
    report.add("NUMBERS_NOT_DRAWN", (f"{picture}, number {number}" for number in missing))
    return draft


def _read_files(tree: Tree, report: Report, max_records: int) -> list[_File]:
    files: list[_File] = []
    broken = []
    segment_count = 0
    for path in paths(tree):
        check_size(tree, path)
        try:
            file = _read_file(tree, path, max_records)
        except JsonError as error:
            broken.append(f"{path}: {error}")
            continue
        segment_count += sum(len(segments) for *_, segments in file.annotations)
        if segment_count > MAX_OBJECTS:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"{path}: up to here, there are more than {MAX_OBJECTS} segments, the most that "
                "are allowed. Split the archive into several data sets.",
                maximum=MAX_OBJECTS,
            )
        files.append(file)
    if not files:
        raise InvalidInput(
            Reason.DATASET_INVALID, f"The annotation file {broken[0]}. Export it anew."
        )
    report.add("ANNOTATION_FILES_UNREADABLE", broken)
    return files


def _read_file(tree: Tree, path: str, max_records: int) -> _File:
    file = _File(path)
    for key, place, value in parts(tree, path):
        if place is None or place < 0 or not isinstance(value, dict):
            continue
        if key == "images" and isinstance(value.get("file_name"), str):
            if (id_ := _id(value.get("id"))) is not None:
                file.written[id_] = value["file_name"]
        elif key == "categories" and isinstance(value.get("name"), str):
            if (id_ := _id(value.get("id"))) is not None:
                file.names[id_] = shorten(value["name"].strip()) or str(id_)
                if value.get("isthing", 1) == 1:
                    file.things.add(id_)
        elif key == "annotations":
            id_ = _id(value.get("image_id"))
            if id_ is not None and isinstance(value.get("file_name"), str):
                file.annotations.append((id_, value["file_name"], _segments(value)))
        tables.check_row_count(
            max(len(file.written), len(file.annotations)), max_records, path, "annotation files"
        )
    return file


def _segments(value: dict[str, Any]) -> dict[int, _Segment]:
    listed = value.get("segments_info")
    segments = {}
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and type(one.get("id")) is int:
            category = _id(one.get("category_id"))
            if category is not None:
                segments[one["id"]] = _Segment(category, one.get("iscrowd") == 1)
    return segments


def _id(value: Any) -> Id | None:
    """Return an id; a text of digits is the same as their number."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) < 20 else value
    return value if type(value) is int else None
