"""A picture for each image, in which the value of a pixel is the number of its object.

    images/train/1.jpg      images/train/1.jpg                JPEGImages/1.jpg
    masks/train/1.png       masks/train/1_instanceIds.png     SegmentationObject/1.png
                            masks/train/1.json                SegmentationClass/1.png

0 is no object. PNG, BMP or TIFF of 8 or 16 bits, grey or with a palette, or in colours, of which
each is an object of its own. For where such pictures may lie see `mask_files`. Masks named for
instances or objects are meant first, then those named for nothing in particular, unless they have
two values only or a table names all of them: these are masks of classes.

What an object is, is said by the first of these that there is:

- a `.json` or `.csv` named like the mask or the image, which gives the class of each number, by its
  name or by its number in a table (see `class_lines`);
- masks of classes beside those of objects, as Pascal VOC and CVAT have them, with a table of their
  classes: an object has the class that most of its pixels have;
- the number itself, as in Cityscapes: 26001 is the second object of class 26, and 26 alone is a
  crowd of them. So it is if there are numbers above 999 and none from 256 to 999, or if masks are
  called as in Cityscapes;
- nothing: all are of one class, that of a table that names a single one besides the background,
  else `object`.

255 in pictures of 8 bits is the border around objects, of which nobody says what it shows, if there
are smaller numbers but no 254. For panoptic files of COCO see `panoptic_file`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from common.data.findings import Report
from common.data.formats import (
    Format,
    Reading,
    Record,
    check_class_count,
    class_tables,
    mask_pixels,
    tables,
)
from common.data.formats import panoptic_file as panoptic
from common.data.formats.cityscapes_table import OBJECTS
from common.data.formats.drawn_objects import ONLY_CLASS, Gatherer, lists_outlines
from common.data.formats.instance_classes import ClassPictures, ClassTexts, table_of
from common.data.formats.mask_files import given_splits
from common.data.formats.mask_survey import Kind, pack, survey
from common.data.formats.object_masks import ObjectMasks
from common.data.formats.published_masks import CITYSCAPES, published_as
from common.data.images import ImageError
from common.errors import InvalidInput
from common.masks.checks import BACKGROUND
from common.masks.instances import masks_of
from common.objects.drafts import Draft
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from common.data.formats.mask_files import MaskSet, Pair
    from common.data.formats.mask_pixels import MaskPixels
    from common.data.tree import Tree
    from common.masks.rle import Rle

_INSTANCES = re.compile(r"instance|object")
_PANOPTIC = re.compile(r"panoptic")
_CLASSES = re.compile(r"semantic|class|labelids|trainids")
_PER_CLASS = 1000
_MOST_CLASSES = 256
_BORDER = 255


class InstanceIndex(Format):
    """The layout above."""

    name = "instance_index"
    description = (
        "a picture for each image, as PNG with the same name in a folder named masks, whose pixels "
        "have the number of their object, 0 where there is none"
    )
    layout = """images/1.jpg
instances/1.png     0 is nothing, 1 the first object, 2 the second, …
instances/1.json    {"1": "cat", "2": "dog"}"""
    detected = (
        "A picture for each image in a folder named for masks or instances, whose values are "
        "many or named for objects."
    )
    kept = (
        "The mask of each object; the class by a file beside it, by masks of classes, or by the "
        "number itself; splits by lists and folders."
    )
    dropped = "The border of 255 around objects."
    published: ClassVar[str] = ""
    """The data set whose masks these are; empty for masks in general. See `published_masks`."""

    def detect(self, tree: Tree) -> str | None:
        """Say so if there is such a set of masks, and nothing says more clearly what is where."""
        if lists_outlines(tree) or ObjectMasks().detect(tree):
            return None
        if paths := panoptic.paths(tree):
            return None if self.published else f"{paths[0]} lists the segments of images"
        masks = _choose(tree)
        if masks is None or published_as(tree, masks) != self.published:
            return None
        return f"{masks.pairs[0].mask} has the number of the object of each pixel"

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Decode the masks one by one; only where each object is remains."""
        if panoptic.paths(tree):
            return panoptic.read(tree, report, max_records=max_records)
        masks = _choose(tree, named=True)
        if masks is None:
            raise InvalidInput(
                Reason.DATASET_INVALID,
                f"There are no masks of objects in the archive, which has {tree.describe()}. The "
                f"format {self.name} needs {self.description}.",
            )
        tables.check_row_count(len(masks.pairs), max_records, masks.name, "masks")
        survey(tree).files.report_others(
            masks,
            report,
            unmasked="IMAGES_WITHOUT_OBJECT_MASK",
            used=ClassPictures.name_of(tree, masks),
        )
        reader = _Reader(tree, masks, report)
        drafts = {pair.image: draft for pair in masks.pairs if (draft := reader.draft(pair))}
        classes = reader.settle_classes(drafts)
        split = given_splits(tree, masks, report)
        records = [Record(image, draft, split.get(image)) for image, draft in drafts.items()]
        used = {one.label for draft in drafts.values() for one in draft.objects}
        return Reading(classes, records, frozenset(range(len(classes))) - used)


def _choose(tree: Tree, *, named: bool = False) -> MaskSet | None:
    """Return the likeliest set of masks of objects.

    Args:
        tree: The files.
        named: The user says that there is one: then those for something else by their name, too.
    """
    found = survey(tree)
    best: tuple[int, MaskSet] | None = None
    for masks in found.files.sets:
        inner = "/".join(masks.name.lower().split("/")[-2:])
        if _INSTANCES.search(inner):
            rank = 3
        elif _PANOPTIC.search(inner):
            rank = 1
        elif masks.is_other or _CLASSES.search(inner):
            rank = 0 if named else -1
        else:
            rank = 2
        # Of a set that is named for it, one picture may have very many objects.
        if rank < 0 or (rank < 3 and not named and not _may_be(tree, masks)):
            continue
        if best is None or rank > best[0]:
            best = rank, masks
    return best[1] if best else None


def _may_be(tree: Tree, masks: MaskSet) -> bool:
    """Whether masks that are not named for it may number objects.

    Not if a table names all of their numbers, nor if there are only two: an image may show many
    objects in white.
    """
    look = survey(tree).look(tree, masks)
    if look.kind in {Kind.OTHER, Kind.BINARY}:
        return False
    try:
        names = table_of(tree, masks, Report())
    except InvalidInput:
        return False
    return not look.values - {0, _BORDER} <= names.keys()


class _Found(NamedTuple):
    """An object before all classes are known.

    Attributes:
        value: Its number.
        mask: Where it is.
        said: Its class, if a file or a picture says it.
    """

    value: int
    mask: Rle
    said: str | None


class _Reader:
    """Decodes masks, and finds out what their numbers mean once all have been seen."""

    def __init__(self, tree: Tree, masks: MaskSet, report: Report) -> None:
        self._tree = tree
        self._masks = masks
        self._report = report
        self._names: Mapping[int, str] = {}
        try:
            self._names = table_of(tree, masks, report)
        except InvalidInput as error:  # numbers of objects may well need no table
            report.add("CLASS_TABLES_UNREADABLE", error.message)
        self._texts = ClassTexts(tree, self._names, report)
        self._pictures = ClassPictures(tree, masks, report)
        self._gatherer = Gatherer()
        self._found: dict[str, list[_Found]] = {}
        self._values: set[int] = set()
        shown = {
            name
            for name in self._names.values()
            if name.lower() != BACKGROUND and not class_tables.means_void(name)
        }
        self._only = shown.pop() if len(shown) == 1 else ONLY_CLASS
        # Numbers of 16 bits and of colours mean other things than those of 8.
        self._bits = 8

    def draft(self, pair: Pair) -> Draft | None:
        """Decode a mask; its objects are added by `settle_classes`."""
        try:
            pixels = mask_pixels.read(self._tree, pair.mask)
            values_HW = self._numbers(pixels)
            masks = list(masks_of(values_HW))
            said = self._texts.classes(pair) or self._pictures.classes(pair, values_HW)
        except ImageError as error:
            self._report.add("MASKS_UNREADABLE", f"{pair.mask}: {error.message}")
            return None
        except ValueError as error:
            self._report.add("MASKS_UNREADABLE", f"{pair.mask}: {error}")
            return None
        self._found[pair.image] = [_Found(value, mask, said.get(value)) for value, mask in masks]
        self._values.update(one.value for one in self._found[pair.image])
        height, width = values_HW.shape
        return Draft(pair.mask, width=width, height=height)

    def _numbers(self, pixels: MaskPixels) -> np.ndarray:
        if pixels.coloured:
            self._bits = 24
            values_HW: np.ndarray = pack(pixels.array)
        else:
            values_HW = pixels.array
            if values_HW.dtype.itemsize > 1:
                self._bits = max(self._bits, 16)
        if pixels.lossy:
            raise ValueError("it is stored with loss, so that its numbers are not exact")
        if values_HW.size and values_HW.min() < 0:
            raise ValueError("it has negative numbers")
        return values_HW

    def settle_classes(self, drafts: dict[str, Draft]) -> list[str]:
        """Give each draft its objects; return the classes in the order of their indices."""
        if self._is_border():
            self._report.add("OBJECT_BORDERS_VOID", [self._masks.name])
            for image, found in self._found.items():
                self._found[image] = [one for one in found if one.value != _BORDER]
        of_value = self._by_number()
        index_of: dict[str, int] = {}
        named: dict[str, None] = {}
        guessed = False
        for found in self._found.values():
            for one in found:
                name = one.said or of_value.get(one.value, self._only)
                guessed |= name == ONLY_CLASS and not one.said
                if name is not None:
                    named[name] = None
        listed = dict.fromkeys([*self._pictures.names, *self._names.values()])
        known = [name for name in listed if name in named]
        for name in [*known, *sorted(named.keys() - set(known))]:
            index_of[name] = len(index_of)
        check_class_count(len(index_of), self._masks.name)
        if guessed:
            self._report.add("OBJECT_CLASSES_UNNAMED", [ONLY_CLASS])
        for image, found in self._found.items():
            self._fill(drafts[image], found, of_value, index_of)
        return list(index_of)

    def _fill(
        self,
        draft: Draft,
        found: list[_Found],
        of_value: dict[int, str | None],
        index_of: dict[str, int],
    ) -> None:
        for one in found:
            where = f"number {one.value}"
            name = one.said or of_value.get(one.value, self._only)
            if name is not None:
                crowd = one.said is None and one.value in of_value and one.value < _PER_CLASS
                self._gatherer.add(draft, one.mask, index_of[name], where, crowd=crowd)
            else:
                self._report.add("REGIONS_WITHOUT_OBJECTS", f"{draft.source}, {where}")

    def _is_border(self) -> bool:
        """Whether 255 is no object."""
        others = self._values - {_BORDER}
        there = self._bits == 8 and _BORDER in self._values
        return there and bool(others) and _BORDER - 1 not in others

    def _by_number(self) -> dict[int, str | None]:
        """Return the classes that numbers say by themselves, as in Cityscapes.

        Of a class without any single object, numbers have none: they are regions such as the sky.
        """
        highest = max(self._values, default=0)
        between = any(_MOST_CLASSES <= value < _PER_CLASS for value in self._values)
        of_streets = published_as(self._tree, self._masks) == CITYSCAPES
        if not of_streets and (self._bits != 16 or highest < _PER_CLASS or between):
            return {}
        names = self._names
        if not names and "instanceids" in self._masks.name.lower():
            names = OBJECTS
        single = {value // _PER_CLASS for value in self._values if value >= _PER_CLASS}
        unnamed = sorted(key for key in single if key not in names)
        self._report.add("MASK_CLASSES_GUESSED", (f"class {key}" for key in unnamed))
        of_value: dict[int, str | None] = {}
        for value in self._values:
            key = value // _PER_CLASS if value >= _PER_CLASS else value
            of_value[value] = names.get(key, f"class {key}") if key in single else None
        return of_value
