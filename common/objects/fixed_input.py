"""torchvision's detectors behind one interface: batches of one size in, our labels out.

They come with a first module, `transform`, that normalizes and resizes images one by one. Here
images have been through that already, as letterboxes, the same for training, evaluation and
prediction. `FixedInput` stands in its place and translates what else differs, so that a network of
theirs keeps to our interface without a wrapper, and its weights keep their published names:

- in training `network(images_N3SS, targets)` returns losses by name, to be added;
- in evaluation `network(images_N3SS)` returns, for each image, boxes, labels and scores.

Shape letters: N images, 3 colours, S side of the network's input, K objects of an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

if TYPE_CHECKING:
    from collections.abc import Sequence

Objects = dict[str, Tensor]
"""`boxes` (K, 4), `labels` (K,), and perhaps `scores` (K,), `masks` (K, …)."""


class FixedInput(nn.Module):
    """Stands for the `transform` of a torchvision detector; it has no weights.

    Args:
        label_offset: What the network calls our class 0: 1 where 0 is its background, else 0.
    """

    def __init__(self, label_offset: int) -> None:
        super().__init__()
        self.label_offset = label_offset

    def forward(
        self, images_N3SS: Tensor, targets: Sequence[Objects] | None = None
    ) -> tuple[ImageList, list[Objects] | None]:
        """Pack a batch, and turn targets into the network's.

        A box so thin that in float32 nothing is left of it is left out: the networks refuse it.
        """
        size = (images_N3SS.shape[-2], images_N3SS.shape[-1])
        packed = ImageList(images_N3SS, [size] * len(images_N3SS))
        if targets is None:
            return packed, None
        return packed, [self._shifted(target, self.label_offset) for target in targets]

    def postprocess(
        self,
        found: Sequence[Objects],
        image_shapes: Sequence[tuple[int, int]],
        original_image_sizes: Sequence[tuple[int, int]],
    ) -> list[Objects]:
        """Turn the network's answers into ours; sizes are those that went in, so boxes stay."""
        del image_shapes, original_image_sizes
        return [self._shifted(objects, -self.label_offset) for objects in found]

    def _shifted(self, objects: Objects, offset: int) -> Objects:
        boxes_K4 = objects["boxes"]
        kept_K = (boxes_K4[:, 2:] > boxes_K4[:, :2]).all(dim=1)
        kept = {name: values[kept_K] for name, values in objects.items()}
        return kept | {"labels": kept["labels"] + offset}


def exact_outputs(*modules: nn.Module) -> None:
    """Let what modules return be float32, also where they compute in bf16.

    For what ends in boxes and scores. bf16 has 8 significant bits: from 256 pixels on it knows only
    even coordinates, so that matching, box coding and suppression would go wrong, and sums of
    losses too. A hook keeps torchvision's modules, and so the names of the weights, as they are.
    """
    for module in modules:
        module.register_forward_hook(_outputs_to_float32)


def exact_inputs(*modules: nn.Module) -> None:
    """Let what modules are given be float32.

    For anchor generators: they make anchors of the type that the feature maps have.
    """
    for module in modules:
        module.register_forward_pre_hook(_inputs_to_float32)


def _outputs_to_float32(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    del module, inputs
    return _to_float32(outputs)


def _inputs_to_float32(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    del module
    return tuple(_to_float32(one) for one in inputs)


def _to_float32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    if isinstance(value, dict):
        return {key: _to_float32(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_float32(one) for one in value)
    return value
