"""Objects of an image as numbers: what a network should find, and what it has found.

Shape letters: K objects of an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from common.data.transforms import inner_size
from common.objects import annotation as notes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Truth:
    """The true objects of an image.

    Attributes:
        boxes_K4: xmin, ymin, xmax, ymax in pixels, float32.
        labels_K: Indices of classes, int64.
        crowd_K: See `annotation.Object`; not trained on.
        difficult_K: See there.
        area_K: In pixels of the same image as the boxes, float32.
    """

    boxes_K4: Floats
    labels_K: Ints
    crowd_K: Bools
    difficult_K: Bools
    area_K: Floats

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
        )


@dataclass(frozen=True, slots=True)
class Detections:
    """The objects that a network has found in an image, highest scores first.

    Attributes:
        boxes_K4: xmin, ymin, xmax, ymax in pixels, float32.
        labels_K: Indices of classes, int64.
        scores_K: In [0, 1], float32, not rising.
    """

    boxes_K4: Floats
    labels_K: Ints
    scores_K: Floats

    def __len__(self) -> int:
        return len(self.labels_K)

    def pick(self, chosen: Bools | Ints | slice) -> Detections:
        """Return the chosen objects alone."""
        return Detections(self.boxes_K4[chosen], self.labels_K[chosen], self.scores_K[chosen])


def truth(annotation: Mapping[str, Any]) -> Truth:
    """Return what an annotation says, in pixels of the upright image."""
    objects = notes.read(annotation)
    areas = [one.box_area if one.area is None else one.area for one in objects]
    return Truth(
        boxes_K4=np.array([one.box for one in objects], dtype=np.float32).reshape(-1, 4),
        labels_K=np.array([one.label for one in objects], dtype=np.int64),
        crowd_K=np.array([one.crowd for one in objects], dtype=bool),
        difficult_K=np.array([one.difficult for one in objects], dtype=bool),
        area_K=np.array(areas, dtype=np.float32),
    )


def to_input(found: Truth, width: int, height: int, size_px: int) -> Truth:
    """Turn the truth of a (width, height) image into that of its letterbox of size_px a side."""
    scale_2 = _scale(width, height, size_px)
    return Truth(
        found.boxes_K4 * np.tile(scale_2, 2),
        found.labels_K,
        found.crowd_K,
        found.difficult_K,
        found.area_K * scale_2.prod(),
    )


def to_image(found: Detections, width: int, height: int, size_px: int) -> Detections:
    """Turn what was found in the letterbox of a (width, height) image into pixels of that image.

    Boxes are cut at its border; those that lie outside are gone.
    """
    border_4 = np.array([width, height, width, height], dtype=np.float32)
    scaled_K4 = found.boxes_K4 / np.tile(_scale(width, height, size_px), 2)
    boxes_K4 = np.minimum(np.maximum(scaled_K4, 0), border_4).astype(np.float32)
    inside_K = (boxes_K4[:, 2] > boxes_K4[:, 0]) & (boxes_K4[:, 3] > boxes_K4[:, 1])
    return Detections(boxes_K4, found.labels_K, found.scores_K).pick(inside_K)


def _scale(width: int, height: int, size_px: int) -> Floats:
    inner_width, inner_height = inner_size(width, height, size_px)
    return np.array([inner_width / width, inner_height / height], dtype=np.float32)
