"""Turning the last biases of a detector, whichever family it is of."""

import torch
from torch import nn


def favour(model, label, by):
    """Add to the logit of one of our classes, wherever the network looks."""
    with torch.no_grad():
        for bias_AC, offset in _biases(model):
            bias_AC[:, label + offset] += by


def _biases(model):
    """Yield the biases of the last layers as (anchors, classes), and where our class 0 is."""
    if hasattr(model, "roi_heads"):
        yield model.roi_heads.box_predictor.cls_score.bias[None], 1
    elif hasattr(model.head, "cls_preds"):  # YOLOX
        for last in model.head.cls_preds:
            yield last.bias[None], 0
        # Objects everywhere, or the classes would not count.
        for last in model.head.obj_preds:
            last.bias[:] = 5
    elif hasattr(model.head.classification_head, "cls_logits"):  # RetinaNet
        head = model.head.classification_head
        yield head.cls_logits.bias.view(-1, head.num_classes), 0
    else:  # SSD
        head = model.head.classification_head
        for block in head.module_list:
            last = [m for m in block.modules() if isinstance(m, nn.Conv2d)][-1]
            yield last.bias.view(-1, head.num_columns), 1
