"""What FCN and DeepLab share: a classifier of images whose last stages keep their resolution.

Their last convolutions skip pixels of their input (they are dilated) rather than of their output.

Paper: Yu, Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions", 2015,
https://arxiv.org/abs/1511.07122

Shape letters: N images, S side of the network's input, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from common.architectures import Published

if TYPE_CHECKING:
    from torch import Tensor

    Weights = dict[str, Tensor]


class Dilated(nn.Module):
    """One of torchvision's networks without its last step, which enlarges the logits.

    Logits of 80×80 pixels are a good part of memory smaller than those of 640×640 that say no more.
    Weights are named as torchvision names them.

    Args:
        network: Has a backbone, a classifier, and one more for training.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.backbone: nn.Module = network.backbone
        self.classifier: nn.Module = network.classifier
        self.aux_classifier: nn.Module = network.aux_classifier

    def forward(self, images_N3SS: Tensor) -> Tensor | dict[str, Tensor]:
        """Return logits; see `registry`."""
        features = self.backbone(images_N3SS)
        logits: Tensor = self.classifier(features["out"])
        if not self.training:
            return logits
        return {"out": logits, "aux": self.aux_classifier(features["aux"])}


def _without_classifier(published: Weights) -> Weights:
    """Place a ResNet or a MobileNet, as torchvision's own builders do."""
    return {
        f"backbone.{name.removeprefix('features.')}": tensor
        for name, tensor in published.items()
        if not name.startswith(("fc.", "classifier."))
    }


RESNET50 = Published(
    torchvision="ResNet50_Weights.IMAGENET1K_V1", convert=_without_classifier, partial=True
)
MOBILENET = Published(
    torchvision="MobileNet_V3_Large_Weights.IMAGENET1K_V1",
    convert=_without_classifier,
    partial=True,
)
"""Published classifiers to start from where no whole network can be had."""
