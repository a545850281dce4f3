"""From boxes as an annotation file has them to objects of which each is fit for use.

A format only copies what a file says into a `Draft`; what is wrong with a box is found here, for
all formats alike, once the image has been decoded and its true size is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.errors import InvalidInput
from common.objects.annotation import Box, Object
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from common.data.findings import Report
    from common.data.images import ImageInfo

MAX_OBJECTS = 5_000_000
"""In the annotation files of an archive: all are held in memory until the images are read."""

# Closer to the border than this is on it: what is left of rounding.
_BORDER_PX = 0.02
# Annotations of the same shape as the image, but for one part in so many, were made on a copy of
# another size.
_SAME_SHAPE = 50
# A box that ends at more than so many times the size that the file says shows that it is wrong.
_BEYOND = 1.02
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
    """

    label: int
    box: Box
    where: str
    crowd: bool = False
    difficult: bool = False
    truncated: bool = False
    area: float | None = None


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


def unused_labels(classes: Sequence[str], drafts: Iterable[Draft]) -> frozenset[int]:
    """Return the classes of which no image has an object, as far as files say."""
    used = {one.label for draft in drafts for one in draft.objects}
    return frozenset(range(len(classes))) - used


def complete(draft: Draft, file: str, info: ImageInfo, report: Report) -> list[Object]:
    """Return the objects of an image, in the order of the file; report each that is not as it was.

    Boxes end up in pixels of the upright image, inside of it. What cannot be used is left out.

    Args:
        draft: As read.
        file: The image's path.
        info: The image's size and orientation.
        report: Told.
    """
    place = _Placement(draft, file, info, report)
    objects: list[Object] = []
    seen: set[tuple[int, Box]] = set()
    for one in draft.objects:
        where = f"{draft.source}, {one.where}"
        box = _usable(place(one.box), info, where, report)
        if box is None:
            continue
        if (one.label, box) in seen and not one.crowd:
            report.add("BOXES_REPEATED", where)
            continue
        seen.add((one.label, box))
        objects.append(
            Object(
                label=one.label,
                box=box,
                crowd=one.crowd,
                difficult=one.difficult,
                truncated=one.truncated,
                area=_area(one.area, box, place.scale),
            )
        )
    if not objects:
        labeled = draft.objects or draft.dropped
        report.add("IMAGES_LEFT_WITHOUT_OBJECT" if labeled else "IMAGES_WITHOUT_OBJECT", file)
    return objects


class _Placement:
    """From the file's coordinates to pixels of the upright image.

    Attributes:
        scale: Pixels of the image for one of the file's, in area.
    """

    def __init__(self, draft: Draft, file: str, info: ImageInfo, report: Report) -> None:
        self._orientation = 1
        self._across, self._down = 1.0, 1.0
        self._width, self._height = info.width, info.height
        self.scale = 1.0
        sized = draft.width > 0 and draft.height > 0 and not draft.normalized
        said, upright = (draft.width, draft.height), (info.width, info.height)
        as_stored = upright[::-1] if info.orientation >= 5 else upright
        size = upright
        told = sized and _nearer(said, upright, as_stored)
        if sized and _nearer(said, as_stored, upright):
            # Labeled as stored, before it is turned.
            self._orientation = info.orientation
            size = as_stored
            report.add("BOXES_TURNED", file)
        elif info.orientation != 1 and draft.objects and not told:
            report.add("BOXES_MAYBE_TURNED", file)
        if draft.normalized:
            self._across, self._down = size
        elif sized and said != size:
            where = f"{file}: {said[0]} × {said[1]} in {draft.source}, "
            where += f"{size[0]} × {size[1]} in fact"
            if _shape_differs(said, size) or _need_more(draft, said, size):
                report.add("ANNOTATED_SIZE_DIFFERS", where)
            else:
                self._across, self._down = size[0] / said[0], size[1] / said[1]
                self.scale = self._across * self._down
                report.add("BOXES_SCALED", where)

    def __call__(self, box: Box) -> Box:
        xmin, ymin, xmax, ymax = box
        placed = (
            xmin * self._across, ymin * self._down, xmax * self._across, ymax * self._down
        )  # fmt: skip
        return _turn(placed, self._orientation, self._width, self._height)


def _shape_differs(one: tuple[int, int], other: tuple[int, int]) -> bool:
    across, down = one[0] * other[1], one[1] * other[0]
    return abs(across - down) * _SAME_SHAPE > down  # whole numbers, however large


def _nearer(said: tuple[int, int], one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether the said size is the one, or has its shape, and not so the other."""
    if said in {one, other}:
        return said == one != other
    return _shape_differs(said, other) and not _shape_differs(said, one)


def _need_more(draft: Draft, said: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether boxes fit the image, but not the smaller size that is said for it."""
    return said[0] < size[0] and any(
        (right > said[0] * _BEYOND or lower > said[1] * _BEYOND)
        and right <= size[0] * _BEYOND
        and lower <= size[1] * _BEYOND
        for one in draft.objects
        for right, lower in [(max(one.box[0], one.box[2]), max(one.box[1], one.box[3]))]
    )


def _turn(box: Box, orientation: int, width: int, height: int) -> Box:
    """Turn a box of the image as stored upright, to an image of (width, height), as EXIF says.

    Only orientations that swap the sides can be told from the size that a file says.
    """
    xmin, ymin, xmax, ymax = box
    match orientation:
        case 5:  # mirrored along the diagonal from the upper left
            return ymin, xmin, ymax, xmax
        case 6:  # to be turned by 90° clockwise
            return width - ymax, xmin, width - ymin, xmax
        case 7:  # mirrored along the other diagonal
            return width - ymax, height - xmax, width - ymin, height - xmin
        case 8:  # to be turned by 90° counter-clockwise
            return ymin, height - xmax, ymax, height - xmin
    return box


def _usable(box: Box, info: ImageInfo, where: str, report: Report) -> Box | None:
    """Return what of a box is inside the image; None if that is nothing."""
    if not all(math.isfinite(side) for side in box):
        report.add("BOXES_NOT_FINITE", where)
        return None
    xmin, ymin, xmax, ymax = box
    if xmin > xmax or ymin > ymax:
        report.add("BOXES_INVERTED", where)
        xmin, xmax = min(xmin, xmax), max(xmin, xmax)
        ymin, ymax = min(ymin, ymax), max(ymin, ymax)
    if xmin == xmax or ymin == ymax:
        report.add("BOXES_WITHOUT_AREA", where)
        return None
    left, upper = max(xmin, 0.0), max(ymin, 0.0)
    right, lower = min(xmax, float(info.width)), min(ymax, float(info.height))
    if left >= right or upper >= lower:
        report.add("BOXES_OUTSIDE_IMAGE", where)
        return None
    past = max(left - xmin, upper - ymin, xmax - right, ymax - lower)
    if past > _BORDER_PX:
        report.add("BOXES_CLIPPED", f"{where}: by {past:.4g} pixels")
    clipped = (round(left, 4), round(upper, 4), round(right, 4), round(lower, 4))
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        report.add("BOXES_WITHOUT_AREA", where)
        return None
    return clipped


def _area(area: float | None, box: Box, scale: float) -> float | None:
    """Return the area that the file says; None if it is the box's, or one that cannot be."""
    if area is None or not math.isfinite(area) or area <= 0:
        return None
    of_box = (box[2] - box[0]) * (box[3] - box[1])
    return None if area * scale >= of_box * _SAME_AREA else area * scale
