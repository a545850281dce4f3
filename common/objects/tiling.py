"""Merges what was found in the tiles of an image.

Shape letters: K objects of an image, P and Q some of them, 4 sides of a box.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision.ops import batched_nms

from common.data.transforms import inner_size
from common.objects.targets import to_image, together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.objects.targets import Bools, Detections, Floats
    from common.serving.tiles import Tile

MOST_MERGED = 5000
"""Of what is found in all tiles, so many with the highest scores are looked at."""

SAME_IOU = 0.55
"""Two boxes of a class that overlap by more are one object that two tiles have seen.

Lower than within a tile: they have seen different parts of its surroundings, so their boxes agree
less.
"""

# So close to a tile's border, in parts of its side, a box ends because the tile does.
_BORDER = 0.01
# So much of a cut box must lie in another for that to be the whole object. Not much more: the boxes
# of what is small are off by a good part of its size.
_COVERED = 0.5
# It must be so much as likely, or a wrong guess would wipe out a right one.
_AS_LIKELY = 0.5
_ROWS = 256  # compared with all others at once, to bound the memory


def merge(
    outputs: Sequence[Detections], tiles: Sequence[Tile], width: int, height: int, size_px: int
) -> Detections:
    """Merge what was found in an image and its tiles to what is found in the image.

    A tile's inner border cuts objects, and of such an object only a part is found there. A box that
    ends at one is left out if another tile, or the image as a whole, has found the object of which
    it is a part. Of the rest, the most likely of each class suppress those that overlap them.

    Args:
        outputs: One a tile, each in pixels of the network's input.
        tiles: Where they lie.
        width: Of the image.
        height: Of the image.
        size_px: Side of the network's input.

    Returns:
        In pixels of the network's input, as if it had seen the image as a whole and all that is in
        it. At most `MOST_MERGED`.
    """
    placed = [
        _in_image(output, tile, width, height, size_px)
        for output, tile in zip(outputs, tiles, strict=True)
    ]
    found, is_cut_K = _likeliest([one for one, _ in placed], [cut for _, cut in placed])
    found = found.pick(~(is_cut_K & _covered(found, is_cut_K)))
    kept_K = batched_nms(
        torch.from_numpy(found.boxes_K4),
        torch.from_numpy(found.scores_K),
        torch.from_numpy(found.labels_K),
        SAME_IOU,
    )
    found = found.pick(kept_K.numpy())
    inner_width, inner_height = inner_size(width, height, size_px)
    scale_4 = np.tile(np.array([inner_width / width, inner_height / height], np.float32), 2)
    return _placed(found, found.boxes_K4 * scale_4, found.mask_boxes() * scale_4)


def _placed(found: Detections, boxes_K4: Floats, spans_K4: Floats) -> Detections:
    """Return the same objects with other boxes, and masks, if there are any, in others too."""
    has_masks = found.masks_KMM is not None
    return replace(found, boxes_K4=boxes_K4, spans_K4=spans_K4 if has_masks else None)


def _in_image(
    output: Detections, tile: Tile, width: int, height: int, size_px: int
) -> tuple[Detections, Bools]:
    """Return what a tile shows, in pixels of the image, and which boxes its border may have cut."""
    found = to_image(output, tile.width, tile.height, size_px)
    xmin_K, ymin_K, xmax_K, ymax_K = found.boxes_K4.T
    margin = _BORDER * max(tile.width, tile.height)
    is_cut_K = np.zeros(len(found), dtype=bool)
    if tile.xmin > 0:
        is_cut_K |= xmin_K < margin
    if tile.ymin > 0:
        is_cut_K |= ymin_K < margin
    if tile.xmin + tile.width < width:
        is_cut_K |= xmax_K > tile.width - margin
    if tile.ymin + tile.height < height:
        is_cut_K |= ymax_K > tile.height - margin
    corner_4 = np.tile(np.array([tile.xmin, tile.ymin], np.float32), 2)
    return _placed(found, found.boxes_K4 + corner_4, found.mask_boxes() + corner_4), is_cut_K


def _likeliest(found: Sequence[Detections], is_cut: Sequence[Bools]) -> tuple[Detections, Bools]:
    scores_K = np.concatenate([one.scores_K for one in found])
    order_K = np.argsort(-scores_K, kind="stable")[:MOST_MERGED]
    # Masks are large: those that are not looked at are left out before all are put together.
    kept_K = np.zeros(len(scores_K), dtype=bool)
    kept_K[order_K] = True
    ends = np.cumsum([len(one) for one in found])[:-1]
    kept = [one.pick(which) for one, which in zip(found, np.split(kept_K, ends), strict=True)]
    place_K = np.cumsum(kept_K) - 1
    return together(kept).pick(place_K[order_K]), np.concatenate(is_cut)[order_K]


def _covered(found: Detections, is_cut_K: Bools) -> Bools:
    """Return which boxes are part of a box of their class that no border has cut.

    Of an object much larger than a tile, a tile may see a sliver at its border, thinner than the
    boxes are exact: so the whole is taken to be a pixel larger.
    """
    whole = found.pick(~is_cut_K)
    around_Q4 = whole.boxes_K4 + np.array([-1, -1, 1, 1], np.float32)
    covered_K = np.zeros(len(found), dtype=bool)
    cut_P = np.flatnonzero(is_cut_K)
    for rows in np.split(cut_P, range(_ROWS, len(cut_P), _ROWS)):
        inside_PQ = _fraction_inside(found.boxes_K4[rows], around_Q4) >= _COVERED
        inside_PQ &= found.labels_K[rows, None] == whole.labels_K
        inside_PQ &= whole.scores_K >= _AS_LIKELY * found.scores_K[rows, None]
        covered_K[rows] = inside_PQ.any(axis=1)
    return covered_K


def _fraction_inside(boxes_P4: Floats, boxes_Q4: Floats) -> Floats:
    """Return how much of each of the first lies in each of the others, (P, Q) in [0, 1]."""
    upper_PQ2 = np.maximum(boxes_P4[:, None, :2], boxes_Q4[:, :2])
    lower_PQ2 = np.minimum(boxes_P4[:, None, 2:], boxes_Q4[:, 2:])
    common_PQ = np.maximum(lower_PQ2 - upper_PQ2, 0).prod(axis=2)
    area_P = (boxes_P4[:, 2:] - boxes_P4[:, :2]).prod(axis=1)
    fraction_PQ: Floats = common_PQ / area_P[:, None]
    return fraction_PQ
