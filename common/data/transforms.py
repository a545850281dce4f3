"""From decoded pixels to the network's input: the same for training, evaluation and prediction.

Shape letters: N images, 3 colours, H height, W width, S side of the network's input.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor

    from nocode.vision.v1.model_pb2 import Preprocessing

LETTERBOX_GREY = 114
"""What fills a letterbox; the value that detectors are published with."""


def decode_size(preprocessing: Preprocessing) -> int:
    """Return `images.decode`'s `at_least_px`: twice the network's input.

    Then at least half of the shrinking is left to `resize`, and the result differs from that of a
    full decode by 0.2 grey levels on average on pictures like photographs, by 1.3 on noise and
    stripes of 3 pixels. With 1 in place of 2 it would be 0.4 and 2.3; with 3, little would shrink.
    """
    return 2 * preprocessing.image_size_px


def resize(image_HW3: np.ndarray[Any, Any], preprocessing: Preprocessing) -> Tensor:
    """Resize to uint8 (3, S, S), averaging over what is shrunk (antialiasing).

    `stretch` takes no notice of the shape. `letterbox` keeps it: the image lies in the upper left
    corner and grey fills the rest.
    """
    size_px = preprocessing.image_size_px
    height, width = image_HW3.shape[:2]
    # A view: torch resizes uint8 with interleaved colours fastest, and keeps them interleaved.
    image_13HW = torch.from_numpy(image_HW3)[None].permute(0, 3, 1, 2)
    if preprocessing.resize != "letterbox":
        return _scale(image_13HW, size_px, size_px)[0]
    inner_width, inner_height = inner_size(width, height, size_px)
    boxed_SS3 = torch.full((size_px, size_px, 3), LETTERBOX_GREY, dtype=torch.uint8)
    boxed_3SS = boxed_SS3.permute(2, 0, 1)
    boxed_3SS[:, :inner_height, :inner_width] = _scale(image_13HW, inner_height, inner_width)[0]
    return boxed_3SS


def inner_size(width: int, height: int, size_px: int) -> tuple[int, int]:
    """Return width and height of an image in its letterbox of (size_px, size_px)."""
    ratio = size_px / max(height, width)
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def stack(images_3SS: Sequence[Tensor]) -> Tensor:
    """Make a batch of what `resize` gave, in channels-last memory (`torch.stack` would undo it)."""
    return torch.stack([image.permute(1, 2, 0) for image in images_3SS]).permute(0, 3, 1, 2)


def normalize(images_N3SS: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Turn uint8 images into the network's input: float32, normalized, channels last.

    Fastest if the batch comes from `stack`.
    """
    count, _, height, width = images_N3SS.shape
    # Rows of interleaved colours, so that one long fused multiply-add serves all three.
    rows_NHW3 = images_N3SS.permute(0, 2, 3, 1).reshape(count, height, width * 3)
    scale_W3, shift_W3 = _row_constants(
        tuple(preprocessing.mean), tuple(preprocessing.std), width, images_N3SS.device
    )
    floats_NHW3 = torch.addcmul(shift_W3, rows_NHW3, scale_W3)
    return floats_NHW3.view(count, height, width, 3).permute(0, 3, 1, 2)


@lru_cache(maxsize=64)
def _row_constants(
    mean: tuple[float, ...], std: tuple[float, ...], width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    mean_3 = torch.tensor(mean, dtype=torch.float64)
    std_3 = torch.tensor(std, dtype=torch.float64)
    scale_3 = (1 / (255 * std_3)).to(device, torch.float32)
    shift_3 = (-mean_3 / std_3).to(device, torch.float32)
    return scale_3.repeat(width), shift_3.repeat(width)


def _scale(image_13HW: Tensor, height: int, width: int) -> Tensor:
    if image_13HW.shape[2:] == (height, width):
        return image_13HW.clone()
    return functional.interpolate(
        image_13HW, size=(height, width), mode="bilinear", antialias=True, align_corners=False
    )
