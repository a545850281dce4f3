"""The architectures for detection, registered by importing their families.

The order is that in which we would try them.
"""

from services.detection.architectures import yolox  # isort: skip
from services.detection.architectures import ssd  # isort: skip
from services.detection.architectures import faster_rcnn  # isort: skip
from services.detection.architectures import retinanet  # isort: skip
from services.detection.architectures.registry import detectors

__all__ = ["detectors", "faster_rcnn", "retinanet", "ssd", "yolox"]
