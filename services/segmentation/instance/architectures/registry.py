"""The registry that the families add to, and what all of them keep to.

In training a network takes images and, for each, its boxes, labels and masks (K, S, S), and returns
losses; in evaluation it returns boxes, labels, scores and masks (K, 1, M, M): how likely each part
of a box is the object's. Boxes are in pixels of the network's input, labels are indices of our
classes from 0: what a library makes of them is its family's affair.
"""

from common.architectures import Registry

instance_segmenters = Registry(without=("label_smoothing", "class_balance"))

MASK_SHIFT_PX = 0.5
"""So far to the right of their boxes, and below them, masks lie, in pixels of the input.

torchvision trains on masks that are cut out with each pixel's value taken to be at its upper left
corner, not in its middle, and so has what it publishes. True masks that are cut out so and laid on
their image again overlap with themselves by 0.90 to 0.94 (IoU, windows of facades and objects of
COCO), and by 0.98 to 0.99 with this shift.
"""
