"""Variation of training images, their boxes and masks with them.

Shape letters: N images, 3 colours, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.objects.augmentation import STRENGTHS, canvases, draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

    from common.objects.targets import Truth
    from common.training.learner import Phase


def augment(
    images_N3HW: Tensor,
    truths: Sequence[Truth],
    phase: Phase,
    generators: Sequence[torch.Generator],
) -> tuple[Tensor, list[Truth]]:
    """Vary images, boxes and masks together; the same generator gives an image the same bits.

    Args:
        images_N3HW: Letterboxes, uint8, with interleaved colours in memory.
        truths: The objects of each, with masks of the letterbox's size.
        phase: How much.
        generators: One for each image, the only source of randomness.

    Returns:
        Images of the same kind, and their objects: boxes are the bounds of masks, and objects of
        which little can be seen are gone.
    """
    strength = STRENGTHS[phase.level]
    if strength is None:
        return images_N3HW, list(truths)
    count, _, height, width = images_N3HW.shape
    varied_N3HW = canvases(count, height, width)
    moved = [
        draw(canvas_3HW, (0, 0, width, height), image_3HW, truth, strength, generator)
        for canvas_3HW, image_3HW, truth, generator in zip(
            varied_N3HW, images_N3HW, truths, generators, strict=True
        )
    ]
    return varied_N3HW, moved
