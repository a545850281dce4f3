"""Cityscapes: streets, with masks of objects; also what CVAT exports under its name.

    leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
    gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png

26001 is the second object of class 26, and 26 alone a crowd of them; see `instance_index`. Classes
are named as in `cityscapes`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from common.data.formats.cityscapes import with_cities
from common.data.formats.instance_index import InstanceIndex
from common.data.formats.published_masks import CITYSCAPES

if TYPE_CHECKING:
    from common.data.findings import Report
    from common.data.formats import Reading
    from common.data.tree import Tree

_DERIVED = "Boxes are those around masks of objects."


class CityscapesObjects(InstanceIndex):
    """Objects with their masks, or with the boxes around these."""

    name = CITYSCAPES
    published = CITYSCAPES
    description = (
        "the folders leftImg8bit and gtFine as Cityscapes has them, with a mask whose name ends in "
        "_gtFine_instanceIds.png for each image"
    )
    layout = (
        "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png\n"
        "gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png"
    )
    detected = "The names of masks end in _gtFine_instanceIds."
    kept = "Each object, crowds, the splits of the folders, and the city as a column."
    dropped = "Classes without single objects, such as the sky; colours and polygons."

    def __init__(self, *, boxes: bool = False) -> None:
        """Read masks, or only the boxes around them.

        Args:
            boxes: The task is about boxes.
        """
        self._boxes = boxes

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Read the masks; name the cities."""
        reading = with_cities(super().read(tree, report, max_records=max_records))
        if not self._boxes:
            return reading
        for record in reading.records:
            draft = record.annotation
            for one in draft.objects:
                one.outline = None
                report.add("BOXES_AROUND_OUTLINES", f"{draft.source}, {one.where}")
        return replace(reading, derived=_DERIVED)
