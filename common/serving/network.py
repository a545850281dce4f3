"""A model ready to answer: its network on a device, in the fastest arithmetic that agrees.

Shape letters: N images, 3 colours, S side of the network's input, H height, W width.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from common.data import images, transforms
from common.serving.forward_times import ForwardTimes
from common.training.precision import cpu_has_bf16

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from common.serving.tiles import Tile
    from common.training.learner import Learner, Output
    from nocode.vision.v1.model_pb2 import Model

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_LONGEST_WARM_UP_S = 10.0
_LONGEST_COMPARISON_S = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image that waits for the network.

    Attributes:
        image_3SS: Resized, uint8.
        width: Of the image as sent, upright.
        height: Of the image as sent, upright.
    """

    image_3SS: Tensor
    width: int
    height: int


class Network:
    """A model's network on a device.

    Attributes:
        model: The resource.
        learner: The task's.
        precision: `fp32` or `bf16`.
        size_bytes: What weights and buffers take.
        times: How long it takes.
        max_batch_size: What the device has memory for, as far as is known.
    """

    def __init__(
        self,
        model: Model,
        module: nn.Module,
        learner: Learner,
        device: torch.device,
        precision: str = "fp32",
    ) -> None:
        self.model = model
        self.learner = learner
        self.precision = precision
        self.size_bytes = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
        self.times = ForwardTimes()
        self.max_batch_size = sys.maxsize
        self._module = module
        self._device = device
        self._decode_size = transforms.decode_size(model.preprocessing)

    def prepare(self, data: bytes, max_pixels: int) -> Prepared:
        """Decode and resize an image file. May run in any thread.

        Raises:
            ImageError: It is no usable image.
        """
        info, pixels_HW3 = images.read(data, max_pixels=max_pixels, at_least_px=self._decode_size)
        image_3SS = transforms.resize(pixels_HW3, self.model.preprocessing)
        return Prepared(image_3SS, info.width, info.height)

    def prepare_tile(self, pixels_HW3: np.ndarray[Any, Any], tile: Tile) -> Tensor:
        """Cut a tile out of a decoded image and resize it. May run in any thread."""
        rows = slice(tile.ymin, tile.ymin + tile.height)
        columns = slice(tile.xmin, tile.xmin + tile.width)
        return transforms.resize(pixels_HW3[rows, columns], self.model.preprocessing)

    def warm_up(self, batch_size: int) -> None:
        """Run it, so that the first call is as fast as any, and its times are known.

        A batch that will take long is left out: whoever waits for the model waits for this.
        """
        size_px = self.model.preprocessing.image_size_px
        blank_3SS = torch.zeros((size_px, size_px, 3), dtype=torch.uint8).permute(2, 0, 1)
        for size in (1, 1, batch_size):
            if self.times.expected(size) > _LONGEST_WARM_UP_S:
                break
            started = time.monotonic()
            self.forward([blank_3SS] * size)
            self.times.note(size, time.monotonic() - started)

    def forward(self, images_3SS: Sequence[Tensor]) -> list[Output]:
        """Run the network on resized images; one thread at a time."""
        batch_N3SS = transforms.stack(images_3SS).to(self._device)
        with torch.inference_mode():
            inputs_N3SS = transforms.normalize(batch_N3SS, self.model.preprocessing)
            return self.learner.forward(self._module, inputs_N3SS.to(DTYPES[self.precision]))


def make(
    model: Model, module: nn.Module, learner: Learner, device: torch.device, precision: str
) -> Network:
    """Put a loaded model on a device and choose its arithmetic.

    Args:
        model: The resource.
        module: Its network, from `load_model`.
        learner: The task's.
        device: Where it is to run.
        precision: `fp32`, `bf16`, or `auto`: bf16 if the hardware has it and the scores of a few
            test pictures stay within the learner's tolerance of those in fp32.
    """
    module = module.to(device).to(memory_format=torch.channels_last)
    exact = Network(model, module, learner, device)
    if precision == "fp32" or (precision == "auto" and not has_bf16(device)):
        return exact
    fast = Network(model, learner.in_bf16(module), learner, device, "bf16")
    deviation = _deviation(fast, exact)
    if deviation <= learner.tolerance or precision == "bf16":
        log.info("%s answers in bf16, within %.4f of fp32", model.name, deviation)
        return fast
    log.warning("%s answers in fp32: in bf16 its scores differ by %.4f", model.name, deviation)
    return exact


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware computes bf16 natively; elsewhere it is slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and cpu_has_bf16()


def _deviation(fast: Network, exact: Network) -> float:
    """Return by how much scores differ on pictures, some smooth, some busy.

    On fewer of them if the network is slow: whoever waits for the model waits for this.
    """
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (32, 2, 128, 8)]
    ours, references = [], []
    started = time.monotonic()
    for picture in pictures:
        probe_3SS = transforms.resize(picture, exact.model.preprocessing)
        ours += fast.forward([probe_3SS])
        references += exact.forward([probe_3SS])
        if time.monotonic() - started > _LONGEST_COMPARISON_S:
            break
    return exact.learner.difference(ours, references, exact.model)
