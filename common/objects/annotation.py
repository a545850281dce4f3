"""What the manifest says of an image with objects, for detection and instance segmentation.

    {"objects": [{"label": 2, "box": [12.0, 30.5, 80.0, 99.0], "crowd": true}, …]}

`box` is xmin, ymin, xmax, ymax in pixels of the upright image; the origin is the upper left corner
of the upper left pixel. Marks are there only where they are true, `area` only where it is known to
be another than the box's, such as that of a mask. `mask`, for instance segmentation, is COCO's
run-length encoding of the object's pixels, of the upright image's size. An image without an object
has an empty list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Box = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax."""


@dataclass(frozen=True, slots=True)
class Object:
    """An object in an image.

    Attributes:
        label: Index of its class.
        box: In pixels of the upright image, of positive area, inside of it.
        crowd: Stands for many objects that nobody told apart (COCO's `iscrowd`): not trained on,
            and whatever is found inside counts neither as right nor as wrong.
        difficult: Hard to recognize (Pascal VOC's `difficult`): trained on, but whether it is
            found does not count.
        truncated: Reaches out of the image (Pascal VOC's `truncated`); for information.
        area: In pixels, as far as known: of its mask, else of its box.
        mask: Its pixels, as `common.masks.rle.text_of` writes them; empty if only the box is known.
    """

    label: int
    box: Box
    crowd: bool = False
    difficult: bool = False
    truncated: bool = False
    area: float | None = None
    mask: str = ""

    @property
    def box_area(self) -> float:
        """Area of the box, in pixels."""
        xmin, ymin, xmax, ymax = self.box
        return (xmax - xmin) * (ymax - ymin)


_MARKS = ("crowd", "difficult", "truncated")


def write(objects: Iterable[Object]) -> dict[str, Any]:
    """Return the annotation of an image with these objects."""
    return {"objects": [_write_one(one) for one in objects]}


def _write_one(one: Object) -> dict[str, Any]:
    written: dict[str, Any] = {"label": one.label, "box": [round(side, 4) for side in one.box]}
    written |= {mark: True for mark in _MARKS if getattr(one, mark)}
    if one.area is not None:
        written["area"] = round(one.area, 4)
    if one.mask:
        written["mask"] = one.mask
    return written


def read(annotation: Mapping[str, Any]) -> list[Object]:
    """Return the objects of an annotation."""
    return [
        Object(
            label=written["label"],
            box=tuple(written["box"]),
            crowd=written.get("crowd", False),
            difficult=written.get("difficult", False),
            truncated=written.get("truncated", False),
            area=written.get("area"),
            mask=written.get("mask", ""),
        )
        for written in annotation["objects"]
    ]
