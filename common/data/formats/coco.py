"""COCO JSON: one or several files beside the images, each with a list of objects.

    annotations/instances_train2017.json        train/_annotations.coco.json
    annotations/instances_val2017.json          train/1.jpg
    train2017/000000000009.jpg                  valid/_annotations.coco.json
    …                                           valid/2.jpg

A file is known by what is in it, whatever it is called: an object with the lists `images`,
`annotations` and `categories`. An image is found by `file_name`, from the file's folder, the top of
the archive, or by the end of its path, in the folder nearest to the file.

Classes are told apart by the names of their categories, over all files; ids may have gaps, start
anywhere, and differ between files. They are in the order of the ids in the first file. If files are
named for train and another split, or lie in folders named so, they are these splits; a single file
is none.

Format: https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from common.data.formats import Format, Reading, check_class_count
from common.data.formats.coco_file import CocoFile, read_file
from common.data.formats.coco_kinds import Kind, kind_of
from common.data.formats.finding_files import Finder
from common.data.formats.json_parts import JsonError, check_size, parts
from common.data.formats.listing import Listing
from common.data.tree import suffix
from common.errors import InvalidInput
from common.names import shorten
from common.objects.drafts import Draft, boxes_derived, unused_labels
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.data.findings import Report
    from common.data.tree import Tree


class Coco(Format):
    """The layout above."""

    name = "coco"
    description = (
        "COCO .json files with the lists images, annotations (with bbox; for masks, with "
        "segmentation) and categories, beside the images"
    )
    layout = """annotations/instances_train.json   {"images": […], "annotations": […], …}
train/1.jpg
annotations/instances_val.json
val/2.jpg"""
    detected = (
        "A .json file with the lists images, annotations and categories, whatever it is called."
    )
    kept = (
        "Boxes or, for masks, polygons and runs (RLE); iscrowd, difficult, truncated and area; "
        "names of categories; splits by the names of files and folders; images without an "
        "object."
    )
    dropped = (
        "Key points, captions, panoptic segments, attributes and scores of objects, "
        "supercategories."
    )

    def __init__(self, *, outlines: bool = False) -> None:
        """Read boxes alone, or outlines too.

        Args:
            outlines: Files in which no object has an outline are none of the format then.
        """
        self._outlines = outlines
        self._wanted = "outlines" if outlines else "boxes"

    def detect(self, tree: Tree) -> str | None:
        """Say so if a file has the lists."""
        for path in _json_paths(tree):
            kind = kind_of(tree, path, outlines=self._outlines)
            if kind in {Kind.OBJECTS, Kind.KEYPOINTS}:
                return f"{path} lists images and {self._wanted}"
            if kind == Kind.BROKEN:
                return f"{path} seems to list images and {self._wanted}"
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Give every image that a file lists its objects."""
        kinds = {path: kind_of(tree, path, outlines=self._outlines) for path in _json_paths(tree)}
        files = self._read_files(tree, kinds, report, max_records)
        classes = _classes(files, report)
        index_of = {name: index for index, name in enumerate(classes)}
        finder = Finder(tree)
        listing = Listing(report, max_records)
        shared: set[str | None] = set()
        for file in files:
            file.label(index_of, report)
            for image in file.images.values():
                found = finder.nearest(file.path, image.written, file.split)
                if found is None:
                    where = f"{file.path}: {shorten(image.written)}"
                    report.add("LISTED_FILES_MISSING", where)
                    continue
                listing.add(
                    found,
                    Draft(
                        file.path,
                        image.objects,
                        width=image.width,
                        height=image.height,
                        dropped=image.dropped,
                    ),
                    file.split,
                )
            shared.update(finder.nearest(file.path, name, file.split) for name in file.shared)
        drawn = _drawn(tree, kinds, max_records)
        report.add(
            "IMAGES_NOT_LISTED",
            (
                path
                for path in tree.images
                if path not in listing
                and path not in shared
                and path.rpartition("/")[2] not in drawn
            ),
        )
        records = listing.records()
        unused = unused_labels(classes, (record.annotation for record in records))
        derived = "" if self._outlines else boxes_derived(one.annotation for one in records)
        return Reading(classes, records, unused, derived)

    def _read_files(
        self, tree: Tree, kinds: dict[str, Kind], report: Report, max_records: int
    ) -> list[CocoFile]:
        wanted = {Kind.OBJECTS, Kind.BROKEN}
        if Kind.OBJECTS not in kinds.values():
            wanted.add(Kind.KEYPOINTS)
        files: list[CocoFile] = []
        broken = []
        for path, kind in kinds.items():
            if kind not in wanted:
                report.add("ANNOTATION_FILES_IGNORED", path)
                continue
            check_size(tree, path)
            try:
                file = read_file(
                    tree,
                    path,
                    report,
                    max_images=max_records,
                    before=files,
                    outlines=self._outlines,
                )
            except JsonError as error:
                broken.append(f"{path}: {error}")
            else:
                files.append(file)
        if not files:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"The annotation file {broken[0]}. Export it anew."
                if broken
                else f"There is no COCO file with {self._wanted} in the archive, which has "
                f"{tree.describe()}. The format {self.name} needs {self.description}.",
            )
        report.add("ANNOTATION_FILES_UNREADABLE", broken)
        return files


def _json_paths(tree: Tree) -> list[str]:
    return [path for path in tree.files if suffix(path) == ".json"]


def _classes(files: Sequence[CocoFile], report: Report) -> list[str]:
    """Return the classes of all files; report names and ids that are not one to one."""
    index_of: dict[str, int] = {}
    first_ids: dict[str, list[str]] = {}
    repeated: dict[str, None] = {}
    for file in files:
        ids: dict[str, list[str]] = defaultdict(list)
        for key, name in file.categories.items():
            ids[name].append(shorten(str(key)))
            if name not in index_of:
                check_class_count(len(index_of) + 1, f"{file.path}, category {shorten(str(key))}")
                index_of[name] = len(index_of)
        for name, numbers in ids.items():
            if len(numbers) > 1:
                repeated[f"{name}: ids {', '.join(numbers)}"] = None
            if first_ids.setdefault(name, numbers) != numbers:
                before = " and ".join(first_ids[name])
                report.add(
                    "CATEGORY_IDS_DIFFER",
                    f"{file.path}: {name} is {' and '.join(numbers)}, elsewhere {before}",
                )
    report.add("CATEGORY_NAMES_REPEATED", repeated)
    return list(index_of)


def _drawn(tree: Tree, kinds: dict[str, Kind], max_records: int) -> set[str]:
    """Return the names of files in which segments are drawn: they are no images to be listed."""
    names: set[str] = set()
    for path, kind in kinds.items():
        if kind != Kind.PANOPTIC:
            continue
        try:
            for part in parts(tree, path):
                if part.key != "annotations" or not isinstance(part.value, dict):
                    continue
                name = part.value.get("file_name")
                if isinstance(name, str) and len(names) < max_records:
                    names.add(name.rpartition("/")[2])
        except JsonError:
            continue
    return names
