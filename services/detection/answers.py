"""From what a detector has found to the answer that a caller gets, and its picture.

Shape letters: K and R objects of an image, H height, W width, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.ops import box_iou

from common.objects import answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from common.objects.targets import Detections
    from nocode.vision.v1 import prediction_pb2 as pb
    from nocode.vision.v1.model_pb2 import Model

# Below, an object is not worth comparing: hardly anybody will ask for it.
_LEAST_SCORE = 0.1
_SAME_PLACE_IOU = 0.5
_QUANTILE = 0.75


def predict(
    output: Detections, model: Model, width: int, height: int, options: pb.PredictOptions
) -> pb.Prediction:
    """Name the objects in an image of (width, height) pixels, highest scores first.

    Those that score at least `score_threshold`, or the model's own threshold for the class if that
    is not set; at most `max_results`.
    """
    return answers.detection(output, model, width, height, options)


def draw(image_HW3: np.ndarray[Any, Any], prediction: pb.Prediction) -> np.ndarray[Any, Any]:
    """Return the picture with the boxes of the answer; one too small to read is enlarged."""
    objects = prediction.detection.objects
    return answers.draw(image_HW3, objects, prediction.image_width, prediction.image_height)


def difference(outputs: Sequence[Detections], references: Sequence[Detections]) -> float:
    """Return by how much the scores of three in four objects of some images differ at most.

    Compared is the highest score that is found for a class at the place of an object: in a box that
    overlaps the object's by half or more. Where nothing is found it is 0. Objects of both answers
    that score 0.1 or more are looked up in both, so that one too many counts as much as one too
    few.

    Not its own score and not the worst of all: boxes suppress each other, and where two score
    nearly the same, the least change has the other one win. That happens to a few in every answer,
    and says nothing of the arithmetic.

    Returns:
        In [0, 1]; 0 if no answer has an object worth comparing.
    """
    differences_K = np.concatenate(
        [
            np.abs(_at_places(seen, output) - _at_places(seen, reference))
            for output, reference in zip(outputs, references, strict=True)
            for seen in (_worth_comparing(output), _worth_comparing(reference))
        ]
    )
    return float(np.quantile(differences_K, _QUANTILE)) if len(differences_K) else 0.0


def _worth_comparing(found: Detections) -> Detections:
    return found.pick(found.scores_K >= _LEAST_SCORE)


def _at_places(places: Detections, found: Detections) -> NDArray[np.float32]:
    """Return the highest score that is found for the class at each of some places, (K,)."""
    iou_KR = box_iou(torch.from_numpy(places.boxes_K4), torch.from_numpy(found.boxes_K4)).numpy()
    is_there_KR = (iou_KR >= _SAME_PLACE_IOU) & (places.labels_K[:, None] == found.labels_K)
    scores_KR = np.where(is_there_KR, found.scores_K, np.float32(0))
    best_K: NDArray[np.float32] = scores_KR.max(axis=1, initial=0)
    return best_K
