"""What formats have in common in which objects are drawn in pictures, not listed in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.data.formats import open_images_tables
from common.data.formats.coco import Coco
from common.data.formats.yolo import Yolo
from common.masks import rle
from common.masks.outlines import Outline
from common.objects.drafts import DraftObject, check_object_count, check_outline_bytes

if TYPE_CHECKING:
    from common.data.tree import Tree
    from common.objects.drafts import Draft

ONLY_CLASS = "object"
"""Of objects of which nothing says what they are."""

# Of an object that is not to be seen; it is reported when its image is known.
_NOWHERE = (0.0, 0.0, 0.0, 0.0)


class Gatherer:
    """Adds objects to drafts, as long as all of them can be held in memory."""

    def __init__(self) -> None:
        self._object_count = 0
        self._outline_bytes = 0

    def add(
        self, draft: Draft, mask: rle.Rle, label: int, where: str, *, crowd: bool = False
    ) -> None:
        """Add an object, whose box is the one around its mask.

        Args:
            draft: To add to.
            mask: Where the object is; perhaps without a pixel.
            label: Index of its class.
            where: Which it is of the draft's, for a person.
            crowd: Whether it is a region of many.

        Raises:
            InvalidInput: There are too many, or they take too much memory.
        """
        outline = Outline(rle=mask)
        self._object_count += 1
        self._outline_bytes += outline.byte_count
        check_object_count(self._object_count, f"{draft.source}, {where}")
        check_outline_bytes(self._outline_bytes, f"{draft.source}, {where}")
        box = rle.bounds(mask) or _NOWHERE
        draft.objects.append(
            DraftObject(label, box, where, crowd=crowd, outline=outline, boxed=False)
        )


def lists_outlines(tree: Tree) -> bool:
    """Whether files list outlines; these are what is meant then, not pictures of them."""
    return any(
        one.detect(tree) for one in (Coco(outlines=True), Yolo(outlines=True))
    ) or open_images_tables.lists_masks(tree)
