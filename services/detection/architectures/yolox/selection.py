"""From scores at every anchor to the objects found.

Shape letters: A anchors, C classes, K objects found, 4 sides of a box.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchvision.ops import batched_nms

from services.detection.architectures.registry import MAX_DETECTIONS, SCORE_FLOOR

if TYPE_CHECKING:
    from torch import Tensor

NMS_IOU = 0.65
"""Of two boxes of a class that overlap more, only the one with the higher score is kept."""

# More are not compared with each other; those left out would score below these.
_CANDIDATES = 3000


def select(boxes_A4: Tensor, scores_AC: Tensor, height: int, width: int) -> dict[str, Tensor]:
    """Return the objects of an image as `boxes` (K, 4), `labels` (K,) and `scores` (K,).

    Each anchor finds its best class alone. Boxes are cut at the image's border, before they are
    compared: what is outside of the image cannot be seen.

    Args:
        boxes_A4: xmin, ymin, xmax, ymax in pixels, float32.
        scores_AC: In [0, 1], float32.
        height: Of the image, in pixels.
        width: The same.
    """
    scores_A, labels_A = scores_AC.max(dim=1)
    sides_x, sides_y = boxes_A4[:, 0::2].clamp(0, width), boxes_A4[:, 1::2].clamp(0, height)
    visible_A = (sides_x[:, 1] > sides_x[:, 0]) & (sides_y[:, 1] > sides_y[:, 0])
    chosen = ((scores_A > SCORE_FLOOR) & visible_A).nonzero()[:, 0]
    # Stable, so that equal scores keep the order of the anchors on every device.
    order = scores_A[chosen].argsort(descending=True, stable=True)[:_CANDIDATES]
    chosen = chosen[order]
    boxes_K4 = boxes_A4[chosen].clone()
    boxes_K4[:, 0::2], boxes_K4[:, 1::2] = sides_x[chosen], sides_y[chosen]
    scores_K, labels_K = scores_A[chosen], labels_A[chosen]
    # Sorted: it may change the order of equal scores.
    kept = batched_nms(boxes_K4, scores_K, labels_K, NMS_IOU).sort().values[:MAX_DETECTIONS]
    return {"boxes": boxes_K4[kept], "labels": labels_K[kept], "scores": scores_K[kept]}
