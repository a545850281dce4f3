"""YOLOX; importing it registers its sizes."""

from services.detection.architectures.yolox.model import Yolox, from_published

__all__ = ["Yolox", "from_published"]
