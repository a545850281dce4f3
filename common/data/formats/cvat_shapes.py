"""Shapes as CVAT writes them in XML: an element each, with the numbers in its attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.data.formats.pictures import Shape
from common.data.formats.pictures_shapes import (
    ShapeError,
    around_turned,
    ellipse,
    from_row_runs,
    placed,
    polygons,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from common.data.findings import Report

USABLE = frozenset({"box", "polygon", "ellipse", "mask"})
"""Elements that have an area."""

UNUSABLE = frozenset({"polyline", "points", "cuboid", "skeleton"})
"""Elements that have none, or none that is drawn on the image."""

_YES = frozenset({"1", "true", "yes"})
_CROWD = frozenset({"crowd", "iscrowd", "is_crowd"})
_MARKS = _CROWD | {"difficult", "truncated"}


def read(
    element: Element,
    label: str,
    size: tuple[int, int],
    source: str,
    where: str,
    report: Report,
) -> Shape | None:
    """Return the shape of an element; None if it cannot be read, which is reported.

    Args:
        element: One of `USABLE`.
        label: Its class.
        size: Width and height of its image in pixels, 0 if they are not known.
        source: The file, for a person.
        where: Which shape of the file it is, for a person.
        report: Told.
    """
    marks = _marks(element)
    shape = Shape(
        label,
        where,
        crowd=not _CROWD.isdisjoint(marks),
        difficult="difficult" in marks,
        truncated="truncated" in marks,
    )
    try:
        if element.tag == "box":
            xmin, ymin, xmax, ymax = (
                _number(element, side) for side in ("xtl", "ytl", "xbr", "ybr")
            )
            shape.box = xmin, ymin, xmax, ymax
            if turned := _number(element, "rotation", 0):
                shape.box = around_turned(shape.box, turned)
                report.add("BOXES_AROUND_TURNED", f"{source}, {where}: by {turned:g} degrees")
        elif element.tag == "polygon":
            shape.outline = polygons(_points(element))
        elif element.tag == "ellipse":
            center = _number(element, "cx"), _number(element, "cy")
            radii = _number(element, "rx"), _number(element, "ry")
            shape.outline = ellipse(center, radii, _number(element, "rotation", 0))
        else:
            left, top, width, height = (
                _whole(element.get(side, "")) for side in ("left", "top", "width", "height")
            )
            runs = [_whole(run) for run in element.get("rle", "").split(",")]
            shape.outline = placed(from_row_runs(runs, width, height), left, top, *size)
    except (ShapeError, ValueError, OverflowError) as error:
        finding = "BOXES_UNREADABLE" if element.tag == "box" else "OUTLINES_UNREADABLE"
        report.add(finding, f"{source}, {where}: {error}")
        return None
    return shape


def attributes(element: Element) -> dict[str, str]:
    """Return what the user says of a shape or tag besides its class, by name."""
    said = {one.get("name", ""): (one.text or "").strip() for one in element.iter("attribute")}
    if element.get("occluded") == "1":
        said["occluded"] = "1"
    return {name: value for name, value in said.items() if name}


def unread(element: Element) -> list[str]:
    """Return the names of attributes that a shape has, but that have no place in a data set."""
    return [
        name
        for name, value in attributes(element).items()
        if name.lower() not in _MARKS and value.lower() not in {"", "false", "0"}
    ]


def _marks(element: Element) -> set[str]:
    return {
        name.lower() for name, value in attributes(element).items() if value.lower() in _YES
    } & _MARKS


def _number(element: Element, name: str, default: float | None = None) -> float:
    text = element.get(name)
    if text is None and default is not None:
        return default
    try:
        return float(text or "")
    except ValueError:
        raise ShapeError(f"{name} is {(text or '')[:20]!r}, which is no number") from None


def _whole(text: str) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise ShapeError(f"{text[:20]!r} is no whole number") from None


def _points(element: Element) -> list[tuple[float, float]]:
    found = []
    for point in element.get("points", "").split(";"):
        x, comma, y = point.partition(",")
        try:
            found.append((float(x), float(y if comma else "")))
        except ValueError:
            raise ShapeError(f"{point[:20]!r} is no point") from None
    return found
