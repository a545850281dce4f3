"""Variation of images with objects: what moves the pixels moves the objects.

Every change of geometry is a `Placement`: a rectangle of whole pixels of an image is resampled into
a rectangle of whole pixels of a canvas, mirrored or not. So one affine map holds for pixels and
boxes alike, exactly; pixels are resampled once, from uint8 to uint8; and several images can share a
canvas. Nothing is turned or sheared: the box around a turned box would be too large.

What comes from outside of an image is grey, as in a letterbox, and keeps that grey: only what shows
the image has its colours changed.

Shape letters: N images, K objects of an image, T tries, 3 colours, S side of an input, H height, W
width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch.nn import functional

from common.data.colours import Colours, vary_bytes
from common.data.transforms import LETTERBOX_GREY
from common.masks import rle
from common.objects import masks
from common.objects.targets import Truth, as_objects, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from common.objects.targets import Objects
    from common.training.learner import Phase

    Doubles = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Ints = NDArray[np.int64]

Target = TypeVar("Target")

Rectangle = tuple[int, int, int, int]
"""xmin, ymin, xmax, ymax, in whole pixels."""

LEAST_VISIBLE = 0.25
"""An object of whose box less than this is seen is no object any more, unless it fills as much of
what is seen: the part of a horse that fills the picture is a horse."""

LEAST_SIDE_PX = 2.0
"""Nor is one with a side shorter than this."""

_START, _END = [0, 1, 0, 1], [2, 3, 2, 3]  # x and y of a corner, for both corners of a box.
_MIRRORED = 0.5
_CROP_TRIES = 50


@dataclass(frozen=True, kw_only=True)
class Strength:
    """How far an image may be changed.

    It is mirrored from left to right half of the time. The class of an object rarely depends on
    that, unlike the class of an image, which may be all there is to tell a left turn from a right.

    Attributes:
        zoom: Smallest and largest factor by which the image grows; its logarithm is drawn evenly.
            What fits lies anywhere on the canvas; of what does not fit, any part is seen. A wide
            range is the large-scale jitter of Ghiasi et al., "Simple Copy-Paste is a Strong Data
            Augmentation Method for Instance Segmentation", 2021, https://arxiv.org/abs/2012.07177
        stretch: Largest factor by which width and height are pulled apart.
        shift: Displacement along each axis after that, as a fraction of the room's side, so that
            objects are also cut where nothing is enlarged.
        crop: Probability that zoom, stretch and shift give way to a crop as in `crop_on_objects`.
        colours: How far they may be changed.
    """

    zoom: tuple[float, float]
    stretch: float
    shift: float
    crop: float
    colours: Colours


STRENGTHS: dict[str, Strength | None] = {
    "none": None,
    "light": Strength(
        zoom=(1 / 1.1, 1.1), stretch=1.05, shift=0.05, crop=0.0,
        colours=Colours(brightness=0.1, contrast=0.1, saturation=0.1),
    ),
    "standard": Strength(
        zoom=(1 / 1.5, 1.5), stretch=1.1, shift=0.1, crop=0.3,
        colours=Colours(brightness=0.2, contrast=0.2, saturation=0.2),
    ),
    "strong": Strength(
        zoom=(0.25, 2.0), stretch=1.2, shift=0.1, crop=0.4,
        colours=Colours(brightness=0.4, contrast=0.4, saturation=0.4),
    ),
}  # fmt: skip


def augment(
    images_N3HW: Tensor,
    targets: Sequence[Truth],
    phase: Phase,
    generators: Sequence[torch.Generator],
) -> tuple[Tensor, list[Truth]]:
    """Vary images, boxes and masks together; the same generator gives an image the same bits.

    Args:
        images_N3HW: Letterboxes, uint8, with interleaved colours in memory.
        targets: The objects of each, in pixels of it; masks, if any, of its size.
        phase: How much.
        generators: One for each image, the only source of randomness.

    Returns:
        Images of the same kind, and their objects. Boxes lie inside and have an area, and are the
        bounds of masks; objects of which little can be seen are gone.
    """
    return vary(images_N3HW, targets, phase, generators, _draw_whole)


def vary(
    images_N3HW: Tensor,
    targets: Sequence[Target],
    phase: Phase,
    generators: Sequence[torch.Generator],
    draw_one: Callable[[Tensor, Tensor, Target, Strength, torch.Generator], Target],
) -> tuple[Tensor, list[Target]]:
    """Vary images one by one, with targets of any kind; see `augment`.

    Args:
        images_N3HW: See there.
        targets: One for each image.
        phase: How much.
        generators: One for each image.
        draw_one: Draws on a grey canvas an image with its target, and returns the target there.
    """
    strength = STRENGTHS[phase.level]
    if strength is None:
        return images_N3HW, list(targets)
    varied_N3HW = canvases(len(images_N3HW), *images_N3HW.shape[2:])
    moved = [
        draw_one(canvas_3HW, image_3HW, target, strength, generator)
        for canvas_3HW, image_3HW, target, generator in zip(
            varied_N3HW, images_N3HW, targets, generators, strict=True
        )
    ]
    return varied_N3HW, moved


def _draw_whole(
    canvas_3HW: Tensor,
    image_3HW: Tensor,
    truth: Truth,
    strength: Strength,
    generator: torch.Generator,
) -> Truth:
    _, height, width = canvas_3HW.shape
    return draw(canvas_3HW, (0, 0, width, height), image_3HW, truth, strength, generator)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a part of an image lies on a canvas.

    Attributes:
        source: The part of the image.
        target: Where it goes; its sides may be of any other length.
        mirrored: Left and right change places within the target.
    """

    source: Rectangle
    target: Rectangle
    mirrored: bool = False

    def cut(self, image_CHW: Tensor) -> Tensor:
        """Return what the target shows, (C, height, width); averaged over what is shrunk.

        Args:
            image_CHW: uint8; with three interleaved colours in memory it is fastest. It may be a
                view of the result.
        """
        xmin, ymin, xmax, ymax = self.source
        part_1CHW = image_CHW[None, :, ymin:ymax, xmin:xmax]
        height, width = self.target[3] - self.target[1], self.target[2] - self.target[0]
        if part_1CHW.shape[2:] != (height, width):
            part_1CHW = functional.interpolate(
                part_1CHW.contiguous(memory_format=torch.channels_last),
                size=(height, width),
                mode="bilinear",
                antialias=True,
                align_corners=False,
            )
        return part_1CHW[0].flip(2) if self.mirrored else part_1CHW[0]

    def move(self, truth: Truth) -> Truth:
        """Return the objects that can be seen on the canvas, cut at the target's border.

        Where there are masks, boxes and areas are those of what is left of them: the canvas is as
        large as the image, and of the image's pixels each shows the nearest. An area without a mask
        shrinks as its box does; what is left of a mask might be less or more.
        """
        source_4, target_4 = np.array(self.source, float), np.array(self.target, float)
        scale_2 = (target_4[2:] - target_4[:2]) / (source_4[2:] - source_4[:2])
        if truth.masks_K is not None:
            return self._move_masks(truth, truth.masks_K, scale_2)
        boxes_K4 = truth.boxes_K4.astype(np.float64) - source_4[_START]
        boxes_K4 = boxes_K4 * scale_2[_START] + target_4[_START]
        if self.mirrored:
            boxes_K4[:, [0, 2]] = target_4[0] + target_4[2] - boxes_K4[:, [2, 0]]
        seen_K4, visible_K, kept_K = _cut_boxes(boxes_K4, target_4)
        return Truth(
            boxes_K4=seen_K4.astype(np.float32),
            labels_K=truth.labels_K,
            crowd_K=truth.crowd_K,
            difficult_K=truth.difficult_K,
            area_K=(truth.area_K * scale_2.prod() * visible_K).astype(np.float32),
        ).pick(kept_K)

    def _move_masks(self, truth: Truth, masks_K: Objects, scale_2: Doubles) -> Truth:
        moved = [self._move_mask(mask) for mask in masks_K]
        boxes_K4 = np.array([rle.bounds(mask) or (0, 0, 0, 0) for mask in moved]).reshape(-1, 4)
        area_K = np.array([rle.area(mask) for mask in moved], float)
        whole_K = np.array([rle.area(mask) for mask in masks_K], float) * scale_2.prod()
        visible_K = area_K / np.maximum(whole_K, 1e-9)
        return Truth(
            boxes_K4=boxes_K4.astype(np.float32),
            labels_K=truth.labels_K,
            crowd_K=truth.crowd_K,
            difficult_K=truth.difficult_K,
            area_K=area_K.astype(np.float32),
            masks_K=as_objects(moved),
        ).pick(_counts(boxes_K4, visible_K, np.array(self.target, float)))

    def _move_mask(self, mask: rle.Rle) -> rle.Rle:
        height, width = mask["size"]
        bounds = rle.bounds(mask)
        if bounds is None:
            return mask
        left, columns_W = self._axis(0, bounds, mirrored=self.mirrored)
        top, rows_H = self._axis(1, bounds, mirrored=False)
        return masks.resample(mask, columns_W, rows_H, (left, top), (width, height))

    def _axis(self, axis: int, bounds: rle.Box, *, mirrored: bool) -> tuple[int, Ints]:
        """Return where on an axis of the canvas something can be seen, and the pixels shown there.

        Args:
            axis: 0 for x, 1 for y.
            bounds: Around the something, in pixels of the image.
            mirrored: Whether the axis is.

        Returns:
            The first pixel on the canvas, and pixels of the image.
        """
        source, end = self.source[axis], self.source[axis + 2]
        target, length = self.target[axis], self.target[axis + 2] - self.target[axis]
        shown = source + nearest(np.arange(length), length, end - source)
        if mirrored:
            shown = shown[::-1]
        inside = np.flatnonzero((shown >= bounds[axis]) & (shown < bounds[axis + 2]))
        if not len(inside):
            return target, inside
        first, last = int(inside[0]), int(inside[-1])
        return target + first, shown[first : last + 1]


def canvases(count: int, height: int, width: int) -> Tensor:
    """Return grey images, uint8 (count, 3, height, width), with interleaved colours in memory."""
    return torch.full((count, height, width, 3), LETTERBOX_GREY, dtype=torch.uint8).permute(
        0, 3, 1, 2
    )


def draw(
    canvas_3SS: Tensor,
    room: Rectangle,
    image_3HW: Tensor,
    truth: Truth,
    strength: Strength,
    generator: torch.Generator,
) -> Truth:
    """Draw a varied image into a room of a canvas, and return its objects there.

    Args:
        canvas_3SS: uint8, grey.
        room: In pixels of the canvas; nothing outside of it changes.
        image_3HW: A letterbox, uint8.
        truth: Its objects.
        strength: How far it may be changed.
        generator: The only source of randomness.
    """
    width, height = content_size(image_3HW, truth)
    placement = choose(truth, width, height, room, strength, generator)
    draws_3 = 2 * torch.rand(3, generator=generator) - 1
    xmin, ymin, xmax, ymax = placement.target
    canvas_3SS[:, ymin:ymax, xmin:xmax] = vary_bytes(
        placement.cut(image_3HW), draws_3, strength.colours
    )
    return placement.move(truth)


def choose(
    truth: Truth,
    width: int,
    height: int,
    room: Rectangle,
    strength: Strength,
    generator: torch.Generator,
) -> Placement:
    """Choose where an image of (width, height) pixels with these objects lies in a room.

    For the other arguments see `draw`.
    """
    mirror, crop, size, shape, *numbers = torch.rand(8, generator=generator).tolist()
    where, shifts = numbers[:2], [strength.shift * (2 * number - 1) for number in numbers[2:]]
    smallest, largest = strength.zoom
    zoom = smallest * (largest / smallest) ** size
    stretch = strength.stretch ** (shape - 0.5)  # Of one axis; the other has its inverse.
    part, zooms = (0, 0, width, height), (zoom * stretch, zoom / stretch)
    if crop < strength.crop and (found := crop_on_objects(truth, width, height, generator)):
        part, shifts = found, [0.0, 0.0]
        fit = min((room[axis + 2] - room[axis]) / (part[axis + 2] - part[axis]) for axis in (0, 1))
        zooms = (fit, fit)
    return place(part, room, zooms, where, shifts, mirrored=mirror < _MIRRORED)


def content_size(image_3SS: Tensor, truth: Truth) -> tuple[int, int]:
    """Return width and height of what a letterbox holds, at least one pixel.

    They are not stored with it, so they are seen: below and to the right of the content all is
    grey. A picture that is just as grey at its border is taken to end there, but never before its
    objects do.
    """
    _, height, width = image_3SS.shape
    rows_HX = image_3SS.permute(1, 2, 0).reshape(height, -1).numpy()
    # Boxes are float32, and may end a trifle beyond the pixel at which they should.
    right, bottom = np.ceil(truth.boxes_K4[:, 2:].max(axis=0, initial=1.0) - 0.01).astype(int)
    if (rows_HX[-1] == LETTERBOX_GREY).all():
        seen = np.flatnonzero((rows_HX != LETTERBOX_GREY).any(axis=1))
        height = min(height, max(int(bottom), int(seen[-1]) + 1 if len(seen) else height))
    if (rows_HX[:, -3:] == LETTERBOX_GREY).all():
        seen = np.flatnonzero((rows_HX != LETTERBOX_GREY).any(axis=0))
        width = min(width, max(int(right), int(seen[-1]) // 3 + 1 if len(seen) else width))
    return width, height


def place(
    part: Rectangle,
    room: Rectangle,
    zooms: tuple[float, float],
    where: Sequence[float],
    shifts: Sequence[float],
    *,
    mirrored: bool,
) -> Placement:
    """Place a part of an image in a room of a canvas; what does not fit is cut off.

    Args:
        part: In pixels of the image.
        room: In pixels of the canvas.
        zooms: By how much the part grows, in x and in y; rounding to whole pixels changes it a bit.
        where: In x and in y, in [0, 1]: 0 is the leftmost (topmost) place of a part that fits, and
            shows the left (top) end of one that does not.
        shifts: In x and in y, by how much it lies away from there, as a fraction of the room.
        mirrored: See `Placement`.
    """
    (left, right, to_left, to_right), (top, bottom, to_top, to_bottom) = (
        _place_axis(part[axis], part[axis + 2], room[axis], room[axis + 2],
                    zooms[axis], where[axis], shifts[axis])
        for axis in (0, 1)
    )  # fmt: skip
    return Placement((left, top, right, bottom), (to_left, to_top, to_right, to_bottom), mirrored)


def _place_axis(
    low: int, high: int, room_low: int, room_high: int, zoom: float, where: float, shift: float
) -> tuple[int, int, int, int]:
    """Return the ends of source and target on one axis, at least one pixel apart."""
    room, length = room_high - room_low, (high - low) * zoom
    start = room_low + where * (room - length) + shift * room
    to_low = min(max(round(start), room_low), room_high - 1)
    to_high = min(max(round(start + length), to_low + 1), room_high)
    from_low = min(max(low + round((to_low - start) / zoom), low), high - 1)
    from_high = min(max(low + round((to_high - start) / zoom), from_low + 1), high)
    return from_low, from_high, to_low, to_high


def crop_on_objects(
    truth: Truth, width: int, height: int, generator: torch.Generator
) -> Rectangle | None:
    """Choose a part of an image that overlaps well with an object of it.

    How well is drawn first: an intersection over union of at least 0.1, 0.3, 0.5, 0.7 or 0.9, or
    any at all. The part has 0.3 to 1 of the image's width and of its height, and no side is more
    than twice as long as the other. The object still counts as one in it, see `LEAST_VISIBLE`.

    Args:
        truth: The objects. Without any, any part will do.
        width: Of the image, in pixels.
        height: Likewise.
        generator: The only source of randomness.

    Returns:
        None if no part was found in a number of tries.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2 ("Data
    augmentation"), https://arxiv.org/abs/1512.02325
    """
    draws = torch.rand(1 + _CROP_TRIES * 4, generator=generator, dtype=torch.float64).numpy()
    least = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)[int(draws[0] * 6)]
    draws_T4 = draws[1:].reshape(_CROP_TRIES, 4)
    border_2 = np.array([width, height], float)
    sides_T2 = np.maximum(np.round((0.3 + 0.7 * draws_T4[:, :2]) * border_2), 1)
    starts_T2 = np.floor(draws_T4[:, 2:] * (border_2 - sides_T2 + 1))
    parts_T4 = np.concatenate([starts_T2, starts_T2 + sides_T2], axis=1)
    ratio_T = sides_T2[:, 0] / sides_T2[:, 1]
    boxes_K4 = truth.boxes_K4.astype(np.float64)
    for part_4 in parts_T4[(ratio_T >= 0.5) & (ratio_T <= 2)]:
        seen_K4, _, kept_K = _cut_boxes(boxes_K4, part_4)
        seen_K = _areas(seen_K4)
        overlap_K = seen_K / (_areas(boxes_K4) + _areas(part_4[None]) - seen_K)
        if not len(truth) or ((overlap_K >= least) & kept_K).any():
            xmin, ymin, xmax, ymax = part_4.astype(int).tolist()
            return xmin, ymin, xmax, ymax
    return None


def _cut_boxes(boxes_K4: Doubles, border_4: Doubles) -> tuple[Doubles, Doubles, Bools]:
    """Return the part of each box inside, the fraction of its area that is, and whether it counts.

    See `LEAST_VISIBLE` and `LEAST_SIDE_PX`.
    """
    seen_K4 = np.minimum(np.maximum(boxes_K4, border_4[_START]), border_4[_END])
    # A box of no area is not seen at all, and must not divide by 0.
    visible_K = _areas(seen_K4) / np.maximum(_areas(boxes_K4), 1e-9)
    return seen_K4, visible_K, _counts(seen_K4, visible_K, border_4)


def _counts(seen_K4: Doubles, visible_K: Doubles, border_4: Doubles) -> Bools:
    """Return which objects still count as such; see `LEAST_VISIBLE` and `LEAST_SIDE_PX`.

    Args:
        seen_K4: What is seen of their boxes.
        visible_K: Which fraction of them is.
        border_4: Of what is seen.
    """
    fills_K = _areas(seen_K4) / _areas(border_4[None])
    long_K = (seen_K4[:, 2:] - seen_K4[:, :2] >= LEAST_SIDE_PX).all(axis=1)
    counts_K: Bools = long_K & (np.maximum(visible_K, fills_K) >= LEAST_VISIBLE)
    return counts_K


def _areas(boxes_K4: Doubles) -> Doubles:
    areas_K: Doubles = (boxes_K4[:, 2:] - boxes_K4[:, :2]).prod(axis=1)
    return areas_K
