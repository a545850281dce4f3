"""What learners of objects have in common, whether those are found with boxes alone or with masks.

Shape letters: N images, K objects of an image, H height, W width, S side of the network's input, 3
colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from common.objects import answers, augmentation, tiling
from common.objects.checks import LEAST_SIDE_PX
from common.training.learner import Learner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from common.data.findings import Report
    from common.objects.targets import Detections, Truth
    from common.serving.tiles import Tile
    from nocode.vision.v1 import model_pb2, pipeline_pb2


class ObjectLearner(Learner):
    """A target is a `Truth`, an output `Detections`, both in pixels of the network's input."""

    resize = "letterbox"
    # On noise, where arithmetic shows most. A YOLOX stays below; on images like those that it was
    # trained on, nine of ten scores in bf16 differ by 0.012 at most, and AP not measurably.
    tolerance = 0.02
    tiles = True

    # Training.

    augment = staticmethod(augmentation.augment)

    def check_targets(self, targets: Sequence[Truth], size_px: int, report: Report) -> None:
        """Report objects that are too small to be seen at the size that images have."""
        tiny = 0
        for truth in targets:
            sides_K2 = truth.boxes_K4[:, 2:] - truth.boxes_K4[:, :2]
            tiny += int((sides_K2 < LEAST_SIDE_PX).all(axis=1).sum())
        report.add("OBJECTS_TINY", [], count=tiny, minimum_px=LEAST_SIDE_PX, size_px=size_px)

    def loss(
        self,
        model: nn.Module,
        images_N3HW: Tensor,
        targets: Sequence[Truth],
        config: pipeline_pb2.TrainingConfig,
        class_weights_C: Tensor | None,
    ) -> Tensor:
        """Return the sum of the network's losses; crowds are not trained on.

        Some networks average over the objects of a batch, as their papers do: the parts of a split
        batch then weigh their objects a little differently than the batch as a whole.
        """
        del config, class_weights_C
        device, size_px = images_N3HW.device, images_N3HW.shape[-1]
        trainable = [truth.pick(~truth.crowd_K) for truth in targets]
        losses = model(images_N3HW, [self.tensors(one, size_px, device) for one in trainable])
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    def tensors(self, truth: Truth, size_px: int, device: torch.device) -> dict[str, Tensor]:
        """Return what a network takes as the objects of a (size_px, size_px) image, in training."""
        del size_px
        return {
            "boxes": torch.from_numpy(truth.boxes_K4).to(device),
            "labels": torch.from_numpy(truth.labels_K).to(device),
        }

    # Inference.

    def in_bf16(self, model: nn.Module) -> nn.Module:
        """Return the network with its convolutions in bf16: boxes need more than its 8 bits."""
        return _Autocast(model)

    def merge(
        self,
        outputs: Sequence[Detections],
        tiles: Sequence[Tile],
        model: model_pb2.Model,
        width: int,
        height: int,
    ) -> Detections:
        """See `common.objects.tiling`."""
        return tiling.merge(outputs, tiles, width, height, model.preprocessing.image_size_px)

    def difference(
        self,
        outputs: Sequence[Detections],
        references: Sequence[Detections],
        model: model_pb2.Model,
    ) -> float:
        """See `common.objects.answers`."""
        del model
        return answers.difference(outputs, references)


def nothing_to_find(targets: Sequence[Truth]) -> bool:
    """Whether there is no true object that counts, so that no epoch is better than another."""
    return all((truth.crowd_K | truth.difficult_K).all() for truth in targets)


class _Autocast(nn.Module):
    """A network in fp32 that computes what bears it in bf16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_N3SS: Tensor) -> Any:
        """Answer for normalized images."""
        with torch.autocast(images_N3SS.device.type, dtype=torch.bfloat16):
            return self.network(images_N3SS.float())
