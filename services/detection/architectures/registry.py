"""The registry that the families add to, and what all of them keep to.

In training a detector takes images and, for each, its boxes and labels, and returns losses; in
evaluation it returns boxes, labels and scores. Boxes are in pixels of the network's input, labels
are indices of our classes from 0: what a library makes of them is its family's affair.
"""

from common.architectures import Registry

MAX_DETECTIONS = 500
"""Objects that a detector finds in an image, at most."""

SCORE_FLOOR = 0.01
"""What scores less is not looked at: it is nearly always wrong, and there are thousands."""

detectors = Registry(without=("label_smoothing", "class_balance"))
