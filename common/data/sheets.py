"""Pictures of a data set, made while it is imported: how often each class occurs, and samples.

The same data set gives the same pictures.

Shape letters: H height, W width, 3 colours.
"""

from __future__ import annotations

import heapq
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from common import fonts
from common.data import images
from common.palette import colour_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from common.data.images import ImageInfo
    from common.data.manifest import Subset
    from common.data.tree import Tree
    from common.task import Task
    from nocode.vision.v1 import dataset_pb2

MAX_SAMPLES = 24
MAX_BARS = 40
MAX_NAMED = 60
"""Classes in the legend of a sheet."""

_COLUMNS = 6
_SIDE_PX, _GAP_PX = 240, 16
_TYPE_PX, _SMALL_TYPE_PX, _HEADING_PX = 13, 11, 18
_PAPER, _INK, _FAINT = (255, 255, 255), (24, 24, 27), (113, 113, 122)
_BAR_PX, _LINE_PX = 420, 20
_NAME_PX, _COUNT_PX = 240, 260


@dataclass(frozen=True, slots=True)
class _Sample:
    """An image to be shown."""

    file: str
    split: Subset | None
    annotation: dict[str, Any]
    info: ImageInfo


class Samples:
    """Chooses a few images while all go by: some of each class, else at random.

    Chance is a hash of the image, so that the choice is the same whenever it is made. Memory holds
    the annotations of those that are chosen and no more.
    """

    def __init__(self, limit: int = MAX_SAMPLES) -> None:
        self._limit = limit
        self._count = 0
        # By class, or -1 for images that show none. Each a heap with the likeliest to go on top.
        self._chosen: dict[int, list[tuple[int, int, _Sample]]] = {}
        self._offered = 0

    def offer(
        self,
        sha256: bytes,
        classes: Mapping[int, int],
        annotation: Mapping[str, Any],
        *,
        file: str,
        split: Subset | None,
        info: ImageInfo,
    ) -> None:
        """Show an image that goes by; it counts to that of its classes that has fewest so far."""
        self._offered += 1
        group = min(classes, key=lambda one: (len(self._chosen.get(one, ())), one), default=-1)
        mine = self._chosen.setdefault(group, [])
        rank = -int.from_bytes(sha256[:8], "big")
        if self._count < self._limit:
            self._count += 1
        else:
            largest = max(self._chosen.values(), key=len)
            if len(mine) + 1 < len(largest):
                heapq.heappop(largest)
            elif mine and rank > mine[0][0]:
                heapq.heappop(mine)
            else:
                return
        sample = _Sample(file, split, dict(annotation), info)
        heapq.heappush(mine, (rank, -self._offered, sample))

    def sheet(self, tree: Tree, task: Task, classes: Sequence[str], *, max_pixels: int) -> bytes:
        """Draw the chosen images with their labels, class by class, as PNG.

        Args:
            tree: Where the images are.
            task: Whose labels these are.
            classes: Names, by the indices in annotations.
            max_pixels: Of an image.
        """
        groups = sorted(self._chosen.items(), key=lambda item: (item[0] < 0, item[0]))
        samples = [one for _, group in groups for *_, one in sorted(group, reverse=True)]
        pictures: dict[int, Image.Image] = {}
        # In the order of their files: those in a table are read forward.
        for at in sorted(range(len(samples)), key=lambda at: samples[at].file):
            pictures[at] = _drawn(samples[at], tree, task, classes, max_pixels)
        tiles = [(one, pictures[at]) for at, one in enumerate(samples)]
        columns = min(_COLUMNS, max(1, len(tiles)))
        rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
        heights = [max(picture.height for _, picture in row) + 3 * _LINE_PX for row in rows]
        width = max(columns * (_SIDE_PX + _GAP_PX) + _GAP_PX, 2 * _SIDE_PX)
        legend = _legend(samples, task, classes, width)
        top = _HEADING_PX + 2 * _GAP_PX + (legend.height if legend else 0)
        height = top + sum(heights) + len(heights) * _GAP_PX
        canvas = Image.new("RGB", (width, height), _PAPER)
        pen = ImageDraw.Draw(canvas)
        heading = f"{len(samples)} of {self._offered:,} images"
        pen.text((_GAP_PX, _GAP_PX), heading, _INK, fonts.font(_HEADING_PX))
        if legend:
            canvas.paste(legend, (0, top - legend.height))
        for row, height in zip(rows, heights, strict=True):
            for column, (sample, picture) in enumerate(row):
                left = _GAP_PX + column * (_SIDE_PX + _GAP_PX)
                across = (_SIDE_PX - picture.width) // 2
                foot = top + height - 3 * _LINE_PX  # where pictures stand
                canvas.paste(picture, (left + across, foot - picture.height))
                lines = [
                    (caption(task, sample.annotation, classes), _TYPE_PX, _INK),
                    (sample.file.rpartition("/")[2], _SMALL_TYPE_PX, _FAINT),
                    (sample.split or "", _SMALL_TYPE_PX, _FAINT),
                ]
                for line, (text, size_px, colour) in enumerate(lines):
                    place = (left, foot + 4 + line * (_LINE_PX - 2))
                    _write(pen, place, text, size_px, colour, _SIDE_PX)
            top += height + _GAP_PX
        return _png(canvas)


def _legend(
    samples: Sequence[_Sample], task: Task, classes: Sequence[str], width: int
) -> Image.Image | None:
    """Say which class a colour stands for, if nothing else does; None if something does."""
    if task.counted != "pixel_count":
        return None
    shown = sorted({index for one in samples for index in task.classes_of(one.annotation)})
    columns = max(1, (width - _GAP_PX) // (_SIDE_PX + _GAP_PX))
    shown = shown[:MAX_NAMED]
    canvas = Image.new("RGB", (width, -(-len(shown) // columns) * _LINE_PX + _GAP_PX), _PAPER)
    pen = ImageDraw.Draw(canvas)
    for number, index in enumerate(shown):
        row, column = divmod(number, columns)
        left, upper = _GAP_PX + column * (_SIDE_PX + _GAP_PX), row * _LINE_PX
        pen.rectangle((left, upper, left + _TYPE_PX, upper + _TYPE_PX), colour_of(index))
        place = (left + 2 * _TYPE_PX, upper)
        _write(pen, place, classes[index], _TYPE_PX, _INK, _SIDE_PX - 2 * _TYPE_PX)
    return canvas


def caption(task: Task, annotation: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Say in a line what an image is labeled with, the most of it first."""
    shown = task.classes_of(annotation)
    order = sorted(shown, key=lambda index: (-shown[index], index))
    if task.counted == "pixel_count":
        total = max(1, sum(shown.values()))
        return ", ".join(f"{classes[index]} {shown[index] / total:.0%}" for index in order)
    named = (f"{shown[i]} × {classes[i]}" if shown[i] > 1 else classes[i] for i in order)
    return ", ".join(named) or "nothing"


def class_balance(dataset: dataset_pb2.Dataset, counted: str) -> bytes:
    """Draw how often each class occurs as bars, the most frequent on top, as PNG.

    Of more than `MAX_BARS` classes, the most and the least frequent are drawn.

    Args:
        dataset: Its `class_counts` are drawn.
        counted: `Task.counted`, which says how long a bar is.
    """
    counts = sorted(dataset.class_counts, key=lambda one: -int(getattr(one, counted)))
    left_out = len(counts) - MAX_BARS
    if left_out > 0:
        counts = [*counts[: MAX_BARS // 2], *counts[-(MAX_BARS // 2) :]]
    most = max([int(getattr(one, counted)) for one in counts], default=1) or 1
    total = sum(int(getattr(one, counted)) for one in dataset.class_counts) or 1
    heading = f"{len(dataset.classes):,} classes in {dataset.image_count:,} images"
    if left_out > 0:
        heading += f"; {left_out:,} of medium size are not drawn"
    top = _HEADING_PX + 2 * _GAP_PX
    width = 4 * _GAP_PX + _NAME_PX + _BAR_PX + _COUNT_PX
    canvas = Image.new("RGB", (width, top + len(counts) * (_LINE_PX + 6) + _GAP_PX), _PAPER)
    pen = ImageDraw.Draw(canvas)
    _write(pen, (_GAP_PX, _GAP_PX), heading, _HEADING_PX, _INK, width - 2 * _GAP_PX)
    for number, count in enumerate(counts):
        amount = int(getattr(count, counted))
        upper = top + number * (_LINE_PX + 6)
        _write(pen, (_GAP_PX, upper + 3), count.class_name, _TYPE_PX, _INK, _NAME_PX)
        left = 2 * _GAP_PX + _NAME_PX
        length = max(1, round(_BAR_PX * amount / most))
        pen.rectangle((left, upper, left + length, upper + _LINE_PX - 1), colour_of(0))
        text = f"{count.image_count:,} images"
        if counted == "pixel_count":
            text = f"{amount / total:.1%} of pixels, in {text}"
        elif amount != count.image_count:
            text = f"{amount:,} objects, in {text}"
        place = (left + _BAR_PX + _GAP_PX, upper + 3)
        _write(pen, place, text, _TYPE_PX, _FAINT, _COUNT_PX)
    return _png(canvas)


def _drawn(
    sample: _Sample, tree: Tree, task: Task, classes: Sequence[str], max_pixels: int
) -> Image.Image:
    pixels_HW3 = images.decode(
        tree.read(sample.file), max_pixels=max_pixels, at_least_px=2 * _SIDE_PX
    )
    picture = Image.fromarray(pixels_HW3)
    ratio = _SIDE_PX / max(picture.size)
    size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
    # Small images become larger, so that labels can be read.
    small = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    full = (sample.info.width, sample.info.height)
    return Image.fromarray(task.draw(np.asarray(small), full, sample.annotation, classes))


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    size_px: int,
    colour: tuple[int, int, int],
    width_px: int,
) -> None:
    font = fonts.font(size_px)
    line = " ".join(text[:500].split())  # Pillow refuses a line break
    pen.text(place, fonts.fit(pen, line, font, width_px), colour, font)


def _png(canvas: Image.Image) -> bytes:
    file = io.BytesIO()
    canvas.save(file, "PNG", compress_level=3)
    return file.getvalue()
