"""Tells masks that are named as a published data set names its own.

More is known of these than of others: the names of classes, and which number is void. So they are
of a format of their own, and of none for masks in general.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from common.data.formats.pairing import stem

if TYPE_CHECKING:
    from common.data.formats.mask_files import MaskSet
    from common.data.tree import Tree

CITYSCAPES, ADE = "cityscapes", "ade"

_CITYSCAPES = re.compile(
    r"\*_gt(?:fine|coarse)_(?:labelids|labeltrainids|instanceids)$", re.IGNORECASE
)
_ADE = re.compile(r"ADE_(?:train|val|test)_\d+")
_ADE_TABLE = re.compile(r"objectinfo\d+", re.IGNORECASE)


def published_as(tree: Tree, masks: MaskSet) -> str:
    """Return the name of the format that a set of masks is of; empty for masks in general."""
    if _CITYSCAPES.search(masks.name):
        return CITYSCAPES
    if _ADE.fullmatch(stem(masks.pairs[0].mask)) or any(
        _ADE_TABLE.fullmatch(stem(path)) for path in tree.files
    ):
        return ADE
    return ""
