"""What torchvision's networks of two stages have in common: Faster R-CNN, and Mask R-CNN on top.

A first stage proposes regions, a second one looks at each of them.

Differs from torchvision: the second stage learns from 128 proposals an image rather than 512, which
is most of a step's time and changes little where there are a few classes (Fast R-CNN had 64); all
layers are trained, normalizations too; as many objects are found as `MAX_DETECTIONS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.errors import Unsupported
from common.objects.fixed_input import FixedInput, exact_inputs, exact_outputs
from common.objects.targets import MAX_DETECTIONS, SCORE_FLOOR
from common.reasons import Reason

if TYPE_CHECKING:
    from torch import nn

    from nocode.vision.v1 import model_pb2

OPTIONS: dict[str, Any] = {
    "weights": None,
    "weights_backbone": None,
    "box_score_thresh": SCORE_FLOOR,
    "box_detections_per_img": MAX_DETECTIONS,
    "box_batch_size_per_image": 128,
}
"""For torchvision's builders."""


def adapted(network: Any, *predictors: nn.Module) -> nn.Module:
    """Let a network keep to our interface, see `common.objects.fixed_input`, and return it.

    Args:
        network: Of torchvision.
        predictors: Its last layers beside those that give boxes and classes.
    """
    network.transform = FixedInput(label_offset=1)
    exact_inputs(network.rpn.anchor_generator)
    exact_outputs(network.rpn.head, network.roi_heads.box_predictor, *predictors)
    changed: nn.Module = network
    return changed


def not_exportable(model: model_pb2.Model, *, instead: str = "") -> Unsupported:
    """Return the error for who wants such a network as ONNX: its answers depend on the images.

    Args:
        model: Its architecture is named.
        instead: What else can be done than to export it as safetensors; as the end of a sentence.
    """
    return Unsupported(
        Reason.OPTION_UNSUPPORTED,
        f"{model.architecture} cannot be written as onnx: it looks at regions that it proposes "
        f"itself, as many as it finds in an image. Export it as safetensors{instead}.",
        field="format",
        architecture=model.architecture,
    )
