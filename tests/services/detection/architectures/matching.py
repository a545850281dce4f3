"""Comparing what two runs of a detector have found."""

from torchvision.ops import box_iou


def matched(found, reference, *, iou, score):
    """Whether the reference has an object too, for each of them."""
    near_KR = box_iou(found["boxes"], reference["boxes"]) >= iou
    near_KR &= (found["scores"][:, None] - reference["scores"]).abs() <= score
    near_KR &= found["labels"][:, None] == reference["labels"]
    return near_KR.any(dim=1).double()
