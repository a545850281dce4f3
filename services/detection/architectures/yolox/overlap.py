"""Intersection over union, in the two forms that training needs.

Shape letters: N images, K objects of an image, M anchors of an image, F boxes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

# Keeps two boxes without area from giving NaN; far less than a pixel.
_EPS = 1e-8


def pairwise(boxes_NK4: Tensor, others_NM4: Tensor) -> Tensor:
    """Return the IoU of each of an image's K boxes with each of its M others, (N, K, M)."""
    return _iou(boxes_NK4[:, :, None], others_NM4[:, None])


def paired(boxes_F4: Tensor, others_F4: Tensor) -> Tensor:
    """Return the IoU of each box with the other one in its place, (F,)."""
    return _iou(boxes_F4, others_F4)


def _iou(a: Tensor, b: Tensor) -> Tensor:
    a_xmin, a_ymin, a_xmax, a_ymax = a.unbind(-1)
    b_xmin, b_ymin, b_xmax, b_ymax = b.unbind(-1)
    width = (torch.minimum(a_xmax, b_xmax) - torch.maximum(a_xmin, b_xmin)).clamp(min=0)
    height = (torch.minimum(a_ymax, b_ymax) - torch.maximum(a_ymin, b_ymin)).clamp(min=0)
    common = width * height
    a_area = (a_xmax - a_xmin) * (a_ymax - a_ymin)
    b_area = (b_xmax - b_xmin) * (b_ymax - b_ymin)
    return common / (a_area + b_area - common + _EPS)
