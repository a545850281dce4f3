"""The architectures for classification, registered by importing their families.

The order is that in which we would try them.
"""

from services.classification.architectures import resnet  # isort: skip
from services.classification.architectures import mobilenet  # isort: skip
from services.classification.architectures import efficientnet  # isort: skip
from services.classification.architectures import vgg  # isort: skip
from services.classification.architectures.registry import classifiers

__all__ = ["classifiers", "efficientnet", "mobilenet", "resnet", "vgg"]
