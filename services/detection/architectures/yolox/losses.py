"""The loss of YOLOX.

Shape letters: N images, A anchors, C classes, F anchors that got an object, K objects of an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from services.detection.architectures.yolox import anchors as anchoring
from services.detection.architectures.yolox import assignment, overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from services.detection.architectures.yolox.head import Told

BOX_WEIGHT = 5.0
"""Of the boxes' loss, beside the others."""


def losses(
    told: Told, true_boxes: Sequence[Tensor], true_labels: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Return the parts of the loss, each a number; their sum is to be made small.

    `box` is 1 - IoU² of the anchors that got an object, `class` their binary cross-entropy, where
    the true class should score what the IoU is, `objectness` that of all anchors. All are summed
    and divided by the number of anchors that got one, over the whole batch; by 1 if none did.

    Args:
        told: What the network tells.
        true_boxes: For each image (K, 4): xmin, ymin, xmax, ymax in pixels, of positive area.
        true_labels: For each image (K,), in [0, C).

    Paper: Ge et al., "YOLOX", 2021, https://arxiv.org/abs/2107.08430
    """
    boxes_NA4 = anchoring.decode(told.boxes_NA4, told.anchors)
    found = assignment.assign(
        boxes_NA4,
        told.objects_NA,
        told.classes_NAC,
        told.anchors,
        true_boxes,
        true_labels,
    )
    where = (found.images_F, found.anchors_F)
    # Objects of all images in one row: the first of an image has as many before it as all the
    # images before have together.
    counts_N = torch.tensor([len(labels) for labels in true_labels], device=boxes_NA4.device)
    objects_F = (counts_N.cumsum(0) - counts_N)[found.images_F] + found.objects_F
    boxes_F4, labels_F = torch.cat(list(true_boxes))[objects_F], torch.cat(list(true_labels))
    labels_F = labels_F[objects_F]

    present_NA = torch.zeros_like(told.objects_NA)
    present_NA[where] = 1.0
    classes_FC = told.classes_NAC[where]
    scores_FC = torch.zeros_like(classes_FC)
    scores_FC.scatter_(1, labels_F[:, None], found.ious_F[:, None])
    sums = {
        "box": BOX_WEIGHT * (1 - overlap.paired(boxes_NA4[where], boxes_F4).square()).sum(),
        "objectness": _cross_entropy(told.objects_NA, present_NA),
        "class": _cross_entropy(classes_FC, scores_FC),
    }
    count = max(1, len(labels_F))
    return {name: total / count for name, total in sums.items()}


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
