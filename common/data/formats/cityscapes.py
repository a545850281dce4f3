"""Cityscapes: streets, with masks of classes; also what CVAT exports under its name.

    leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
    gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png        or labelTrainIds

Classes are those of a table in the archive, such as `label_colors.txt` of CVAT; without one, they
are those that were published with the data set. Of these, the ones that are neither trained on nor
measured are void, unless a value for that is given. The city is a column of each image.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from common.data.formats import Reading
from common.data.formats.cityscapes_table import table
from common.data.formats.index_masks import IndexMasks
from common.data.formats.pairing import stem
from common.data.formats.published_masks import CITYSCAPES

if TYPE_CHECKING:
    from common.data.findings import Report
    from common.data.formats.mask_format import Choice, Labeler
    from common.data.tree import Tree

_CITY = re.compile(r"([^\W\d_][^_]*)_\d+_\d+(?:_.*)?")


class Cityscapes(IndexMasks):
    """The class of each pixel."""

    name = CITYSCAPES
    published = CITYSCAPES
    description = (
        "the folders leftImg8bit and gtFine as Cityscapes has them, with a mask whose name ends in "
        "_gtFine_labelIds.png or _gtFine_labelTrainIds.png for each image"
    )
    layout = (
        "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png\n"
        "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    )
    detected = "The names of masks end in _gtFine_labelIds or _gtFine_labelTrainIds."
    kept = "The class of each pixel, the splits of the folders, and the city as a column."
    dropped = (
        "Colours, polygons, and classes that Cityscapes itself does not measure, which are void."
    )

    def classes(self, tree: Tree, choice: Choice, report: Report) -> tuple[list[str], Labeler]:
        """Take the classes of a table in the archive, or else the published ones."""
        if choice.table is None:
            known = table(choice.masks.name, every=self.void_index is not None)
            choice = replace(choice, table=known)
        return super().classes(tree, choice, report)

    def read(self, tree: Tree, report: Report, *, max_records: int) -> Reading:
        """Read the masks; name the cities."""
        return with_cities(super().read(tree, report, max_records=max_records))


def with_cities(reading: Reading) -> Reading:
    """Add a column to each image whose name begins with a city."""
    records = [
        replace(record, columns=record.columns | {"city": found[1]})
        if (found := _CITY.fullmatch(stem(record.file)))
        else record
        for record in reading.records
    ]
    return replace(reading, records=records)
