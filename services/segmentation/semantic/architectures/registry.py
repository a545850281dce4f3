"""The registry that the families add to, and what all of them keep to.

A network takes normalized images (N, 3, S, S). In evaluation it returns the logits of the classes,
(N, C, h, w), at its own resolution: that of the input, or one that divides it. In training it
returns a dict of such tensors: `out`, and `aux` where a second classifier looks at an earlier layer
to help it learn. Whoever needs them larger enlarges them bilinearly, with the borders of the pixels
aligned (`align_corners=False`).
"""

from common.architectures import Registry

segmenters = Registry(without=("label_smoothing",))
