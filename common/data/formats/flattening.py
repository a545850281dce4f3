"""Objects laid over each other, so that each pixel has one class.

Where objects overlap, the smaller one lies on top, since a window is drawn on the facade that it is
part of, whichever of the two was drawn first: the larger an object's area is in pixels, the earlier
it is laid; of equally large ones, that which comes later in the file is on top. The order of a file
is not relied upon, as programs write objects in the order in which they were drawn, sorted by
class, or by id. Crowds are of their class like any other object.

Pixels of no object are of the class `background`, which comes first, and is one with a class of
that name.

Shape letters: H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from common.data.formats import Reading, check_class_count
from common.data.formats.ade import Ade
from common.data.formats.binary_masks import BinaryMasks
from common.data.formats.cityscapes import Cityscapes
from common.data.formats.colour_masks import ColourMasks
from common.data.formats.index_masks import IndexMasks
from common.masks import rle
from common.masks.drafts import MaskDraft
from common.objects import masks
from common.objects.drafts import complete

if TYPE_CHECKING:
    from common.data.findings import Report
    from common.data.images import ImageInfo
    from common.data.tree import Tree
    from common.masks.label_maps import Labels
    from common.objects.drafts import Draft

BACKGROUND = "background"
"""The class of pixels that no object covers."""


@dataclass(frozen=True, slots=True)
class ObjectsDraft(MaskDraft):
    """Objects, to be laid over each other.

    Attributes:
        objects: With outlines; labels are indices of classes.
    """

    objects: Draft

    def load(self, file: str, info: ImageInfo, report: Report) -> Labels:
        """Draw the objects, once all that is odd about them has been reported."""
        labels_HW = np.zeros((info.height, info.width), np.int16)
        drawn = [
            (one.label, rle.trusted(one.mask, info.height, info.width))
            for one in complete(self.objects, file, info, report, masks=True)
        ]
        for label, mask in sorted(drawn, key=lambda one: -rle.area(one[1])):
            box = rle.bounds(mask)
            if box is not None:
                left, right = int(box[0]), int(box[2])
                inside = masks.columns(mask, left, right).view(bool)
                labels_HW[:, left:right][inside] = label
        return labels_HW


def flatten(reading: Reading) -> Reading:
    """Return a reading whose objects are classes of pixels; they are drawn later, one by one.

    Args:
        reading: Its annotations are drafts of objects with outlines, which are changed.

    Raises:
        InvalidInput: With the background there are too many classes.
    """
    named = [name for name in reading.classes if name.strip().lower() == BACKGROUND]
    others = [name for name in reading.classes if name not in named]
    classes = [named[0] if named else BACKGROUND, *others]
    check_class_count(len(classes), BACKGROUND)
    place = {name: index for index, name in enumerate(classes)}
    label_of = [place.get(name, 0) for name in reading.classes]
    records = []
    for record in reading.records:
        for one in record.annotation.objects:
            one.label = label_of[one.label]
            # Neither counts here, so that what is odd about them is nothing to report.
            one.boxed, one.area = False, None
            if one.outline is not None:
                one.box = one.outline.bounds() or one.box
        records.append(replace(record, annotation=ObjectsDraft(record.annotation)))
    # Whether a class is to be seen, or covered by others, is known when they are drawn.
    return replace(
        reading,
        classes=classes,
        records=records,
        unused=frozenset(range(len(classes))),
        derived="Pixels have the class of the smallest object that is outlined around them.",
    )


def has_masks(tree: Tree) -> bool:
    """Whether there are masks, which say more exactly what each pixel is."""
    kinds = (IndexMasks(), BinaryMasks(), ColourMasks(), Cityscapes(), Ade())
    return any(one.detect(tree) for one in kinds)
