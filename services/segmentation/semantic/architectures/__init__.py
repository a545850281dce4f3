"""The architectures for semantic segmentation, registered by importing their families.

The order is that in which we would try them.
"""

from services.segmentation.semantic.architectures import unet  # isort: skip
from services.segmentation.semantic.architectures import deeplab  # isort: skip
from services.segmentation.semantic.architectures import fcn  # isort: skip
from services.segmentation.semantic.architectures.registry import segmenters

__all__ = ["deeplab", "fcn", "segmenters", "unet"]
