"""Objects of an image as numbers: what a network should find, and what it has found.

Shape letters: K objects of an image, H height, W width, M side of a mask as a network gives it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from common.data.transforms import inner_size
from common.masks import rle
from common.objects import annotation as notes
from common.objects import masks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]
    Objects = NDArray[np.object_]


MAX_DETECTIONS = 500
"""Objects that a network finds in an image, at most."""

SCORE_FLOOR = 0.01
"""What scores less is not looked at: it is nearly always wrong, and there are thousands."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The true objects of an image.

    Attributes:
        boxes_K4: xmin, ymin, xmax, ymax in pixels, float32.
        labels_K: Indices of classes, int64.
        crowd_K: See `annotation.Object`; not trained on.
        difficult_K: See there.
        area_K: In pixels of the same image as the boxes, float32.
        masks_K: An `Rle` each, of that image's size; None if there are boxes alone.
    """

    boxes_K4: Floats
    labels_K: Ints
    crowd_K: Bools
    difficult_K: Bools
    area_K: Floats
    masks_K: Objects | None = None

    def __len__(self) -> int:
        return len(self.labels_K)

    def pick(self, chosen: Bools | Ints) -> Truth:
        """Return the chosen objects alone."""
        return Truth(
            self.boxes_K4[chosen],
            self.labels_K[chosen],
            self.crowd_K[chosen],
            self.difficult_K[chosen],
            self.area_K[chosen],
            None if self.masks_K is None else self.masks_K[chosen],
        )


@dataclass(frozen=True, slots=True)
class Detections:
    """The objects that a network has found in an image, highest scores first.

    Attributes:
        boxes_K4: xmin, ymin, xmax, ymax in pixels, float32.
        labels_K: Indices of classes, int64.
        scores_K: In [0, 1], float32, not rising.
        masks_KMM: How likely each part of a box is the object's, in [0, 1], float32; None if the
            network finds boxes alone.
        spans_K4: The boxes that the masks lie in, as the network gave them, where `boxes_K4` may
            have been cut since; None if they are the same.
    """

    boxes_K4: Floats
    labels_K: Ints
    scores_K: Floats
    masks_KMM: Floats | None = None
    spans_K4: Floats | None = None

    def __len__(self) -> int:
        return len(self.labels_K)

    def pick(self, chosen: Bools | Ints | slice) -> Detections:
        """Return the chosen objects alone."""
        return Detections(
            self.boxes_K4[chosen],
            self.labels_K[chosen],
            self.scores_K[chosen],
            None if self.masks_KMM is None else self.masks_KMM[chosen],
            None if self.spans_K4 is None else self.spans_K4[chosen],
        )

    @property
    def is_finite(self) -> bool:
        """Whether boxes, scores and masks are all numbers."""
        arrays = (self.boxes_K4, self.scores_K, self.masks_KMM)
        return all(array is None or bool(np.isfinite(array).all()) for array in arrays)

    def mask_boxes(self) -> Floats:
        """Return the boxes that the masks lie in, (K, 4)."""
        return self.boxes_K4 if self.spans_K4 is None else self.spans_K4


Some = TypeVar("Some", Truth, Detections)


def truth(annotation: Mapping[str, Any], size: tuple[int, int] | None = None) -> Truth:
    """Return what an annotation says, in pixels of the upright image.

    Args:
        annotation: See `common.objects.annotation`.
        size: Width and height of the image, if masks are wanted; all objects must have one.
    """
    objects = notes.read(annotation)
    areas = [one.box_area if one.area is None else one.area for one in objects]
    return Truth(
        boxes_K4=np.array([one.box for one in objects], dtype=np.float32).reshape(-1, 4),
        labels_K=np.array([one.label for one in objects], dtype=np.int64),
        crowd_K=np.array([one.crowd for one in objects], dtype=bool),
        difficult_K=np.array([one.difficult for one in objects], dtype=bool),
        area_K=np.array(areas, dtype=np.float32),
        masks_K=None
        if size is None
        else as_objects([rle.trusted(one.mask, size[1], size[0]) for one in objects]),
    )


def together(several: Sequence[Some]) -> Some:
    """Return the objects of several pictures, at least one, as those of one picture.

    What some of the pictures do not have, such as masks, is left out.
    """
    kind = type(several[0])
    columns: dict[str, Any] = {}
    for field in fields(kind):
        arrays = [getattr(one, field.name) for one in several]
        columns[field.name] = None if any(a is None for a in arrays) else np.concatenate(arrays)
    return kind(**columns)


def as_objects(values: Sequence[Any]) -> Objects:
    """Return an array of objects, of one dimension whatever they are."""
    array_K = np.empty(len(values), dtype=object)
    array_K[:] = values
    return array_K


def to_input(found: Truth, width: int, height: int, size_px: int) -> Truth:
    """Turn the truth of a (width, height) image into that of its letterbox of size_px a side.

    Masks are resampled to the nearest pixel.
    """
    scale_2 = _scale(width, height, size_px)
    masks_K = found.masks_K
    if masks_K is not None:
        inner_2 = inner_size(width, height, size_px)
        masks_K = as_objects([_boxed(mask, inner_2, size_px) for mask in masks_K])
    return Truth(
        found.boxes_K4 * np.tile(scale_2, 2),
        found.labels_K,
        found.crowd_K,
        found.difficult_K,
        found.area_K * scale_2.prod(),
        masks_K,
    )


def _boxed(mask: rle.Rle, inner_2: tuple[int, int], size_px: int) -> rle.Rle:
    """Resample a mask; of one so small that it falls between all pixels, its middle is left."""
    bounds = rle.bounds(mask)
    if bounds is None:
        return masks.empty(size_px, size_px)
    height, width = mask["size"]
    axes = []
    for low, high, length, inner in (
        (bounds[0], bounds[2], width, inner_2[0]),
        (bounds[1], bounds[3], height, inner_2[1]),
    ):
        first = min(int(low * inner / length), inner - 1)
        last = min(int(np.ceil(high * inner / length)), inner)
        axes.append((first, nearest(np.arange(first, last), inner, length)))
    (left, columns_W), (top, rows_H) = axes
    boxed = masks.resample(mask, columns_W, rows_H, (left, top), (size_px, size_px))
    if rle.area(boxed):
        return boxed
    x, y = (
        min(int((bounds[axis] + bounds[axis + 2]) / 2 * inner / length), inner - 1)
        for axis, (inner, length) in enumerate(zip(inner_2, (width, height), strict=True))
    )
    return masks.one_pixel(x, y, size_px, size_px)


def nearest(place_P: Ints, length: int, source_length: int) -> Ints:
    """Return the source's pixels at the centres of some pixels on an axis of `length` pixels."""
    # In whole numbers, so that no rounding errs; for pixels on the axis all are on the source's.
    source_P: Ints = (2 * place_P + 1) * source_length // (2 * length)
    return source_P


def to_image(found: Detections, width: int, height: int, size_px: int) -> Detections:
    """Turn what was found in the letterbox of a (width, height) image into pixels of that image.

    Boxes are cut at its border; those that lie outside are gone. Masks stay in the boxes that the
    network gave.
    """
    border_4 = np.array([width, height, width, height], dtype=np.float32)
    scale_4 = np.tile(_scale(width, height, size_px), 2)
    scaled_K4 = found.boxes_K4 / scale_4
    boxes_K4 = np.minimum(np.maximum(scaled_K4, 0), border_4).astype(np.float32)
    inside_K = (boxes_K4[:, 2] > boxes_K4[:, 0]) & (boxes_K4[:, 3] > boxes_K4[:, 1])
    spans_K4 = None if found.masks_KMM is None else found.mask_boxes() / scale_4
    placed = Detections(boxes_K4, found.labels_K, found.scores_K, found.masks_KMM, spans_K4)
    return placed.pick(inside_K)


def _scale(width: int, height: int, size_px: int) -> Floats:
    inner_width, inner_height = inner_size(width, height, size_px)
    return np.array([inner_width / width, inner_height / height], dtype=np.float32)
