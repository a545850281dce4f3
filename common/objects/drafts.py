"""From boxes as an annotation file has them to objects of which each is fit for use.

A format only copies what a file says into a `Draft`; what is wrong with a box is found here, for
all formats alike, once the image has been decoded and its true size is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.errors import InvalidInput
from common.objects import masking
from common.objects.annotation import Box, Object
from common.objects.placement import Placement, fitted
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from common.data.findings import Report
    from common.data.images import ImageInfo
    from common.masks.outlines import Outline

MAX_OBJECTS = 5_000_000
"""In the annotation files of an archive: all are held in memory until the images are read."""

MAX_OUTLINE_BYTES = 1024 * MIB
"""Of their outlines, for the same reason; those of COCO's train2017 take a third of it."""

# The area of a box, as files round it.
_SAME_AREA = 1 - 1e-6


@dataclass(slots=True)
class DraftObject:
    """An object as the annotation file has it, mistakes included.

    Attributes:
        label: Index of its class.
        box: xmin, ymin, xmax, ymax, perhaps in the wrong order, outside of the image or NaN.
        where: Which it is in its file, for a person, e.g. `object 3` or `line 17`.
        crowd: See `Object`.
        difficult: See `Object`.
        truncated: See `Object`.
        area: In pixels, if the file says it.
        outline: What is the object's in the image, if the file says it and is asked for it.
        boxed: Whether the file says the box; else it is the one around the outline.
    """

    label: int
    box: Box
    where: str
    crowd: bool = False
    difficult: bool = False
    truncated: bool = False
    area: float | None = None
    outline: Outline | None = None
    boxed: bool = True

    def scale(self, across: float, down: float) -> None:
        """Move it to a copy of the image of another size. A mask keeps its own size."""
        xmin, ymin, xmax, ymax = self.box
        self.box = (xmin * across, ymin * down, xmax * across, ymax * down)
        if self.area is not None:
            self.area *= across * down
        if self.outline is not None:
            self.outline = self.outline.scaled(across, down)


@dataclass(slots=True)
class Draft:
    """The objects of an image as the annotation file has them.

    Attributes:
        source: The annotation file, for a person.
        objects: In the order of the file; none for an image that is labeled as empty.
        normalized: Boxes are fractions of the image's sides, not pixels.
        width: Of the image in pixels as the file says, 0 if it does not.
        height: The same.
        dropped: How many more objects the file has that could not even be read.
    """

    source: str
    objects: list[DraftObject] = field(default_factory=list)
    normalized: bool = False
    width: int = 0
    height: int = 0
    dropped: int = 0


def check_object_count(count: int, where: str) -> None:
    """Return if annotation files may have so many objects.

    Args:
        count: How many there are, so far.
        where: Where the one too many was found.

    Raises:
        InvalidInput: They are more than `MAX_OBJECTS`.
    """
    if count > MAX_OBJECTS:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"{where}: up to here, there are more than {MAX_OBJECTS} objects, the most that are "
            "allowed. Split the archive into several data sets.",
            maximum=MAX_OBJECTS,
        )


def check_outline_bytes(count: int, where: str) -> None:
    """Return if the outlines of objects may take so much memory.

    Args:
        count: How many bytes they take, so far.
        where: Where the one too many was found.

    Raises:
        InvalidInput: They are more than `MAX_OUTLINE_BYTES`.
    """
    if count > MAX_OUTLINE_BYTES:
        raise InvalidInput(
            Reason.DATASET_INVALID,
            f"{where}: up to here, the outlines of objects take more than {MAX_OUTLINE_BYTES} "
            "bytes, the most that are allowed. Split the archive into several data sets, or draw "
            "outlines with fewer points.",
            maximum=MAX_OUTLINE_BYTES,
        )


def unused_labels(classes: Sequence[str], drafts: Iterable[Draft]) -> frozenset[int]:
    """Return the classes of which no image has an object, as far as files say."""
    used = {one.label for draft in drafts for one in draft.objects}
    return frozenset(range(len(classes))) - used


def boxes_derived(drafts: Iterable[Draft]) -> str:
    """Say so if boxes are not written in the files, but drawn around outlines; else empty."""
    around = any(not one.boxed for draft in drafts for one in draft.objects)
    return "Boxes are drawn around outlines of objects." if around else ""


def complete(
    draft: Draft, file: str, info: ImageInfo, report: Report, *, masks: bool = False
) -> list[Object]:
    """Return the objects of an image, in the order of the file; report each that is not as it was.

    Boxes end up in pixels of the upright image, inside of it. What cannot be used is left out.

    Args:
        draft: As read.
        file: The image's path.
        info: The image's size and orientation.
        report: Told.
        masks: Every object shall have a mask; one of which only the box is known is left out.
    """
    place = Placement(draft, file, info, report)
    make = masking.masked if masks else _boxed
    objects: list[Object] = []
    seen: set[tuple[int, Box | str]] = set()
    for one in draft.objects:
        where = f"{draft.source}, {one.where}"
        made = make(one, place, where, report)
        if made is None:
            continue
        key = (made.label, made.mask or made.box)
        if key in seen and not made.crowd:
            report.add("OBJECT_MASKS_REPEATED" if masks else "BOXES_REPEATED", where)
            continue
        seen.add(key)
        objects.append(made)
    if not objects:
        labeled = draft.objects or draft.dropped
        report.add("IMAGES_LEFT_WITHOUT_OBJECT" if labeled else "IMAGES_WITHOUT_OBJECT", file)
    return objects


def _boxed(one: DraftObject, place: Placement, where: str, report: Report) -> Object | None:
    """Return an object of which the box counts; None if that cannot be used."""
    box, noticed = fitted(place.box(one.box), place.width, place.height)
    for finding_id, more in noticed:
        report.add(finding_id, where + more)
    return box and Object(
        label=one.label,
        box=box,
        crowd=one.crowd,
        difficult=one.difficult,
        truncated=one.truncated,
        area=_area(one.area, box, place.scale),
    )


def _area(area: float | None, box: Box, scale: float) -> float | None:
    """Return the area that the file says; None if it is the box's, or one that cannot be."""
    if area is None or not math.isfinite(area * scale):
        return None
    of_box = (box[2] - box[0]) * (box[3] - box[1])
    # As it is stored, too, so that what is exported and read again is the same.
    stored = round(area * scale, 4)
    return stored if stored > 0 and max(stored, area * scale) < of_box * _SAME_AREA else None
