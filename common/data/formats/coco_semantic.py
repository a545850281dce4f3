"""COCO JSON read as one class for each pixel: the outlines of objects, laid over each other.

The files are those of `coco`; `flattening` says which object lies on top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.data.formats import Format
from common.data.formats.coco import Coco
from common.data.formats.flattening import flatten, has_masks

if TYPE_CHECKING:
    from common.data.findings import Report
    from common.data.formats import Reading
    from common.data.tree import Tree


class CocoSemantic(Format):
    """The layout above."""

    name = "coco_semantic"
    description = (
        "COCO .json files with the lists images, annotations (with segmentation) and categories, "
        "beside the images; pixels of no object are background"
    )
    layout = """annotations/instances_train.json   {"images": […], "annotations": […], …}
train/1.jpg"""
    detected = (
        "A .json file with the lists images, annotations with segmentation, and categories; and "
        "no masks."
    )
    kept = (
        "Outlines, filled with their class, the smaller on top; pixels of no object are "
        "background; splits by the names of files and folders."
    )
    dropped = "Which object a pixel is of; what lies beneath another object."

    def __init__(self) -> None:
        self._coco = Coco(outlines=True)

    def detect(self, tree: Tree) -> str | None:
        """Say so if a file has the lists, and no masks say more exactly what each pixel is."""
        found = self._coco.detect(tree)
        return None if found and has_masks(tree) else found

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Give every image that a file lists its objects; they are drawn later, one by one."""
        return flatten(self._coco.read(tree, report, max_records=max_records))
