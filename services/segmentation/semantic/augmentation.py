"""Variation of training images, the classes of their pixels with them.

Image and classes go through one `Placement`: the image is resampled, averaged over what is shrunk;
of the classes each pixel takes the nearest, since there is none between two. What comes from
outside of an image is grey in one and void in the other. How far images are varied, and how a part
to show is chosen, is as for objects.

Shape letters: N images, 3 colours, H height, W width, S side of the network's input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from common.data.colours import vary_bytes
from common.masks.drafts import resized
from common.masks.label_maps import VOID, LabelMap
from common.objects.augmentation import Placement, choose, content_size, vary
from common.objects.targets import Truth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from common.masks.label_maps import Labels
    from common.objects.augmentation import Strength
    from common.training.learner import Phase


def augment(
    images_N3HW: Tensor,
    targets: Sequence[LabelMap],
    phase: Phase,
    generators: Sequence[torch.Generator],
) -> tuple[Tensor, list[LabelMap]]:
    """Vary images and the classes of their pixels together.

    An image with the same generator comes out the same in any batch.

    Args:
        images_N3HW: Letterboxes, uint8, with interleaved colours in memory.
        targets: The class of each of their pixels.
        phase: How much.
        generators: One for each image, the only source of randomness.

    Returns:
        Images of the same kind, and the class of each of their pixels.
    """
    return vary(images_N3HW, targets, phase, generators, _draw)


def _draw(
    canvas_3SS: Tensor,
    image_3SS: Tensor,
    target: LabelMap,
    strength: Strength,
    generator: torch.Generator,
) -> LabelMap:
    """Draw a varied image on a grey canvas, and return the classes there."""
    labels_SS = target.unpack()
    _, height, width = canvas_3SS.shape
    content = content_size(image_3SS, _extent(labels_SS))
    room = (0, 0, width, height)
    placement = choose(_extent(None), *content, room, strength, generator)
    draws_3 = 2 * torch.rand(3, generator=generator) - 1
    xmin, ymin, xmax, ymax = placement.target
    canvas_3SS[:, ymin:ymax, xmin:xmax] = vary_bytes(
        placement.cut(image_3SS), draws_3, strength.colours
    )
    moved_SS = np.full((height, width), VOID, dtype=np.int16)
    moved_SS[ymin:ymax, xmin:xmax] = cut(placement, labels_SS)
    return LabelMap.pack(moved_SS)


def cut(placement: Placement, labels_HW: Labels) -> Labels:
    """Return what the target of a placement shows of the classes of an image's pixels."""
    xmin, ymin, xmax, ymax = placement.source
    width, height = (
        placement.target[2] - placement.target[0],
        placement.target[3] - placement.target[1],
    )
    cut_HW = resized(labels_HW[ymin:ymax, xmin:xmax], width, height)
    return cut_HW[:, ::-1] if placement.mirrored else cut_HW


def _extent(labels_SS: Labels | None) -> Truth:
    """Return the part of a letterbox that has classes as a single object, or none at all."""
    box = []
    if labels_SS is not None and (known_SS := labels_SS != VOID).any():
        right = np.flatnonzero(known_SS.any(axis=0))[-1] + 1
        bottom = np.flatnonzero(known_SS.any(axis=1))[-1] + 1
        box = [(0, 0, right, bottom)]
    count = len(box)
    return Truth(
        boxes_K4=np.array(box, dtype=np.float32).reshape(-1, 4),
        labels_K=np.zeros(count, dtype=np.int64),
        crowd_K=np.zeros(count, dtype=bool),
        difficult_K=np.zeros(count, dtype=bool),
        area_K=np.zeros(count, dtype=np.float32),
    )
