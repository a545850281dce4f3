"""The true and the found objects of many images in a few long arrays, for fast counting.

Shape letters: N images, K objects of an image, G true objects and D detections of all images.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

    from common.objects.targets import Detections, Truth

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Masks:
    """The masks of objects, where masks and not boxes are to be measured.

    A mask is a run-length encoding as in COCO: `{"size": [height, width], "counts": bytes}`, of the
    size of its image.

    Attributes:
        true: For each image one mask for each true object.
        found: For each image one mask for each detection.
    """

    true: Sequence[Sequence[Mapping[str, Any]]]
    found: Sequence[Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Pool:
    """The objects of N images, image by image.

    Boxes are xmin, ymin, xmax, ymax. What is `ignored` counts neither as missed nor, when found, as
    right or wrong: crowds and difficult objects.

    Attributes:
        image_count: N.
        class_count: Labels are in [0, class_count).
        true_image_G: Which image each true object is in, not falling.
        true_label_G: Its class.
        true_box_G4: Its box.
        true_area_G: Its area.
        crowd_G: Whether it stands for many, so that many may be found in it.
        ignored_G: Whether it is a crowd or difficult.
        image_D: Which image each detection is in, not falling.
        label_D: Its class.
        score_D: Its score.
        box_D4: Its box.
        true_masks: G masks, if masks are measured.
        masks: D masks, if masks are measured.
    """

    image_count: int
    class_count: int
    true_image_G: Ints
    true_label_G: Ints
    true_box_G4: Floats
    true_area_G: Floats
    crowd_G: Bools
    ignored_G: Bools
    image_D: Ints
    label_D: Ints
    score_D: Floats
    box_D4: Floats
    true_masks: Sequence[Mapping[str, Any]] | None = None
    masks: Sequence[Mapping[str, Any]] | None = None

    def support(self) -> Ints:
        """Count the true objects of each class, without those that are ignored: (C,)."""
        return np.bincount(self.true_label_G[~self.ignored_G], minlength=self.class_count)


def pool(
    truths: Sequence[Truth],
    detections: Sequence[Detections],
    class_count: int,
    masks: Masks | None = None,
) -> Pool:
    """Put the objects of images into one pool.

    Args:
        truths: What each image holds.
        detections: What was found in it, in the same pixels.
        class_count: Number of classes.
        masks: Given if masks are to be measured instead of boxes.

    Raises:
        ValueError: There is no image, numbers do not match, a label is not a class, or a box, an
            area or a score is not a finite number.
    """
    if not truths:
        raise ValueError("there is no image to measure on")
    if len(truths) != len(detections):
        raise ValueError(f"{len(truths)} images have truth, {len(detections)} have detections")
    made = Pool(
        image_count=len(truths),
        class_count=class_count,
        true_image_G=_image_of(truths),
        true_label_G=_join((one.labels_K for one in truths), np.int64),
        true_box_G4=_join((one.boxes_K4 for one in truths), np.float64),
        true_area_G=_join((one.area_K for one in truths), np.float64),
        crowd_G=_join((one.crowd_K for one in truths), np.bool_),
        ignored_G=_join((one.crowd_K | one.difficult_K for one in truths), np.bool_),
        image_D=_image_of(detections),
        label_D=_join((one.labels_K for one in detections), np.int64),
        score_D=_join((one.scores_K for one in detections), np.float64),
        box_D4=_join((one.boxes_K4 for one in detections), np.float64),
        true_masks=None if masks is None else list(itertools.chain(*masks.true)),
        masks=None if masks is None else list(itertools.chain(*masks.found)),
    )
    _check(made)
    return made


def _image_of(images: Sequence[Truth | Detections]) -> Ints:
    counts_N = np.fromiter(map(len, images), dtype=np.int64, count=len(images))
    return np.repeat(np.arange(len(images)), counts_N)


def _join(arrays: Iterable[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    return np.concatenate(list(arrays)).astype(dtype)


def _check(made: Pool) -> None:
    for label_K in (made.true_label_G, made.label_D):
        if len(label_K) and not 0 <= label_K.min() <= label_K.max() < made.class_count:
            raise ValueError(f"a label is not in [0, {made.class_count})")
    numbers = (made.true_box_G4, made.true_area_G, made.box_D4, made.score_D)
    if not all(np.isfinite(values).all() for values in numbers):
        raise ValueError("a box, an area or a score is not a finite number")
    if made.masks is not None and (
        len(made.masks) != len(made.label_D) or len(made.true_masks or ()) != len(made.true_label_G)
    ):
        raise ValueError("there must be one mask for each object")
