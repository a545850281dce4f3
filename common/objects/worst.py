"""The sheet of the images in which most objects were missed, confused, or seen where none is.

Shape letters: N images, K objects of an image, G true objects and D detections of all images, H
height, W width, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from common.masks import rle
from common.masks.drawing import draw_masks
from common.metrics import figures, plots
from common.objects.drawing import DrawnBox, draw_boxes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from common.masks.rle import Rle
    from common.metrics.object_confusion import Verdicts
    from common.training.learner import ImageSource, Sample

    Ints = NDArray[np.int64]

SHEET_SIZE = 12
_COLUMNS = 3
_SIDE_PX = 400
_FOUND, _MISSED, _RIGHT, _WRONG = figures.GREEN, figures.ORANGE, figures.BLUE, figures.VERMILION
_MASK_OPACITY = 0.35
_LEGEND = (
    "Dashed: true objects, green if found, orange if missed. Solid: predictions, blue if right, "
    "red if not. Grey does not count."
)


def worst_images(
    samples: Sequence[Sample], verdicts: Verdicts, class_names: Sequence[str], image: ImageSource
) -> tuple[str, bytes]:
    """Draw the images with the most mistakes or, where there are none, the least certain ones.

    Args:
        samples: The images, in the order of the verdicts' pool, with boxes in their pixels.
        verdicts: What became of each object at the score thresholds.
        class_names: In the order of labels.
        image: Where the images come from.

    Returns:
        Title and PNG.
    """
    missed_N, false_N, confused_N = verdicts.mistakes()
    mistakes_N = missed_N + false_N + confused_N
    shown = np.lexsort((_lowest_scores(verdicts), -mistakes_N))[:SHEET_SIZE]
    names = figures.labels(class_names, limit=18)
    if mistakes_N.any():
        heading, shown = "Worst images", shown[mistakes_N[shown] > 0]
        counts = f"{np.count_nonzero(mistakes_N):,} of {len(samples):,} images with mistakes"
        below = f"{len(shown)} of {counts}. {_LEGEND}"
    else:
        heading = "Least certain images"
        below = (
            f"Images without a mistake: {len(samples):,}. These have the lowest score. {_LEGEND}"
        )

    def tile(number: int) -> plots.Tile:
        counts = {
            "missed": missed_N[number],
            "false": false_N[number],
            "confused": confused_N[number],
        }
        wrong = [f"{count} {what}" for what, count in counts.items() if count]
        true = int((verdicts.pool.true_image_G == number).sum())
        found = int((verdicts.pool.image_D[verdicts.shown_D] == number).sum())
        return plots.Tile(
            image_HW3=_drawn(image.load(samples[number].index), verdicts, number, names),
            predicted=", ".join(wrong) or "all right",
            right=not wrong,
            true=f"{true} true, {found} predicted",
            file=samples[number].file,
        )

    return heading, plots.image_sheet(
        heading,
        below,
        (tile(int(number)) for number in shown),
        columns=_COLUMNS,
        thumbnail_px=_SIDE_PX,
    )


def _lowest_scores(verdicts: Verdicts) -> NDArray[np.float64]:
    """Return the lowest score that counts in each image (N,); 1 if nothing was found."""
    lowest_N = np.ones(verdicts.pool.image_count)
    counted_D = verdicts.counted_D
    np.minimum.at(lowest_N, verdicts.pool.image_D[counted_D], verdicts.pool.score_D[counted_D])
    return lowest_N


def _drawn(
    image_HW3: NDArray[np.uint8], verdicts: Verdicts, number: int, names: Sequence[str]
) -> NDArray[Any]:
    """Make an image as large as it is shown, and draw truth and predictions on it.

    Masks, if those are measured, are drawn where something is wrong: what was missed, and what was
    predicted; of what is right, the truth would only lie below the prediction.
    """
    picture = Image.fromarray(image_HW3)
    ratio = _SIDE_PX / max(picture.size)
    size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
    resized_HW3 = np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
    scale_4 = np.tile(np.array(size) / picture.size, 2)
    masks = sorted(_masks(verdicts, number), key=lambda one: rle.area(one[0]))
    resized_HW3 = draw_masks(resized_HW3, masks, _MASK_OPACITY)  # the smallest on top
    # What is wrong comes first: its labels have precedence.
    boxes = sorted(_boxes(verdicts, number, names, scale_4), key=lambda one: one[0])
    return draw_boxes(resized_HW3, [box for _, box in boxes])


def _boxes(
    verdicts: Verdicts, number: int, names: Sequence[str], scale_4: NDArray[np.float64]
) -> Iterator[tuple[int, DrawnBox]]:
    """Yield how early to draw a box of an image, and the box."""
    pool = verdicts.pool
    right_D, missed_G = verdicts.right_D, verdicts.missed_G
    for index in _range(pool.true_image_G, number):
        box = tuple((pool.true_box_G4[index] * scale_4).tolist())
        name = names[pool.true_label_G[index]]
        if missed_G[index]:
            yield 0, DrawnBox(box, name, _MISSED, dashed=True)
        elif pool.ignored_G[index]:
            mark = "crowd" if pool.crowd_G[index] else "difficult"
            yield 4, DrawnBox(box, f"{name}, {mark}", figures.GREY, dashed=True)
        else:  # the prediction says its class, unless it says another
            is_right = right_D[verdicts.finder_G[index]]
            yield 3 if is_right else 1, DrawnBox(box, "" if is_right else name, _FOUND, dashed=True)
    for index in _range(pool.image_D, number):
        if not verdicts.shown_D[index]:
            continue
        box = tuple((pool.box_D4[index] * scale_4).tolist())
        text = f"{names[pool.label_D[index]]} {pool.score_D[index]:.2f}"
        if right_D[index]:
            yield 2, DrawnBox(box, text, _RIGHT)
        elif verdicts.counted_D[index]:
            yield 1, DrawnBox(box, text, _WRONG)
        else:
            yield 4, DrawnBox(box, text, figures.GREY)


def _masks(verdicts: Verdicts, number: int) -> Iterator[tuple[Rle, str]]:
    """Yield the masks of an image to draw, with their colours, if any."""
    pool = verdicts.pool
    if pool.masks is None or pool.true_masks is None:
        return
    right_D, missed_G = verdicts.right_D, verdicts.missed_G
    for index in _range(pool.image_D, number):
        if verdicts.counted_D[index]:
            yield cast("Rle", pool.masks[index]), _RIGHT if right_D[index] else _WRONG
    for index in _range(pool.true_image_G, number):
        if missed_G[index]:
            yield cast("Rle", pool.true_masks[index]), _MISSED


def _range(image_K: Ints, number: int) -> range:
    start, end = np.searchsorted(image_K, [number, number + 1])
    return range(int(start), int(end))
