"""The architectures for instance segmentation, registered by importing their families."""

from services.segmentation.instance.architectures import mask_rcnn
from services.segmentation.instance.architectures.registry import instance_segmenters

__all__ = ["instance_segmenters", "mask_rcnn"]
