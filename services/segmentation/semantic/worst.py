"""The sheet of the images whose pixels were classified worst.

Shape letters: N images, C classes, H height, W width, 3 colours, K pairs of classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageColor

from common.masks.drafts import resized
from common.masks.label_maps import VOID
from common.metrics import figures, plots
from common.metrics.semantic import confusion_cells
from common.palette import colour_of
from services.segmentation.semantic import annotation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from common.metrics.semantic_pool import SemanticPool
    from common.training.learner import ImageSource, Sample

    Picture = NDArray[np.uint8]
    Integers = NDArray[np.integer]
    Floats = NDArray[np.float64]

SHEET_SIZE = 12
_COLUMNS = 3
_SIDE_PX, _GAP_PX = 236, 8
"""Of each of the four pictures of an image; between them."""
_OPACITY, _OPACITY_OF_RIGHT = 0.75, 0.4
_LEGEND_SIZE = 60
_LEGEND = (
    "Of each: the image, the truth; the prediction, mistakes in red. Stripes are void: nobody says "
    "what is there."
)
_WRONG = ImageColor.getrgb(figures.VERMILION)


def worst_images(
    samples: Sequence[Sample],
    pool: SemanticPool,
    confidence_N: Floats,
    class_names: Sequence[str],
    image: ImageSource,
) -> tuple[str, bytes]:
    """Draw the images of lowest mean IoU or, if all are right, the least certain ones.

    Args:
        samples: The images, in the order of the pool; outputs are `PixelClasses`.
        pool: Their counts of pixels.
        confidence_N: Mean probability of the classes given to the pixels of each.
        class_names: In the order of labels.
        image: Where the images come from.

    Returns:
        Title and PNG.
    """
    iou_N = pool.mean_iou_N()
    shown = np.lexsort((confidence_N, np.nan_to_num(iou_N, nan=2)))[:SHEET_SIZE]
    wrong = iou_N < 1  # not if there is none, in an image of void
    names = figures.labels(class_names)
    if wrong.any():
        heading, shown = "Worst images", shown[wrong[shown]]
        count = np.count_nonzero(wrong)
        below = f"{count:,} of {len(samples):,} images have mistakes, "
        below += f"these {len(shown)} have the lowest mean IoU. {_LEGEND}"
    else:
        heading = "Least certain images"
        below = f"Images without a mistake: {len(samples):,}. These have the most doubt. {_LEGEND}"

    def tile(number: int) -> plots.Tile:
        sample = samples[number]
        true_HW = annotation.read(sample.annotation)
        predicted_HW = sample.output.labels.unpack()
        return plots.Tile(
            image_HW3=_four(image.load(sample.index), predicted_HW, true_HW),
            predicted=f"mean IoU {iou_N[number]:.3f}, confidence {confidence_N[number]:.0%}",
            right=not wrong[number],
            true=_commonest_mistake(predicted_HW, true_HW, names),
            file=sample.file,
        )

    labels = sorted({label for number in shown for label in pool.classes_of(int(number))})
    legend = {names[label]: colour_of(label) for label in labels[:_LEGEND_SIZE]}
    return heading, plots.image_sheet(
        heading,
        below,
        (tile(int(number)) for number in shown),
        columns=_COLUMNS,
        thumbnail_px=2 * _SIDE_PX + _GAP_PX,
        legend=legend,
    )


def _commonest_mistake(predicted_HW: Integers, true_HW: Integers, names: Sequence[str]) -> str:
    """Say which class was taken for which on most pixels, if any."""
    cells = confusion_cells(predicted_HW, true_HW, len(names))
    wrong_K = np.where(cells.true_K == cells.predicted_K, 0, cells.pixels_K)
    if not wrong_K.any():
        return "no mistake"
    most = int(wrong_K.argmax())
    share = wrong_K[most] / cells.pixels_K.sum()
    true, predicted = names[cells.true_K[most]], names[cells.predicted_K[most]]
    return f"{true} taken for {predicted}: {share:.1%} of pixels"


def _four(image_HW3: Picture, predicted_HW: Integers, true_HW: Integers) -> Picture:
    """Draw an image, its truth, its prediction and what is wrong about it, two by two."""
    picture = Image.fromarray(image_HW3)
    ratio = _SIDE_PX / max(picture.size)
    width, height = (max(1, round(side * ratio)) for side in picture.size)
    small_HW3 = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
    predicted_HW = resized(predicted_HW, width, height)
    true_HW = resized(true_HW, width, height)
    grey_HW1 = small_HW3.mean(axis=2, keepdims=True)
    is_void_HW1 = (true_HW == VOID)[..., None]
    is_wrong_HW1 = (predicted_HW != true_HW)[..., None]
    diagonal_HW1 = np.add.outer(np.arange(height), np.arange(width))[..., None]
    stripes_HW1 = np.where(diagonal_HW1 % 8 < 4, 250, 190)
    pale_HW1 = 255 - (255 - grey_HW1) * _OPACITY_OF_RIGHT
    parts = [
        small_HW3,
        np.where(is_void_HW1, stripes_HW1, _coloured(grey_HW1, true_HW)),
        _coloured(grey_HW1, predicted_HW),
        np.where(is_void_HW1, stripes_HW1, np.where(is_wrong_HW1, _WRONG, pale_HW1)),
    ]
    sheet = np.full((2 * height + _GAP_PX, 2 * width + _GAP_PX, 3), 255, np.uint8)
    for number, part_HW3 in enumerate(parts):
        top, left = number // 2 * (height + _GAP_PX), number % 2 * (width + _GAP_PX)
        sheet[top : top + height, left : left + width] = part_HW3
    return sheet


def _coloured(grey_HW1: Floats, labels_HW: Integers) -> Floats:
    """Lay the colours of classes on a grey picture."""
    labels, places_HW = np.unique(labels_HW, return_inverse=True)
    colours = np.array([colour_of(int(label)) for label in labels])
    return colours[places_HW] * _OPACITY + grey_HW1 * (1 - _OPACITY)
