"""The registry that the families add to, and what all of them keep to.

In training a detector takes images and, for each, its boxes and labels, and returns losses; in
evaluation it returns boxes, labels and scores. Boxes are in pixels of the network's input, labels
are indices of our classes from 0: what a library makes of them is its family's affair.
"""

from common.architectures import Registry
from common.objects.targets import MAX_DETECTIONS, SCORE_FLOOR

__all__ = ["MAX_DETECTIONS", "SCORE_FLOOR", "detectors"]

detectors = Registry(without=("label_smoothing", "class_balance"))
