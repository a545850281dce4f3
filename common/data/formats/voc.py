"""Pascal VOC: an XML file for each image, as LabelImg and the VOC devkit write it.

    Annotations/1.xml               train/1.jpg
    JPEGImages/1.jpg                train/1.xml
    ImageSets/Main/train.txt        test/2.jpg
                                    test/2.xml

An XML file belongs to the image that its `<filename>` names, or else to the one of its own name.
Lists in `ImageSets/Main` say the split, one image a line; without them, folders do.
The classes are the names of the objects, sorted.

Sides of boxes are edges, as LabelImg and most programs write them. Only the annotations of the
challenges themselves count pixels from 1, the last one included; they say so by their source.

Paper: Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", 2010,
https://doi.org/10.1007/s11263-009-0275-4
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from common.data.formats import Format, Reading, Record, check_class_count
from common.data.formats.image_folder import SUBSET_OF
from common.data.formats.pairing import (
    Images,
    join,
    parents,
    place,
    settle_splits,
    split_of,
    stem,
    text_of,
    unlabeled,
)
from common.data.tree import IMAGE_SUFFIXES, suffix
from common.errors import InvalidInput
from common.objects.drafts import Draft, DraftObject, check_object_count
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from xml.etree.ElementTree import Element

    from common.data.findings import Report
    from common.data.manifest import Subset
    from common.data.tree import Tree
    from common.objects.annotation import Box

_MAX_XML_BYTES = MIB
_MAX_LIST_BYTES = 64 * MIB
_MAX_NAME_LENGTH = 200
_MAX_PATH_LENGTH = 1024
_MAX_SIDE_PX = 1_000_000
# Detection looks at this many XML files; the first may be of images that show nothing.
_SAMPLE_FILES = 2000

_SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class _Annotation:
    """What an XML file says.

    Attributes:
        filename: What it calls its image; may be empty.
        draft: Its objects; their labels are places in the order in which the names were met.
    """

    filename: str
    draft: Draft


class PascalVoc(Format):
    """The layout above."""

    name = "voc"
    description = (
        "an XML file in the format of Pascal VOC for each image, beside it or in a folder named "
        "Annotations"
    )
    layout = """Annotations/1.xml           <annotation><filename>1.jpg</filename><object>…
JPEGImages/1.jpg
ImageSets/Main/train.txt    1"""
    detected = "An .xml file with an annotation that has objects or the name of an image."
    kept = (
        "Boxes with difficult and truncated; names of classes; splits by the lists in "
        "ImageSets/Main, else by folders; images without an object."
    )
    dropped = "Parts, actions, poses and masks."

    def detect(self, tree: Tree) -> str | None:
        """Say so if an XML file describes objects by their boxes."""
        for path, _ in zip(_xml_paths(tree), range(_SAMPLE_FILES), strict=False):
            try:
                root = _parse(tree, path)
            except _UnreadableError:
                continue
            if root.find("object/bndbox") is not None:
                return f"{path} has boxes as Pascal VOC writes them"
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:  # noqa: ARG002
        """Read every XML file that belongs to an image; at most one is read for each image."""
        label_of: dict[str, int] = {}
        annotations: dict[str, _Annotation] = {}
        object_count = 0
        for path in _xml_paths(tree):
            try:
                annotation = _read(_parse(tree, path), path, label_of, report)
            except _UnreadableError as error:
                report.add("ANNOTATION_FILES_UNREADABLE", f"{path}: {error}")
                continue
            annotations[path] = annotation
            object_count += len(annotation.draft.objects)
            check_object_count(object_count, path)
        if not annotations:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"There is no XML file that can be read in the archive, which has "
                f"{tree.describe()}. The format {self.name} needs {self.description}.",
            )
        draft_of, source_of = _match(tree, annotations, report)
        report.add("IMAGES_UNLABELED", unlabeled(tree, draft_of))
        splits = _splits(tree, draft_of, source_of, report)
        classes = sorted(label_of)
        place_of = {label_of[name]: place for place, name in enumerate(classes)}
        for draft in draft_of.values():
            for one in draft.objects:
                one.label = place_of[one.label]
        return Reading(
            classes,
            [Record(file, draft_of[file], splits.get(file)) for file in sorted(draft_of)],
        )


class _UnreadableError(Exception):
    """A file is no annotation; says why."""


def _xml_paths(tree: Tree) -> Iterator[str]:
    return (path for path in tree.files if suffix(path) == ".xml")


def _parse(tree: Tree, path: str) -> Element:
    if tree.size(path) > _MAX_XML_BYTES:
        raise _UnreadableError(f"it has {tree.size(path)} bytes; {_MAX_XML_BYTES} are allowed")
    try:
        root: Element = fromstring(tree.read(path))
    except DefusedXmlException as error:
        raise _UnreadableError("it declares entities, which are not read") from error
    except (ParseError, ValueError, LookupError) as error:
        raise _UnreadableError(str(error)) from error
    if root.tag != "annotation":
        raise _UnreadableError(f"it starts with <{root.tag[:50]}> instead of <annotation>")
    return root


def _read(root: Element, path: str, label_of: dict[str, int], report: Report) -> _Annotation:
    # Pixels are counted from 1 there, the last included: their upper left edges are one less.
    first = 1 if _text(root, "source/database").startswith("The VOC") else 0
    draft = Draft(path, width=_side(root, "size/width"), height=_side(root, "size/height"))
    for number, element in enumerate(root.findall("object"), start=1):
        where = _where(number)
        said = _children(element)
        name = unicodedata.normalize("NFC", said.get("name", ""))
        try:
            xmin, ymin, xmax, ymax = _box(element)
        except ValueError:
            report.add("BOXES_UNREADABLE", f"{path}, {where}")
            draft.dropped += 1
            continue
        if not 0 < len(name) <= _MAX_NAME_LENGTH:
            report.add("BOXES_UNREADABLE", f"{path}, {where}: its name has {len(name)} characters")
            draft.dropped += 1
            continue
        label = label_of.setdefault(name, len(label_of))
        check_class_count(len(label_of), f"{path}, {where}")
        draft.objects.append(
            DraftObject(
                label,
                (xmin - first, ymin - first, xmax, ymax),
                where,
                difficult=_flag(said.get("difficult", "")),
                truncated=_flag(said.get("truncated", "")),
            )
        )
    return _Annotation(_text(root, "filename")[:_MAX_PATH_LENGTH], draft)


@lru_cache(maxsize=1024)
def _where(number: int) -> str:
    """Say which object of a file; the same text is kept once for all files."""
    return f"object {number}"


def _text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _children(element: Element) -> dict[str, str]:
    """Return the texts of what is directly in an element; the first counts, if there are more."""
    return {child.tag: (child.text or "").strip() for child in reversed(element)}


def _box(element: Element) -> Box:
    """Return the box of an object.

    Raises:
        ValueError: It has none, or not of numbers.
    """
    bounds = element.find("bndbox")
    sides = {} if bounds is None else _children(bounds)
    xmin, ymin, xmax, ymax = (float(sides.get(side, "")) for side in _SIDES)
    return xmin, ymin, xmax, ymax


def _flag(text: str) -> bool:
    """Return what a mark says; `Unspecified`, as the challenges write, says nothing."""
    try:
        return text.lower() in {"true", "yes"} or float(text) > 0
    except ValueError:
        return False


def _side(root: Element, path: str) -> int:
    """Return a side of the image in pixels; 0 if the file says none that can be."""
    try:
        side = float(_text(root, path))
    except ValueError:
        return 0
    return int(side) if 1 <= side <= _MAX_SIDE_PX else 0


def _match(
    tree: Tree, annotations: dict[str, _Annotation], report: Report
) -> tuple[dict[str, Draft], dict[str, str]]:
    """Return the objects of each image, and the XML file that says them."""
    images = Images(tree)
    # By its own name, the image of each file: programs that copy files leave an old <filename>.
    own = {path: images.find(path) for path in annotations}
    taken = {file for match in own.values() if match.sure for file in match.files}
    draft_of: dict[str, Draft] = {}
    source_of: dict[str, str] = {}
    for path, annotation in annotations.items():
        files = own[path].files
        if annotation.filename and not _is_called(files, annotation.filename):
            named = images.find(path, annotation.filename).files
            # Not the one of another file's own name, if this one has such an image too.
            if len(named) == 1 and not (files and named[0] in taken):
                files = named
        if len(files) > 1:
            files = [f for f in files if f.rpartition("/")[2] == annotation.filename] or files[:1]
        if not files:
            report.add("LABELS_WITHOUT_IMAGE", path)
        elif files[0] in draft_of:
            report.add("LABELS_WITHOUT_IMAGE", f"{path}: {source_of[files[0]]} is for {files[0]}")
        else:
            draft_of[files[0]] = annotation.draft
            source_of[files[0]] = path
    return draft_of, source_of


def _is_called(files: list[str], filename: str) -> bool:
    name = filename.replace("\\", "/").rpartition("/")[2]
    return any(name in {file.rpartition("/")[2], stem(file)} for file in files)


def _splits(
    tree: Tree, draft_of: dict[str, Draft], source_of: dict[str, str], report: Report
) -> dict[str, Subset]:
    """Return the split of each labeled image that is in one."""
    lists = _lists(tree, report)
    named: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file, source in source_of.items() if lists else ():
        for path in (file, source):
            for key in _listed_as(path, lists):
                named[key].add(file)
    # Those without an XML file have been named already.
    unlabeled_names = {
        key
        for path in (tree.images if lists else ())
        if path not in draft_of
        for key in _listed_as(path, lists)
    }
    listed: dict[str, set[Subset]] = defaultdict(set)
    for root, list_of in lists.items():
        for path, subset in list_of.items():
            for number, line in enumerate(text_of(tree, path).splitlines(), start=1):
                keys = [(root, name) for name in _names(line)]
                files = next((named[key] for key in keys if key in named), set())
                if len(files) == 1:
                    listed[next(iter(files))].add(subset)
                elif line.strip() and unlabeled_names.isdisjoint(keys):
                    report.add("SPLIT_ENTRIES_MISSING", f"{path}, line {number}: {line.strip()}")
    by_folder = {} if lists else {f: split_of(f) or split_of(source_of[f]) for f in draft_of}
    return settle_splits(draft_of, listed, by_folder, report)


def _lists(tree: Tree, report: Report) -> dict[str, dict[str, Subset]]:
    """Return the lists to read and their splits, by the folder that they are for."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for path in tree.files:
        root, middle, rest = f"/{path}".rpartition("/ImageSets/")
        name = stem(rest).lower()
        if not middle or name not in {*SUBSET_OF, "trainval"}:
            continue
        # ImageSets/Main counts if there is a list of the same name beside it, too.
        in_main = rest.lower() == f"main/{name}.txt"
        if in_main or (rest.lower() == f"{name}.txt" and name not in found[root]):
            found[root][name] = path
    lists: dict[str, dict[str, Subset]] = {}
    for root, path_of in found.items():
        subset_of: dict[str, Subset] = dict(SUBSET_OF)
        if not {"train", "val"} & {subset_of.get(name) for name in path_of}:
            subset_of["trainval"] = "train"
        chosen = {path: subset_of[name] for name, path in path_of.items() if name in subset_of}
        for path in [path for path in chosen if tree.size(path) > _MAX_LIST_BYTES]:
            report.add("SPLIT_FILES_IGNORED", f"{path}: it has {tree.size(path)} bytes")
            del chosen[path]
        if chosen:
            lists[root.removeprefix("/")] = chosen
    return lists


def _listed_as(path: str, roots: Container[str]) -> list[tuple[str, str]]:
    """Return the folders with lists that a file is in, each with what these may call it.

    That is the end of its path, behind a slash, or its name alone.
    """
    names: list[tuple[str, str]] = []
    for folder in parents(path):
        if folder in roots:
            inside = path[len(folder) + 1 :] if folder else path
            names += (folder, f"/{place(inside)}"), (folder, stem(path))
    return names


def _names(line: str) -> Iterator[str]:
    """Yield what a line may name, as `_listed_as` does; the likeliest first.

    It may end in `1` or `-1`, for whether a class is there.
    """
    text = unicodedata.normalize("NFC", line.strip()).replace("\\", "/")
    first, _, last = text.rpartition(" ")
    for path in (text, first.strip()) if last in {"1", "-1", "0"} else (text,):
        bare = stem(path) if suffix(path) in IMAGE_SUFFIXES else path.rpartition("/")[2]
        # `place` takes off a suffix.
        yield "/" + place(join(path.rpartition("/")[0].strip("/"), f"{bare}.jpg"))
        yield path.rpartition("/")[2]
        yield bare
