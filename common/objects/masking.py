"""From an outline as an annotation file has it to a mask, with the box and the area to it.

Shape letters: P points.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from common.masks import rle
from common.objects.annotation import Object
from common.objects.placement import BORDER_PX, Placement, fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.data.findings import Report
    from common.masks.outlines import Polygon
    from common.objects.annotation import Box
    from common.objects.drafts import DraftObject
    from common.objects.placement import Points

# A box that has less than this in common with that around the mask is not the object's, unless all
# its sides are within a pixel.
_LEAST_IOU = 0.5
# An area that differs by more than this part, and by more than pixels along half of the border, is
# not that of the mask: polygons lie between pixels.
_AREA_TOLERANCE = 0.05
# To draw takes memory for each pixel along the border; no outline of an object is so long.
_LONGEST_BORDER_PX = 4_000_000


def masked(one: DraftObject, place: Placement, where: str, report: Report) -> Object | None:
    """Return an object of which the mask counts; None if it has none that can be used.

    The box is the one that the file says, if that fits the mask, else the one around the mask. The
    area is the mask's, whatever the file says.

    Args:
        one: As read.
        place: Of its image.
        where: The annotation file and the object, for a person.
        report: Told.
    """
    mask = _mask(one, place, where, report)
    if mask is None:
        return None
    around = rle.bounds(mask)
    if around is None:
        report.add("OBJECT_MASKS_EMPTY", where)
        return None
    area = rle.area(mask)
    if one.area is not None and _area_differs(one.area * place.scale, area, around):
        shown = f"{where}: {one.area * place.scale:.6g}, the mask has {area}"
        report.add("AREAS_NOT_OF_MASKS", shown)
    return Object(
        label=one.label,
        box=_box(one, around, place, where, report) if one.boxed else around,
        crowd=one.crowd,
        difficult=one.difficult,
        truncated=one.truncated,
        area=area,
        mask=rle.text_of(mask),
    )


def _mask(one: DraftObject, place: Placement, where: str, report: Report) -> rle.Rle | None:
    outline = one.outline
    if outline is not None and outline.rle is not None:
        return place.mask(outline.rle, where, report)
    if outline is None or not outline.polygons:
        report.add("OBJECTS_WITHOUT_OUTLINE", where)
        return None
    polygons = _polygons(outline.polygons, place, where, report)
    return rle.from_polygons(polygons, place.height, place.width) if polygons else None


def _polygons(
    polygons: Sequence[Polygon], place: Placement, where: str, report: Report
) -> list[Points]:
    """Return x and y, by turns, of those that can be used, in pixels of the upright image."""
    size_2 = np.array([place.width, place.height], np.float64)
    found: set[str] = set()
    kept: list[Points] = []
    past = length = 0.0
    for polygon in polygons:
        if len(polygon) < 6:
            found.add("POLYGONS_TOO_SHORT")
            continue
        points_P2 = place.points(polygon.reshape(-1, 2))
        if not np.isfinite(points_P2).all():
            found.add("POLYGONS_NOT_FINITE")
            continue
        least_2, most_2 = points_P2.min(axis=0), points_P2.max(axis=0)
        if (least_2 >= size_2).any() or (most_2 <= 0).any():
            found.add("POLYGONS_OUTSIDE_IMAGE")
            continue
        length += _length(np.clip(points_P2, 0, size_2))
        if length > _LONGEST_BORDER_PX:
            report.add("POLYGONS_TOO_LONG", where, maximum=_LONGEST_BORDER_PX)
            return []
        past = max(past, -float(least_2.min()), float((most_2 - size_2).max()))
        kept.append(points_P2.ravel())
    for finding_id in sorted(found):
        report.add(finding_id, where)
    if past > BORDER_PX:
        report.add("POLYGONS_CLIPPED", f"{where}: by {past:.4g} pixels")
    return kept


def _length(points_P2: Points) -> float:
    """Return how many pixels there are along a border, each edge counted on its longer axis."""
    return float(np.abs(points_P2 - np.roll(points_P2, 1, axis=0)).max(axis=1).sum())


def _area_differs(said: float, area: int, around: Box) -> bool:
    if not math.isfinite(said):
        return True
    border = around[2] - around[0] + around[3] - around[1]
    return abs(said - area) > max(_AREA_TOLERANCE * area, border)


def _box(one: DraftObject, around: Box, place: Placement, where: str, report: Report) -> Box:
    """Return the box that the file says, or that around the mask if they are not the same."""
    box, noticed = fitted(place.box(one.box), place.width, place.height)
    if box is None or not _alike(box, around):
        report.add("BOXES_NOT_OF_MASKS", where)
        return around
    for finding_id, more in noticed:
        report.add(finding_id, where + more)
    return box


def _alike(one: Box, other: Box) -> bool:
    if max(abs(a - b) for a, b in zip(one, other, strict=True)) <= 1:
        return True
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return False
    shared = across * down
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared >= _LEAST_IOU * (sum(areas) - shared)
