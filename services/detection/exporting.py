"""A detector for other programs: images in, boxes and scores out, before suppression.

What a program does with them is what ours does: for each class take the boxes that score at least
its threshold, and of those that overlap keep the most likely. The number of boxes is always the
same, so that the network can be traced.

Shape letters: N images, A boxes that a detector looks at, C classes, 3 colours, S side of the
network's input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.models.detection.ssd import SSD

from common.objects.two_stages import not_exportable

if TYPE_CHECKING:
    from nocode.vision.v1 import model_pb2

OUTPUTS = ("boxes", "scores")
"""Boxes (N, A, 4) in pixels of the network's input, and scores (N, A, C) in [0, 1]."""


def exportable(network: nn.Module, model: model_pb2.Model) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a module from normalized images (N, 3, S, S) to `OUTPUTS`, and their names.

    Raises:
        Unsupported: The detector has two stages: how many boxes its second stage looks at depends
            on what is in the images.
    """
    if callable(getattr(network, "raw", None)):
        return _Raw(network), OUTPUTS
    if isinstance(network, (SSD, RetinaNet)):
        return _Anchored(network, model.preprocessing.image_size_px), OUTPUTS
    raise not_exportable(
        model, instead=", or train another architecture, such as an SSD, a RetinaNet or a YOLOX"
    )


class _Raw(nn.Module):
    """A detector with a method for it."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """From normalized images (N, 3, S, S) to `OUTPUTS`."""
        boxes_NA4, scores_NAC = self.network.raw(images)
        return boxes_NA4.clamp(0, images.shape[-1]), scores_NAC


class _Anchored(nn.Module):
    """One of torchvision's detectors of a single stage.

    Its anchors depend on the size of the images alone. They are made once, and are constants of
    what is exported.

    Args:
        network: Without gradient, in evaluation mode.
        size_px: Side of the images.
    """

    anchors_A4: Tensor

    def __init__(self, network: Any, size_px: int) -> None:
        super().__init__()
        self.network = network
        self.size_px = size_px
        device = next(network.parameters()).device
        image_13SS = torch.zeros(1, 3, size_px, size_px, device=device)
        with torch.no_grad():
            features = list(network.backbone(image_13SS).values())
            images = ImageList(image_13SS, [(size_px, size_px)])
            self.register_buffer("anchors_A4", network.anchor_generator(images, features)[0])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """From normalized images (N, 3, S, S) to `OUTPUTS`."""
        features = list(self.network.backbone(images).values())
        answers = self.network.head(features)
        logits_NAC = answers["cls_logits"]
        if isinstance(self.network, SSD):
            scores_NAC = torch.softmax(logits_NAC, dim=-1)[..., 1:]  # the first is the background
        else:
            scores_NAC = torch.sigmoid(logits_NAC)
        return self._boxes(answers["bbox_regression"]), scores_NAC

    def _boxes(self, offsets_NA4: Tensor) -> Tensor:
        """Decode as the network's box coder does, for many images at once."""
        coder = self.network.box_coder
        size_A2 = self.anchors_A4[:, 2:] - self.anchors_A4[:, :2]
        center_A2 = self.anchors_A4[:, :2] + size_A2 / 2
        offsets_NA4 = offsets_NA4 / torch.tensor(coder.weights, device=offsets_NA4.device)
        moved_NA2 = center_A2 + offsets_NA4[..., :2] * size_A2
        grown_NA2 = size_A2 * torch.exp(offsets_NA4[..., 2:].clamp(max=coder.bbox_xform_clip))
        boxes_NA4 = torch.cat([moved_NA2 - grown_NA2 / 2, moved_NA2 + grown_NA2 / 2], dim=-1)
        return boxes_NA4.clamp(0, self.size_px)
