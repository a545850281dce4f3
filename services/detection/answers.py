"""From what a detector has found to the answer that a caller gets, and its picture.

Shape letters: H height, W width, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.objects import answers
from common.objects.answers import difference

if TYPE_CHECKING:
    import numpy as np

    from common.objects.targets import Detections
    from nocode.vision.v1 import prediction_pb2 as pb
    from nocode.vision.v1.model_pb2 import Model

__all__ = ["difference", "draw", "predict"]


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
