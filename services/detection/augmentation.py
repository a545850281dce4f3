"""Variation of training images, their boxes with them: what detection adds to the shared changes.

That is the mosaic, which shows parts of four images on one, and mixup, which shows two images
through each other. Both make up for a detector that starts without knowing anything and looks at
few images. They are for the YOLO family, whose recipe they come from, and end before the training
does, so that the last epochs see images one by one, as they will come later.

Papers: Bochkovskiy, Wang, Liao, "YOLOv4: Optimal Speed and Accuracy of Object Detection", 2020,
https://arxiv.org/abs/2004.10934 (mosaic); Zhang et al., "Bag of Freebies for Training Object
Detection Neural Networks", 2019, https://arxiv.org/abs/1902.04103 (mixup of boxes); Ge et al.,
"YOLOX: Exceeding YOLO Series in 2021", https://arxiv.org/abs/2107.08430 (when they end, and that
small networks need less of them).

Differs from the papers: the four images come from the batch, so nothing else is decoded; each has a
zoom and a part that can be seen of its own; each image has its own draw of colours, and the grey
between images stays grey.

Shape letters: N images, 3 colours, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from common.objects import augmentation as plain
from common.objects.augmentation import STRENGTHS, Strength, canvases, draw
from common.objects.targets import together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from common.objects.targets import Truth
    from common.training.learner import Phase

MOSAIC_ARCHITECTURES = frozenset({"yolox_nano", "yolox_tiny", "yolox_s"})
"""Those trained with mosaics."""

MIXUP_ARCHITECTURES = frozenset({"yolox_s"})
"""Those of them that are large enough to gain by mixup."""

MOSAIC_ENDS = 0.85
"""Fraction of the epochs after which images come singly."""


@dataclass(frozen=True, kw_only=True)
class Mosaic:
    """How often images are put together, and how.

    Attributes:
        probability: That an image becomes a mosaic.
        zoom: Smallest and largest factor by which each of its images grows.
        mixup: Probability that a mosaic is mixed with one more image.
    """

    probability: float
    zoom: tuple[float, float]
    mixup: float


MOSAICS: dict[str, Mosaic] = {
    "standard": Mosaic(probability=0.5, zoom=(0.5, 1.5), mixup=0.0),
    "strong": Mosaic(probability=0.8, zoom=(0.3, 2.0), mixup=0.5),
}
"""The levels at which there are any."""


def augment(
    images_N3HW: Tensor,
    targets: Sequence[Truth],
    phase: Phase,
    generators: Sequence[torch.Generator],
) -> tuple[Tensor, list[Truth]]:
    """Vary images and boxes together.

    The same generators and images give the same bits. Where there is no mosaic, an image with the
    same generator comes out the same in any batch.

    Args:
        images_N3HW: Letterboxes, uint8, with interleaved colours in memory.
        targets: The objects of each, in pixels of it.
        phase: How much, for which architecture, and where the training is.
        generators: One for each image, the only source of randomness.

    Returns:
        Images of the same kind, and their objects. Boxes lie inside and have an area; objects of
        which little can be seen are gone.
    """
    count, _, height, width = images_N3HW.shape
    strength, mosaic = STRENGTHS[phase.level], _mosaic(phase)
    if strength is None or mosaic is None or count == 1:
        return plain.augment(images_N3HW, targets, phase, generators)
    whole = (0, 0, width, height)
    varied_N3HW, moved = canvases(count, height, width), []
    for index, generator in enumerate(generators):
        canvas_3HW = varied_N3HW[index]
        if not _happens(mosaic.probability, generator):
            found = draw(canvas_3HW, whole, images_N3HW[index], targets[index], strength, generator)
        else:
            *three, fifth = _others(index, count, generator)
            tile = replace(strength, zoom=mosaic.zoom, crop=0.0)
            chosen = [index, *three]
            found = _draw_mosaic(canvas_3HW, images_N3HW, targets, chosen, tile, generator)
            if _happens(mosaic.mixup, generator):
                over_3HW = canvases(1, height, width)[0]
                added = images_N3HW[fifth], targets[fifth]
                more = draw(over_3HW, whole, *added, strength, generator)
                canvas_3HW.copy_((canvas_3HW.short() + over_3HW + 1) >> 1)
                found = together([found, more])
        moved.append(found)
    return varied_N3HW, moved


def _mosaic(phase: Phase) -> Mosaic | None:
    """Return how images are put together; None where they come singly."""
    if phase.architecture not in MOSAIC_ARCHITECTURES or phase.done >= MOSAIC_ENDS:
        return None
    mosaic = MOSAICS.get(phase.level)
    if mosaic is not None and phase.architecture not in MIXUP_ARCHITECTURES:
        return replace(mosaic, mixup=0.0)
    return mosaic


def _happens(probability: float, generator: torch.Generator) -> bool:
    return torch.rand((), generator=generator).item() < probability


def _draw_mosaic(
    canvas_3HW: Tensor,
    images_N3HW: Tensor,
    truths: Sequence[Truth],
    chosen: Sequence[int],
    strength: Strength,
    generator: torch.Generator,
) -> Truth:
    """Draw four chosen images around a point of a canvas, and return their objects there."""
    height, width = canvas_3HW.shape[1:]
    # The point lies in the middle half of the canvas, so that every room shows something.
    across, down = (0.25 + 0.5 * torch.rand(2, generator=generator)).tolist()
    x, y = round(across * width), round(down * height)
    rooms = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
    return together(
        [
            draw(canvas_3HW, room, images_N3HW[index], truths[index], strength, generator)
            for room, index in zip(rooms, chosen, strict=True)
        ]
    )


def _others(index: int, count: int, generator: torch.Generator) -> list[int]:
    """Choose four other images of a batch of at least two; one may be chosen more than once."""
    steps = torch.randint(1, count, (4,), generator=generator).tolist()
    return [(index + step) % count for step in steps]
