"""Which columns of tables are what: told by the request, or found by what they hold and are called.

Of columns of images, the first that is not called like a mask is the image; the first that is, or
is called like annotations, the mask. The class of the image is a column whose numbers have names,
or one that is called like a class. Objects are a column with parts, of which one is called like a
box, an outline or a mask, or several columns called so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.data.formats import tables
from common.data.hugging_face.features import Column, Kind, Names, Path
from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_IMAGE = ("image", "img", "pixel_values", "photo", "picture", "jpg", "jpeg", "png", "webp")
_MASK = re.compile(
    r"(?:.*_)?(?:masks?|labels?|annotations?|annotated|segmentations?|seg|segmaps?|gt|ground_truth|"
    r"groundtruth|semantic|targets?)(?:_.*)?"
)
_LABEL = (*tables.LABEL_COLUMNS, "classes", "fine_label", "label_id", "cls")
_BOX = ("bbox", "bboxes", "box", "boxes", "bounding_box", "bounding_boxes")
_CLASS = (
    *("category", "categories", "category_id", "category_ids", "class", "classes", "class_id"),
    *("class_ids", "class_label", "class_labels", "label", "labels", "name", "names"),
    *("category_name", "class_name", "objects_category"),
)
_OUTLINE = ("segmentation", "segmentations", "polygon", "polygons", "outline", "rle", "rles")
_MASKS = ("mask", "masks", "instance_masks", "instances", "object_masks")
_CROWD = ("iscrowd", "is_crowd", "crowd")
_DIFFICULT = ("difficult", "is_difficult")
_TRUNCATED = ("truncated", "is_truncated")
_OBJECTS = ("objects", "annotations", "faces", "instances")
_OTHER = re.compile(r"(?:.*_)?(?:instances?|panoptic|depth|edges?|normals?|disparity)(?:_.*)?")
_WIDTH = ("width", "image_width", "img_width")
_HEIGHT = ("height", "image_height", "img_height")
_FIELD = "source.hugging_face"


@dataclass(frozen=True, slots=True)
class Objects:
    """Where what is said of objects stands; None for what is not said.

    Attributes:
        box: Four numbers.
        label: The class.
        outline: Polygons, or runs of pixels.
        masks: A column of lists of images.
        marks: `crowd`, `difficult` and `truncated`, those that are there.
    """

    box: Path | None = None
    label: Path | None = None
    outline: Path | None = None
    masks: str | None = None
    marks: tuple[tuple[str, Path], ...] = ()

    @property
    def columns(self) -> set[str]:
        """The columns that are read."""
        paths = (self.box, self.label, self.outline, *(path for _, path in self.marks))
        return {path[0] for path in paths if path} | ({self.masks} if self.masks else set())


@dataclass(frozen=True, slots=True)
class Roles:
    """What the columns of a table are.

    Attributes:
        image: The images.
        label: The class of the whole image.
        objects: What is said of objects, if anything is.
        mask: Images of the class of each pixel.
        size: Width and height of the image.
        others: What else could have been taken, e.g. `coarse_label, not fine_label`.
    """

    image: str
    label: str | None = None
    objects: Objects | None = None
    mask: str | None = None
    size: tuple[str, str] | None = None
    others: tuple[str, ...] = ()


def find(
    columns: Mapping[str, Column], names: Names, told: Mapping[str, str], path: str
) -> Roles | None:
    """Tell what the columns of a table are; None if it has no images.

    Args:
        columns: Those of the table.
        names: Of classes, by where their numbers stand.
        told: What the request says, by the fields of `HuggingFaceSource`.
        path: Of the table, for a person.

    Raises:
        InvalidInput: The request names a column that there is not, or that has something else.
    """
    images = [one.name for one in columns.values() if one.kind == Kind.IMAGE]
    image = _told("image_column", columns, told, path, {Kind.IMAGE}) or _image(images)
    if image is None:
        return None
    masks = [one for one in images if one != image and _MASK.fullmatch(one.lower())]
    masks.sort(key=lambda one: _OTHER.fullmatch(one.lower()) is not None)
    masks = [one for one in masks if not _OTHER.fullmatch(one.lower())] or masks
    mask = _told("mask_column", columns, told, path, {Kind.IMAGE})
    objects = _objects(columns, _told("objects_column", columns, told, path, set(Kind)))
    taken = {image, mask} | (objects.columns if objects else set())
    labels = _labels([one for one in columns.values() if one.name not in taken], names)
    label = _told("label_column", columns, told, path, {Kind.PLAIN, Kind.NESTED})
    width, height = _called(columns, _WIDTH), _called(columns, _HEIGHT)
    return Roles(
        image,
        label or next(iter(labels), None),
        objects,
        mask or next(iter(masks), None),
        (width, height) if width and height else None,
        tuple(
            f"{found[0]}, not {' or '.join(found[1:5])}"
            for said, found in (("label", labels), ("mask", masks))
            if len(found) > 1 and not told.get(f"{said}_column")
        ),
    )


def _told(
    field: str, columns: Mapping[str, Column], told: Mapping[str, str], path: str, kinds: set[Kind]
) -> str | None:
    """Return the column that the request names; None if it names none."""
    name = told.get(field, "")
    if not name:
        return None
    if name in columns and columns[name].kind in kinds:
        return name
    have = ", ".join(shorten(one.name) for one in columns.values() if one.kind in kinds)
    raise InvalidInput(
        Reason.FIELD_NOT_A_CHOICE,
        f"{_FIELD}.{field} is {shorten(name)!r}, but the columns of {path} that may be meant are "
        f"{have or 'none'}. Send one of these, or leave it empty.",
        field=f"{_FIELD}.{field}",
        value=shorten(name),
    )


def _image(images: Sequence[str]) -> str | None:
    for wanted in _IMAGE:
        for name in images:
            if name.lower() == wanted:
                return name
    plain = [name for name in images if not _MASK.fullmatch(name.lower())]
    return next(iter(plain or images), None)


def _labels(columns: Sequence[Column], names: Names) -> list[str]:
    """Return the columns that may be the class of the image, the likeliest first."""
    rank = {name: place for place, name in enumerate(_LABEL)}
    fitting = [
        one
        for one in columns
        if one.kind in {Kind.PLAIN, Kind.NESTED}
        and not one.parts
        and ((one.name,) in names or one.name.lower() in rank)
    ]
    fitting.sort(key=lambda one: ((one.name,) not in names, rank.get(one.name.lower(), len(rank))))
    return [one.name for one in fitting]


def _objects(columns: Mapping[str, Column], told: str | None) -> Objects | None:
    if told is not None and not columns[told].parts:
        return _of_columns({told: columns[told]} | dict(columns), told)
    candidates = [told] if told else sorted(columns, key=lambda one: one.lower() not in _OBJECTS)
    for name in candidates:
        parts = {part.lower(): part for part in columns[name].parts}
        box, outline = _first(parts, _BOX), _first(parts, (*_OUTLINE, *_MASKS))
        label = _first(parts, _CLASS)
        if box or outline:
            return Objects(
                (name, box) if box else None,
                (name, label) if label else None,
                (name, outline) if outline else None,
                marks=tuple((mark, (name, part)) for mark, part in _marks(parts)),
            )
    return None if told else _of_columns(columns, None)


def _of_columns(columns: Mapping[str, Column], told: str | None) -> Objects | None:
    """Return objects of which each column says something, as lists of the same length."""
    nested = {one.name.lower(): one.name for one in columns.values() if one.kind == Kind.NESTED}
    several = {one.name.lower(): one.name for one in columns.values() if one.kind == Kind.IMAGES}
    box, outline = _first(nested, _BOX), _first(nested, _OUTLINE)
    masks = _first(several, _MASKS)
    if told in several.values():
        masks = told
    elif told is not None and told not in {box, outline}:
        box = told
    if not (box or outline or masks):
        return None
    named = {one.name.lower(): one.name for one in columns.values() if one.name != told}
    label = _first(nested, _CLASS) or _first(named, _CLASS)
    return Objects(
        (box,) if box else None,
        (label,) if label else None,
        (outline,) if outline else None,
        masks,
        tuple((mark, (name,)) for mark, name in _marks(nested)),
    )


def _marks(names: Mapping[str, str]) -> list[tuple[str, str]]:
    wanted = (("crowd", _CROWD), ("difficult", _DIFFICULT), ("truncated", _TRUNCATED))
    return [(mark, found) for mark, names_ in wanted if (found := _first(names, names_))]


def _called(columns: Mapping[str, Column], wanted: Sequence[str]) -> str | None:
    return _first({n.lower(): n for n, one in columns.items() if one.kind == Kind.PLAIN}, wanted)


def _first(names: Mapping[str, str], wanted: Sequence[str]) -> str | None:
    return next((names[name] for name in wanted if name in names), None)
