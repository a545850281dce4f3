"""Segmenters that need no training: what they see is painted in the colours of their classes.

Shape letters: N images, K objects, 3 colours, S side of the network's input, M of a mask.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save
from scipy import ndimage
from torch import nn
from torchvision.ops import roi_align

from common.architectures import Recipe, Registry
from common.storage import resources
from nocode.vision.v1.model_pb2 import Model, Preprocessing
from services.segmentation.instance.learner import InstanceLearner
from services.segmentation.instance.task import InstanceTask
from services.segmentation.semantic.learner import SemanticLearner
from services.segmentation.semantic.task import SemanticTask

if TYPE_CHECKING:
    from common.storage.bucket import Bucket

CLASSES = ("red", "green", "blue")
COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
BLACK = 3
"""What no object is painted in."""
MARGIN_PX = 0.1
"""Boxes are so much larger than they should be on each side, or the middles of pixels would lie
right on them: rounding would decide whether they are inside."""

_RECIPE = Recipe(epoch_count=1, batch_size=8, image_size_px=64, learning_rate=0.1)
_CELLS = 28

segmenters, instance_segmenters = Registry(), Registry()


@segmenters.register("painted", display_name="", paper="", parameter_count=9, recipe=_RECIPE)
def painted(class_count: int) -> nn.Module:
    """Build a convolution of a pixel, whose logits are colours."""
    convolution = nn.Conv2d(3, class_count, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(8 * torch.eye(3)[..., None, None])
    return convolution


class Objects(nn.Module):
    """Finds connected areas of a colour; a larger one scores more.

    Masks are as torchvision cuts those that its networks learn from.
    """

    def __init__(self) -> None:
        super().__init__()
        self.brightness = nn.Parameter(torch.tensor([0.5]))

    def forward(self, images_N3SS: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Return what is in each image."""
        return [self._find(bright_3SS) for bright_3SS in images_N3SS > self.brightness]

    def _find(self, bright_3SS: torch.Tensor) -> dict[str, torch.Tensor]:
        found = []
        for label, bright_SS in enumerate(bright_3SS.numpy()):
            areas_SS, _ = ndimage.label(bright_SS & (bright_3SS.sum(dim=0).numpy() == 1))
            for number, (rows, columns) in enumerate(ndimage.find_objects(areas_SS), start=1):
                corners = (columns.start, rows.start, columns.stop, rows.stop)
                box = np.add(corners, (-MARGIN_PX, -MARGIN_PX, MARGIN_PX, MARGIN_PX)).tolist()
                found.append(((areas_SS == number).sum(), label, box, areas_SS == number))
        found.sort(key=lambda one: -one[0])
        boxes_K4 = torch.tensor([box for *_, box, _ in found], dtype=torch.float32).reshape(-1, 4)
        masks_KMM = [
            roi_align(torch.from_numpy(mask)[None, None].float(), [box_4[None]], _CELLS)[0]
            for box_4, (*_, mask) in zip(boxes_K4, found, strict=True)
        ]
        return {
            "boxes": boxes_K4,
            "labels": torch.tensor([label for _, label, *_ in found], dtype=torch.int64),
            "scores": torch.tensor([0.5 + area / 1e5 for area, *_ in found]),
            "masks": torch.stack(masks_KMM) if found else torch.zeros(0, 1, _CELLS, _CELLS),
        }


@instance_segmenters.register(
    "painted", display_name="", paper="", parameter_count=1, recipe=_RECIPE
)
def objects(class_count: int) -> nn.Module:
    """Build it, for three classes."""
    del class_count
    return Objects()


class PaintedSemantic(SemanticTask):
    """Semantic segmentation, but for the network."""

    def learner(self) -> SemanticLearner:
        """Make one with the network above."""
        learner = SemanticLearner()
        learner.registry = segmenters  # type: ignore[misc]
        return learner


class PaintedInstance(InstanceTask):
    """Instance segmentation, but for the network."""

    def learner(self) -> InstanceLearner:
        """Make one with the network above."""
        learner = InstanceLearner()
        learner.registry = instance_segmenters  # type: ignore[misc]
        return learner


def put_model(bucket: Bucket, task: Any, size_px: int) -> str:
    """Write a model to a bucket, as a training does, and return its name."""
    weights = save(task.learner().registry.get("painted").build(len(CLASSES)).state_dict())
    model = Model(
        name=f"tasks/{task.name}/models/painted-{size_px}",
        architecture="painted",
        classes=CLASSES,
        temperature=1.0,
        score_thresholds=[0.5] * len(CLASSES),
        preprocessing=Preprocessing(
            image_size_px=size_px, resize="letterbox", mean=(0, 0, 0), std=(1, 1, 1)
        ),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_size_bytes=len(weights),
    )
    bucket.put(f"{model.name}/model.safetensors", weights)
    resources.models(bucket).create(model.name, model)
    return model.name
