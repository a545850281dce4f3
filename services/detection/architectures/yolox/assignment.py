"""SimOTA: which anchors have to find which object, decided anew in each step.

An anchor may be asked if its centre lies in an object's box or near the object's centre. Each
object gets as many anchors as the ten boxes that overlap it most make up in IoU, those of the
least cost; the cost is what the loss would be. An anchor wanted by several goes to the cheapest.

Paper: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", section 2.1, https://arxiv.org/abs/2107.08430,
which simplifies Ge et al., "OTA", 2021, https://arxiv.org/abs/2103.14259

Shape letters: N images, K objects of an image, A anchors, M anchors that may be asked, C classes,
T anchors that an object may get at most, F anchors that got an object, 4 sides of a box.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from services.detection.architectures.yolox import overlap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from services.detection.architectures.yolox.anchors import Anchors

CENTRE_RADIUS = 2.5
"""Near an object's centre is an anchor within this many of its own strides, across and down."""

MOST_ANCHORS = 10
"""An object gets no more anchors."""

IOU_WEIGHT = 3.0
"""Of the cost of a box's overlap, beside that of its classes."""

FAR_COST = 1000.0
"""Added for an anchor that is not both in the object's box and near its centre.

More than all else together in practice, so that such an anchor is asked only if there are too few
others; not more, since float32 would then round the rest away.
"""

# Pairs of object and anchor looked at in one go. Each takes up to about 40 bytes.
_PAIRS = 2**22
# Keep logarithms finite.
_IOU_EPS = 1e-8
_SURE = 1 - 1e-6


class Assignment(NamedTuple):
    """The anchors that got an object.

    Attributes:
        images_F: Their images.
        anchors_F: Their numbers, each at most once an image.
        objects_F: The objects' numbers within the image.
        ious_F: IoU of what they tell with the objects' boxes.
    """

    images_F: Tensor
    anchors_F: Tensor
    objects_F: Tensor
    ious_F: Tensor


class _Objects(NamedTuple):
    """Objects of several images, filled up to the same number with what is not `real_NK`."""

    boxes_NK4: Tensor
    labels_NK: Tensor
    real_NK: Tensor


@torch.no_grad()
def assign(
    boxes_NA4: Tensor,
    objects_NA: Tensor,
    classes_NAC: Tensor,
    anchors: Anchors,
    true_boxes: Sequence[Tensor],
    true_labels: Sequence[Tensor],
) -> Assignment:
    """Decide which anchors have to find which object.

    Memory is bounded: images with many objects are looked at one by one.

    Args:
        boxes_NA4: What the network tells: xmin, ymin, xmax, ymax in pixels, float32.
        objects_NA: Logits of there being an object, float32.
        classes_NAC: Logits of the classes, float32.
        anchors: The anchors.
        true_boxes: For each image (K, 4), in pixels.
        true_labels: For each image (K,), in [0, C).
    """
    found = []
    for images in _groups([len(boxes) for boxes in true_boxes], len(anchors)):
        objects = _pad(true_boxes[images], true_labels[images])
        told = (boxes_NA4[images], objects_NA[images], classes_NAC[images])
        group = _assign(*told, anchors, objects)
        found.append(group._replace(images_F=group.images_F + images.start))
    if not found:
        none = torch.zeros(0, dtype=torch.int64, device=boxes_NA4.device)
        return Assignment(none, none, none, boxes_NA4.new_zeros(0))
    return Assignment(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _groups(object_counts: Sequence[int], anchor_count: int) -> Iterator[slice]:
    """Yield neighbouring images with at most `_PAIRS` pairs once filled up, or single ones."""
    start, most = 0, 0
    for stop, count in enumerate(object_counts):
        most = max(most, count)
        if start < stop and (stop + 1 - start) * most * anchor_count > _PAIRS:
            if max(object_counts[start:stop]):
                yield slice(start, stop)
            start, most = stop, count
    if most:
        yield slice(start, len(object_counts))


def _pad(boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> _Objects:
    real = [torch.ones_like(one, dtype=torch.bool) for one in labels]
    return _Objects(*(pad_sequence(list(x), batch_first=True) for x in (boxes, labels, real)))


def _assign(
    boxes_NA4: Tensor,
    objects_NA: Tensor,
    classes_NAC: Tensor,
    anchors: Anchors,
    objects: _Objects,
) -> Assignment:
    may_NA, close_NKA = _places(anchors, objects)
    asked_NM, index_NM = _pack(may_NA)
    images_N1 = torch.arange(len(may_NA), device=may_NA.device)[:, None]
    close_NKM = close_NKA.gather(2, index_NM[:, None].expand(-1, close_NKA.shape[1], -1))
    usable_NKM = objects.real_NK[:, :, None] & asked_NM[:, None]

    iou_NKM = overlap.pairwise(objects.boxes_NK4, boxes_NA4[images_N1, index_NM])
    iou_NKM *= usable_NKM
    cost_NKM = _class_cost(
        objects_NA[images_N1, index_NM], classes_NAC[images_N1, index_NM], objects.labels_NK
    )
    cost_NKM -= (iou_NKM + _IOU_EPS).log_().mul_(IOU_WEIGHT)
    cost_NKM.add_(~close_NKM, alpha=FAR_COST)
    cost_NKM.masked_fill_(~usable_NKM, torch.inf)

    images_F, places_F, objects_F = _match(cost_NKM, iou_NKM)
    return Assignment(
        images_F,
        index_NM[images_F, places_F],
        objects_F,
        iou_NKM[images_F, objects_F, places_F],
    )


def _places(anchors: Anchors, objects: _Objects) -> tuple[Tensor, Tensor]:
    """Return which anchors may be asked, (N, A), and which are close to which object, (N, K, A).

    Close is in the box and near the centre; either suffices to be asked, for any object.
    """
    sides_NK41 = objects.boxes_NK4[..., None]
    inside, near = objects.real_NK[:, :, None], objects.real_NK[:, :, None]
    reach_A = CENTRE_RADIUS * anchors.strides_A1[:, 0]
    for axis in (0, 1):
        centres_A = anchors.centres_A2[:, axis]
        lower_NK1, upper_NK1 = sides_NK41[:, :, axis], sides_NK41[:, :, axis + 2]
        middle_NK1 = (lower_NK1 + upper_NK1) / 2
        inside = inside & (lower_NK1 < centres_A) & (centres_A < upper_NK1)
        near = near & (centres_A - reach_A < middle_NK1) & (middle_NK1 < centres_A + reach_A)
    return (inside | near).any(dim=1), inside & near


def _pack(may_NA: Tensor) -> tuple[Tensor, Tensor]:
    """Return the numbers of the anchors that may be asked, (N, M), and before it which are real.

    M is as many as the image with the most of them has.
    """
    counts_N = may_NA.sum(dim=1)
    places_M = torch.arange(int(counts_N.max()), device=may_NA.device)
    asked_NM = places_M < counts_N[:, None]
    index_NM = torch.zeros_like(asked_NM, dtype=torch.int64)
    index_NM[asked_NM] = may_NA.nonzero()[:, 1]
    return asked_NM, index_NM


def _class_cost(objects_NM: Tensor, classes_NMC: Tensor, labels_NK: Tensor) -> Tensor:
    """Return the binary cross-entropy of the score against the object's class, (N, K, M).

    The score of a class is the root of its probability times that of there being an object. Summed
    over the classes, all but the object's own are the same for each object, so no pair needs C
    numbers.
    """
    log_NMC = functional.logsigmoid(classes_NMC) + functional.logsigmoid(objects_NM)[..., None]
    log_score_NMC = log_NMC / 2
    log_rest_NMC = torch.log1p(-log_score_NMC.exp().clamp(max=_SURE))
    own_NCM = (log_rest_NMC - log_score_NMC).transpose(1, 2)
    images_N1 = torch.arange(len(labels_NK), device=labels_NK.device)[:, None]
    return own_NCM[images_N1, labels_NK] - log_rest_NMC.sum(dim=2)[:, None]


def _match(cost_NKM: Tensor, iou_NKM: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, anchors' places in M and objects of the matches."""
    most = min(MOST_ANCHORS, cost_NKM.shape[2])
    wanted_NK1 = iou_NKM.topk(most, dim=2).values.sum(dim=2, keepdim=True).int().clamp(min=1)
    cost_NKT, places_NKT = cost_NKM.topk(most, dim=2, largest=False)
    ranks_T = torch.arange(most, device=cost_NKM.device)
    taken_NKT = (ranks_T < wanted_NK1) & cost_NKT.isfinite()
    images, objects, ranks = taken_NKT.nonzero(as_tuple=True)
    places = places_NKT[images, objects, ranks]

    takers_NM = torch.zeros_like(cost_NKM[:, 0], dtype=torch.int64)
    takers_NM.index_put_((images, places), torch.ones_like(images), accumulate=True)
    owner_NM = torch.zeros_like(takers_NM)
    owner_NM[images, places] = objects
    images_Q, places_Q = (takers_NM > 1).nonzero(as_tuple=True)
    owner_NM[images_Q, places_Q] = cost_NKM[images_Q, :, places_Q].argmin(dim=1)
    images_F, places_F = takers_NM.nonzero(as_tuple=True)
    return images_F, places_F, owner_NM[images_F, places_F]
