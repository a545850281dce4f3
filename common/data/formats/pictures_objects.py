"""The classes and objects of pictures as labelling tools export them; see `pictures`."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING

from common.data.formats import check_class_count, tables
from common.masks.outlines import Outline
from common.objects.drafts import Draft, DraftObject, check_object_count, check_outline_bytes

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from common.data.findings import Report
    from common.data.formats.pictures import Picture, Shape
    from common.objects.annotation import Box

_NOWHERE = (math.nan, math.nan, math.nan, math.nan)
_LEAST_NUMBERS = 6  # of three points


class Labels:
    """Classes in the order in which they are met, until all are known."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._index_of: dict[str, int] = {}

    def index(self, written: str, where: str) -> int | None:
        """Return the number of a class; None if it is none, which is reported."""
        known = self._index_of.get(written)
        if known is not None:
            return known
        name = normal(written)
        if not 0 < len(name) <= tables.MAX_LABEL_LENGTH:
            more = f": {len(name)} characters" if name else ""
            self._report.add("SHAPES_WITHOUT_CLASS", where + more)
            return None
        index = self._index_of.setdefault(name, len(self._index_of))
        check_class_count(len(self._index_of), where)
        return index

    def finish(
        self, named: Iterable[str], elsewhere: Container[str]
    ) -> tuple[list[str], list[int], frozenset[int]]:
        """Put the classes in order.

        Args:
            named: By the export, as written.
            elsewhere: Classes of what the task does not use; they are none if nothing else has
                them.

        Returns:
            The classes; the index of each of the numbers that were given; and the indices of
            classes that are named, but that nothing has.
        """
        names = dict.fromkeys(map(normal, named))
        classes = [
            name
            for name in names
            if 0 < len(name) <= tables.MAX_LABEL_LENGTH
            and (name in self._index_of or name not in elsewhere)
        ]
        classes += sorted(self._index_of.keys() - names.keys())
        if classes:
            check_class_count(len(classes), classes[-1])
        index_of = {name: index for index, name in enumerate(classes)}
        unused = frozenset(index_of[name] for name in classes if name not in self._index_of)
        return classes, [index_of[name] for name in self._index_of], unused


def normal(written: str) -> str:
    """Return the name of a class; empty if it is none."""
    name = unicodedata.normalize("NFC", written.strip())
    return name.encode(errors="replace").decode()  # JSON allows half characters


class Objects:
    """Makes drafts of pictures, as long as all of them can be held in memory.

    Attributes:
        labels: Their classes.
        around_outlines: How many boxes were drawn around outlines.
    """

    def __init__(self, report: Report, *, outlines: bool) -> None:
        self._report = report
        self._outlines = outlines
        self._count = 0
        self._outline_bytes = 0
        self.labels = Labels(report)
        self.around_outlines = 0

    def draft(self, picture: Picture) -> Draft:
        """Return what a picture shows; the labels are numbers until all are known."""
        draft = Draft(
            picture.source,
            normalized=picture.normalized,
            width=picture.width,
            height=picture.height,
            dropped=picture.dropped,
        )
        for shape in picture.shapes:
            where = f"{picture.source}, {shape.where}"
            label = self.labels.index(shape.label, where)
            one = None if label is None else self._object(label, shape, picture, where)
            if one is None:
                draft.dropped += 1
                continue
            self._count += 1
            check_object_count(self._count, where)
            if one.outline is not None:
                self._outline_bytes += one.outline.byte_count
                check_outline_bytes(self._outline_bytes, where)
            draft.objects.append(one)
        return draft

    def _object(self, label: int, shape: Shape, picture: Picture, where: str) -> DraftObject | None:
        """Return an object; None if it has no box that can be used, which is reported."""
        box, outline = shape.box, shape.outline
        if self._outlines:
            box = box or (outline and outline.bounds()) or _NOWHERE
        elif box is None:
            if outline is None:
                self._report.add("BOXES_UNREADABLE", where)
                return None
            box = _around(outline, picture)
            if box is None:
                empty = outline.rle is not None
                self._report.add("OBJECT_MASKS_EMPTY" if empty else "POLYGONS_TOO_SHORT", where)
                return None
            self._report.add("BOXES_AROUND_OUTLINES", where)
            self.around_outlines += 1
        return DraftObject(
            label,
            box,
            shape.where,
            crowd=shape.crowd,
            difficult=shape.difficult,
            truncated=shape.truncated,
            outline=outline if self._outlines else None,
            boxed=shape.box is not None,
        )


def _around(outline: Outline, picture: Picture) -> Box | None:
    """Return the box around an outline, in the coordinates of its picture; None if it is empty."""
    if outline.rle is None:
        polygons = tuple(one for one in outline.polygons if len(one) >= _LEAST_NUMBERS)
        return Outline(polygons).bounds()
    box = outline.bounds()
    if box is None:
        return None
    # A mask has pixels of its own size.
    height, width = outline.rle["size"]
    across, down = picture.width or width, picture.height or height
    if picture.normalized:
        across = down = 1
    xmin, ymin, xmax, ymax = box
    scales = across / width, down / height
    return xmin * scales[0], ymin * scales[1], xmax * scales[0], ymax * scales[1]
