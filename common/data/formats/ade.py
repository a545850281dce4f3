"""ADE20K as its scene parsing challenge has it, and data sets laid out like it.

    images/training/ADE_train_00000001.jpg          objectInfo150.txt:     Idx  Ratio  …  Name
    annotations/training/ADE_train_00000001.png                            1    0.1576 …  wall

The value of a pixel is the number of its class, and 0 is void, if there is a table named
`objectInfo` with a number behind it, or if files are named like those of ADE20K; else such masks
are those of `index_masks`.
"""

from __future__ import annotations

from common.data.formats.index_masks import IndexMasks
from common.data.formats.published_masks import ADE

_VOID = 0


class Ade(IndexMasks):
    """The class of each pixel."""

    name = ADE
    published = ADE
    description = (
        "the folders images and annotations as the scene parsing challenge of ADE20K has them, "
        "with masks in which 0 is void, and the classes in objectInfo150.txt"
    )
    layout = (
        "images/training/ADE_train_00000001.jpg\n"
        "annotations/training/ADE_train_00000001.png\n"
        "objectInfo150.txt"
    )
    detected = "Masks are named like ADE_train_00000001, or there is a table named objectInfo."
    kept = "The class of each pixel, and the splits of the folders."
    dropped = "Pixels of value 0, which are void; how often classes are to be seen."

    def __init__(self, void_index: int | None = None) -> None:
        """Read masks in which 0 is void, unless another value is."""
        super().__init__(_VOID if void_index is None else void_index)
