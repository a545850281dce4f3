"""Projects and exports of the VGG Image Annotator (VIA), versions 1 to 3, as JSON or CSV.

    images/1.jpg                    train/1.jpg
    images/2.jpg                    train/via_region_data.json
    via_project.json                val/2.jpg
                                    val/via_region_data.json

Boxes are plain boxes; polygons, circles and ellipses are outlines; points and lines are left out.
An image that a file lists without a region shows no object.

People name attributes of regions as they like. The class is the one that is called class, label,
category, type or name; else the only one that has values, or of several the one that most regions
have, which is said. If no region has an attribute, all are of one class, `object`. Where a project
gives a text for a value, that is the class, as in VIA's own export to COCO. A region with several
ticked values becomes one object of each.

An attribute of whole images is their class if it is called so; or, if there is no region, if it is
the only one but for those that VIA itself adds. The others are kept for `SplitConfig.group_by`.

The files: `via_files`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.data.formats.finding_files import Finder, split_in
from common.data.formats.json_parts import JsonError, check_size
from common.data.formats.named_attributes import Attributes, Chosen
from common.data.formats.pictures import Picture, Pictures, Read, Shape
from common.data.formats.via_files import Entry, Kind, Region, entries, kind_of, survey, values_of
from common.data.formats.via_shapes import RegionError, drawn
from common.names import shorten
from common.objects.drafts import check_object_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.data.findings import Report
    from common.data.formats.via_files import Declared, ViaFile
    from common.data.tree import Tree

_ONLY_CLASS = "object"
# Attributes that every new project has, whether they are used or not.
_OF_VIA = ("caption", "public_domain", "image_url")


class Via(Pictures):
    """The layout above."""

    name = "via"
    description = (
        "via_project.json, or VIA's export of annotations as .json or .csv, beside the images"
    )
    layout = "images/1.jpg\nvia_project.json"
    detected = (
        "A .json file begins like a project or an export of VIA, or a .csv file has the columns "
        "filename, region_shape_attributes and region_attributes."
    )
    kept = (
        "Rectangles, polygons, circles and ellipses with their class; attributes of images, one of "
        "them as their class."
    )
    dropped = "Points, lines, further attributes of regions, and videos."

    def detect(self, tree: Tree) -> str | None:
        """Say so if a file is one of VIA's."""
        for path in tree.files:
            if kind_of(tree, path) is not None:
                return f"{path} is a file of VIA"
        return None

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Read:  # noqa: ARG002
        """Look through the files for what is the class, then read them image by image."""
        regions, images = Attributes(), Attributes()
        files: list[ViaFile] = []
        broken: list[str] = []
        for path in tree.files:
            kind = kind_of(tree, path)
            if kind is None:
                continue
            check_size(tree, path)
            try:
                files.append(survey(tree, path, kind, regions, images))
            except JsonError as error:
                broken.append(f"{path}: {error}")
        if not files:
            raise self.nothing(tree, broken[0] if broken else "")
        report.add("ANNOTATION_FILES_UNREADABLE", broken)
        for name in _OF_VIA:
            images.counts.pop(name, None)
        of_region = _Chosen.of(regions.of_class(), files, of_images=False)
        of_image = _Chosen.of(_class_of_images(regions, images), files, of_images=True)
        for said, counted in ((of_region, regions), (of_image, images)):
            if said.guessed:
                others = ", ".join(shorten(one) for one in counted.counts if one != said.name)
                more = f"; others are {others}" if others else ""
                report.add("CLASS_ATTRIBUTE_GUESSED", shorten(said.name) + more)
        for name, count in regions.counts.items():
            if name != of_region.name:
                report.add("ATTRIBUTES_NOT_READ", shorten(name), count=count)
        reader = _Reader(tree, report, of_region, of_image)
        classes = of_region.texts if regions.total else of_image.texts
        return Read(reader.pictures(files), classes)


def _class_of_images(regions: Attributes, images: Attributes) -> Chosen | None:
    name = images.named()
    if name is not None:
        return Chosen(name, guessed=False)
    # Beside objects, an attribute such as the weather is not what an image is about.
    return images.of_class() if not regions.total and len(images.counts) == 1 else None


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The attribute that is the class.

    Attributes:
        name: As written; empty if there is none.
        guessed: Its name does not say that it is the class.
        declared: What the first project that declares it says.
    """

    name: str
    guessed: bool
    declared: Declared | None

    @staticmethod
    def of(chosen: Chosen | None, files: list[ViaFile], *, of_images: bool) -> _Chosen:
        """Look up what projects say of an attribute."""
        if chosen is None:
            return _Chosen("", guessed=False, declared=None)
        known = [(file.images if of_images else file.regions).get(chosen.name) for file in files]
        declared = next((one for one in known if one is not None), None)
        return _Chosen(chosen.name, chosen.guessed, declared)

    @property
    def texts(self) -> list[str]:
        """Classes in the order of the project."""
        options = self.declared.options if self.declared else {}
        return [text.strip() or option for option, text in options.items()]

    def values(self, attributes: dict[str, Any]) -> list[str]:
        """Return the classes of a region, or of an image."""
        return values_of(attributes.get(self.name), self.declared) if self.name else []


class _Reader:
    """Makes pictures of entries."""

    def __init__(self, tree: Tree, report: Report, of_region: _Chosen, of_image: _Chosen) -> None:
        self._tree = tree
        self._report = report
        self._finder = Finder(tree)
        self._of_region = of_region
        self._of_image = of_image

    def pictures(self, files: list[ViaFile]) -> Iterator[Picture]:
        """Yield each image that a file lists."""
        for file in files:
            found = self._pictures(file)
            yield from _together(found) if file.kind == Kind.PROJECT_3 else found

    def _pictures(self, file: ViaFile) -> Iterator[Picture]:
        split = split_in(file.path)
        guessed = False
        missing: set[str] = set()
        for entry in entries(self._tree, file):
            path = self._finder.nearest(file.path, entry.written, split)
            if path is None:
                # Version 3 may have an entry for each region.
                if entry.written not in missing:
                    where = f"{file.path}: {shorten(entry.written)}"
                    self._report.add("LISTED_FILES_MISSING", where)
                if file.kind == Kind.PROJECT_3:
                    missing.add(entry.written)
                continue
            if entry.regions and not self._of_region.name and not guessed:
                guessed = True
                self._report.add("CLASSES_GUESSED", f"{file.path}: {_ONLY_CLASS}")
            picture = Picture(
                path,
                file.path,
                tags=self._of_image.values(entry.attributes),
                split=split,
                labeled=entry.regions is not None,
                columns=self._columns(entry),
            )
            for region in entry.regions or ():
                self._draw(region, picture)
            yield picture

    def _draw(self, region: Region, picture: Picture) -> None:
        where = f"{picture.source}, {region.where}"
        try:
            box, outline = drawn(region.shape)
        except RegionError as error:
            self._report.add(error.finding_id, f"{where}: {error}")
            picture.dropped += 1
            return
        labels = (
            self._of_region.values(region.attributes) if self._of_region.name else [_ONLY_CLASS]
        )
        if len(labels) > 1:
            self._report.add("SHAPES_OF_SEVERAL_CLASSES", f"{where}: {', '.join(labels)}")
        # What has no class is named later, as for all tools.
        picture.shapes += [Shape(label, region.where, box, outline) for label in labels or [""]]

    def _columns(self, entry: Entry) -> dict[str, str]:
        return {
            name: ", ".join(values)
            for name, value in entry.attributes.items()
            if name != self._of_image.name and (values := values_of(value))
        }


def _together(pictures: Iterator[Picture]) -> Iterator[Picture]:
    """Yield each image once, with all that its pictures show."""
    by_file: dict[str, Picture] = {}
    count = 0
    for picture in pictures:
        count += len(picture.shapes)
        check_object_count(count, picture.source)
        known = by_file.setdefault(picture.file, picture)
        if known is not picture:
            known.tags += picture.tags
            known.shapes += picture.shapes
            known.dropped += picture.dropped
            known.columns |= picture.columns
    yield from by_file.values()
