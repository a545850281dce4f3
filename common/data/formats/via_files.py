"""The files that the VGG Image Annotator (VIA) saves and exports, each told from others and opened.

    via_region_data.json    {"1.jpg8125": {"filename": "1.jpg", "size": 8125, "regions": [
                              {"shape_attributes": {…}, "region_attributes": {"class": "cat"}}, …],
                              "file_attributes": {…}}, …}
    via_project.json        {"_via_img_metadata": {the same}, "_via_attributes": {…}, …}
    via_region_data.csv     filename,file_size,file_attributes,region_count,region_id,
                              region_shape_attributes,region_attributes
    via_project.json        of version 3: {"project": …, "attribute": {…}, "file": {…},
                              "metadata": {…}, "view": {…}}

All of them become `Entry`.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from common.data.formats import tables
from common.data.formats.json_items import items
from common.data.formats.named_attributes import Attributes
from common.data.tree import suffix
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.tree import Tree

_START_BYTES = MIB // 16
_INSIDE_2 = ("_via_img_metadata",)
_INSIDE_3 = ("attribute", "file", "metadata", "view")
_COLUMNS = ("filename", "region_shape_attributes", "region_attributes")
# Of version 3: attributes of regions and of whole images, and what is chosen from options.
_OF_REGION, _OF_FILE = "FILE1_Z0_XY1", "FILE1_Z0_XY0"
_CHECKBOX_3, _CHOICES_3 = 2, {2, 3, 4, 5}
# A tuple, since what a file says may be of any type, and some cannot be in a set.
_CHOICES_2 = ("dropdown", "radio", "checkbox", "image")


class Kind(Enum):
    """What a file is."""

    IMAGES = "images"
    TABLE = "table"
    PROJECT_3 = "project of version 3"


class Region(NamedTuple):
    """Something that is drawn on an image.

    Attributes:
        where: For a person.
        shape: See `via_shapes.drawn`.
        attributes: Values by name, as written.
    """

    where: str
    shape: Any
    attributes: dict[str, Any]


@dataclass(slots=True)
class Entry:
    """What a file says of an image, or, in version 3, a part of it.

    Attributes:
        written: What it calls the image.
        attributes: Of the image: values by name, as written.
        regions: Those that are drawn on it; None if nothing says whether there are any.
    """

    written: str
    attributes: dict[str, Any]
    regions: list[Region] | None


@dataclass(slots=True)
class Declared:
    """What a project says of an attribute.

    Attributes:
        options: Texts by the values that are written.
        joined: Several values are written as one text, with commas.
    """

    options: dict[str, str] = field(default_factory=dict)
    joined: bool = False


@dataclass(slots=True)
class ViaFile:
    """A file, looked through once.

    Attributes:
        path: In the archive.
        kind: What it is.
        regions: Attributes of regions that it declares, by name.
        images: Those of images.
        names: Of version 3: what images are called, by the ids of views.
        attributes: Of version 3: names of attributes by their ids.
    """

    path: str
    kind: Kind
    regions: dict[str, Declared] = field(default_factory=dict)
    images: dict[str, Declared] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)


def kind_of(tree: Tree, path: str) -> Kind | None:
    """Tell what a file is by how it begins; None if it is none of VIA's."""
    if suffix(path) in {".csv", ".tsv"}:
        return Kind.TABLE if _columns(tree, path) else None
    if suffix(path) != ".json":
        return None
    with tree.open(path) as file:
        start = file.read(_START_BYTES).replace(b"\0", b"")  # of UTF-16
    if any(f'"_via_{name}"'.encode() in start for name in ("settings", "img_metadata")):
        return Kind.IMAGES
    if all(f'"{name}"'.encode() in start for name in ("pid", "vid_list", "data_format_version")):
        return Kind.PROJECT_3
    words = ("filename", "regions", "file_attributes")
    return Kind.IMAGES if all(f'"{name}"'.encode() in start for name in words) else None


def survey(tree: Tree, path: str, kind: Kind, regions: Attributes, images: Attributes) -> ViaFile:
    """Look through a file: count attributes that have a value, and note those that it declares.

    Args:
        tree: The files.
        path: Of the file.
        kind: What it is.
        regions: Attributes of regions are added to these.
        images: Attributes of images are added to these.

    Raises:
        JsonError: The file cannot be read.
        InvalidInput: The same, of a table.
    """
    file = ViaFile(path, kind)
    if kind == Kind.IMAGES:
        for item in items(tree, path, _INSIDE_2):
            if item.key == "_via_attributes":
                _declare_2(file, item.value, regions, images)
    elif kind == Kind.PROJECT_3:
        _declare_3(tree, file, regions, images)
    for entry in entries(tree, file):
        images.add(name for name, value in entry.attributes.items() if values_of(value))
        for region in entry.regions or ():
            regions.add(name for name, value in region.attributes.items() if values_of(value))
    return file


def entries(tree: Tree, file: ViaFile) -> Iterator[Entry]:
    """Yield what a file says of each image; in version 3, of each region.

    Raises:
        JsonError: The file cannot be read.
        InvalidInput: The same, of a table.
    """
    if file.kind == Kind.TABLE:
        yield from _rows(tree, file.path)
        return
    if file.kind == Kind.PROJECT_3:
        for item in items(tree, file.path, _INSIDE_3):
            if item.key == "metadata" and isinstance(item.value, dict):
                yield _entry_3(file, item.name, item.value)
        for name in file.names.values():
            yield Entry(name, {}, [])
        return
    for item in items(tree, file.path, _INSIDE_2):
        # At the top, or inside of a project.
        if not item.name and item.key.startswith("_via_"):
            continue
        name = item.name or item.key
        value = item.value if isinstance(item.value, dict) else {}
        written = value.get("filename")
        yield Entry(
            written if isinstance(written, str) else name,
            _dict(value.get("file_attributes")),
            _regions_2(name, value.get("regions")),
        )


def values_of(value: Any, declared: Declared | None = None) -> list[str]:
    """Return the values of an attribute: one of a text or a choice, or those that are ticked."""
    if isinstance(value, dict):
        found = [name for name, ticked in value.items() if ticked in (True, "true")]
    elif isinstance(value, list):
        found = [one for one in value if isinstance(one, str)]
    elif isinstance(value, str):
        found = value.split(",") if declared and declared.joined else [value]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = [str(value)]
    else:
        found = []
    options = declared.options if declared else {}
    named = (options.get(one.strip()) or one.strip() for one in found)
    return [name for name in named if name]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _regions_2(name: str, regions: Any) -> list[Region] | None:
    # Version 1 has an object of them, by their numbers.
    if isinstance(regions, dict):
        regions = list(regions.values())
    if not isinstance(regions, list):
        return None
    found = []
    for number, region in enumerate(regions, start=1):
        one = _dict(region)
        where = f"{name[:80]}, region {number}"
        attributes = _dict(one.get("region_attributes"))
        found.append(Region(where, one.get("shape_attributes"), attributes))
    return found


def _declare_2(file: ViaFile, value: Any, regions: Attributes, images: Attributes) -> None:
    for key, known, counted in (
        ("region", file.regions, regions),
        ("file", file.images, images),
    ):
        for name, said in _dict(_dict(value).get(key)).items():
            options = {
                option: text
                for option, text in _dict(_dict(said).get("options")).items()
                if isinstance(text, str)
            }
            known[name] = Declared(options)
            if _dict(said).get("type") in _CHOICES_2:
                counted.choices.add(name)


def _declare_3(tree: Tree, file: ViaFile, regions: Attributes, images: Attributes) -> None:
    names: dict[str, str] = {}
    views: dict[str, str] = {}
    for item in items(tree, file.path, _INSIDE_3):
        value = _dict(item.value)
        if item.key == "file":
            written = value.get("fname") or value.get("src")
            names[item.name] = written if isinstance(written, str) else item.name
        elif item.key == "view":
            listed = value.get("fid_list")
            views[item.name] = str(listed[0]) if isinstance(listed, list) and listed else ""
        elif item.key == "attribute" and isinstance(value.get("aname"), str):
            options = {
                option: text
                for option, text in _dict(value.get("options")).items()
                if isinstance(text, str)
            }
            name, kind, anchor = value["aname"], value.get("type"), value.get("anchor_id")
            file.attributes[item.name] = name
            declared = Declared(options, joined=kind == _CHECKBOX_3)
            for anchored, known, counted in (
                (_OF_REGION, file.regions, regions),
                (_OF_FILE, file.images, images),
            ):
                if anchor == anchored:
                    known[name] = declared
                    if isinstance(kind, int) and kind in _CHOICES_3:
                        counted.choices.add(name)
    file.names = {view: names.get(fid, fid) for view, fid in views.items()}


def _entry_3(file: ViaFile, name: str, value: dict[str, Any]) -> Entry:
    view, shape = str(value.get("vid")), value.get("xy")
    attributes = {
        file.attributes.get(key, key): said for key, said in _dict(value.get("av")).items()
    }
    written = file.names.get(view, view)
    if shape == []:
        return Entry(written, attributes, [])
    return Entry(written, {}, [Region(f"region {name[:40]}", shape, attributes)])


def _columns(tree: Tree, path: str) -> dict[str, int] | None:
    """Return the places of a table's columns; None if it is none of VIA's."""
    tables.check_size(tree, path)
    first = next(tables.rows(tree, path, tables.encoding_of(tree, path), ","), [])
    places = {cell.strip().lstrip("#").lower(): at for at, cell in enumerate(first)}
    return places if all(name in places for name in _COLUMNS) else None


def _rows(tree: Tree, path: str) -> Iterator[Entry]:
    places = _columns(tree, path) or {}
    rows = tables.rows(tree, path, tables.encoding_of(tree, path), ",")
    next(rows, None)

    def cell(row: list[str], name: str) -> str:
        at = places.get(name, len(row))
        return row[at].strip() if at < len(row) else ""

    filled = ((n, row) for n, row in enumerate(rows, start=2) if any(map(str.strip, row)))
    for written, group in itertools.groupby(filled, lambda one: cell(one[1], "filename")):
        of_image: dict[str, Any] = {}
        regions: list[Region] = []
        for number, row in group:
            of_image |= _dict(_parsed(cell(row, "file_attributes")))
            shape = _parsed(cell(row, "region_shape_attributes"))
            # The row of an image without regions has none.
            if shape or cell(row, "region_count") not in {"", "0"}:
                attributes = _dict(_parsed(cell(row, "region_attributes")))
                regions.append(Region(f"row {number}", shape, attributes))
        yield Entry(written, of_image, regions)


def _parsed(text: str) -> Any:
    """Return the JSON in a cell; the text itself if it is none."""
    try:
        return json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return text
