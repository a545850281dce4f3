"""From what a network has found to the answer that a caller gets, and its picture.

Shape letters: K and R objects of an image, C classes, H height, W width, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torchvision.ops import box_iou

from common import fonts
from common.metrics import figures
from common.objects.drawing import DrawnBox, draw_boxes
from common.objects.targets import to_image
from common.palette import colour_of
from nocode.vision.v1 import prediction_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from common.objects.targets import Detections
    from nocode.vision.v1.model_pb2 import Model

DEFAULT_MAX_RESULTS = 100
DEFAULT_THRESHOLD = 0.5
"""Of a model that has no thresholds of its own."""

_NAME_LENGTH = 24  # of a class on a picture, in characters

# Below, an object is not worth comparing: hardly anybody will ask for it.
_LEAST_SCORE = 0.1
_SAME_PLACE_IOU = 0.5
_QUANTILE = 0.75


def chosen(
    found: Detections, model: Model, width: int, height: int, options: pb.PredictOptions
) -> NDArray[np.int64]:
    """Return which objects are answered, highest scores first.

    Those that score at least the caller's threshold, or else the model's own for their class; at
    most `max_results`; and none whose box is no box in the image.

    Args:
        found: In pixels of the image.
        model: Has the classes and their thresholds.
        width: Of the image.
        height: Of the image.
        options: The caller's.
    """
    thresholds_C = np.full(len(model.classes), DEFAULT_THRESHOLD)
    if options.HasField("score_threshold"):
        thresholds_C[:] = options.score_threshold
    elif model.score_thresholds:
        thresholds_C[:] = model.score_thresholds
    xmin_K, ymin_K, xmax_K, ymax_K = found.boxes_K4.T
    usable_K = (xmin_K >= 0) & (xmin_K < xmax_K) & (xmax_K <= width)
    usable_K &= (ymin_K >= 0) & (ymin_K < ymax_K) & (ymax_K <= height)
    usable_K &= found.scores_K >= thresholds_C[found.labels_K]  # NaN is not
    kept_K = np.flatnonzero(usable_K)
    order_K = np.argsort(-found.scores_K[kept_K], kind="stable")
    return kept_K[order_K][: options.max_results or DEFAULT_MAX_RESULTS]


def fill(
    answer: pb.DetectedObject | pb.SegmentedObject, found: Detections, index: int, model: Model
) -> None:
    """Write class, score and box of an object that was found."""
    label = int(found.labels_K[index])
    answer.class_name = model.classes[label]
    answer.class_index = label
    answer.score = float(found.scores_K[index])
    xmin, ymin, xmax, ymax = found.boxes_K4[index].tolist()
    answer.box.CopyFrom(pb.BoundingBox(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax))


def detection(
    output: Detections, model: Model, width: int, height: int, options: pb.PredictOptions
) -> pb.Prediction:
    """Name the objects of an image of (width, height) pixels.

    Args:
        output: In pixels of the network's input.
        model: What answered.
        width: Of the image as sent.
        height: Of the image as sent.
        options: The caller's; see `chosen`.
    """
    found = to_image(output, width, height, model.preprocessing.image_size_px)
    prediction = pb.Prediction(image_width=width, image_height=height)
    prediction.detection.SetInParent()  # an answer even if nothing is found
    for index in chosen(found, model, width, height, options):
        fill(prediction.detection.objects.add(), found, index, model)
    return prediction


def readable(image_HW3: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a picture, enlarged if it is too small to read what is drawn on it."""
    return np.array(fonts.enlarge(Image.fromarray(image_HW3)))


def draw(
    image_HW3: np.ndarray[Any, Any],
    objects: Iterable[pb.DetectedObject | pb.SegmentedObject],
    width: int,
    height: int,
) -> np.ndarray[Any, Any]:
    """Draw the boxes of objects on a copy of a picture; one too small to read is enlarged first.

    Args:
        image_HW3: uint8; perhaps made smaller than the image was.
        objects: With boxes in pixels of the image.
        width: Of the image.
        height: Of the image.
    """
    picture_HW3 = readable(image_HW3)
    across, down = picture_HW3.shape[1] / width, picture_HW3.shape[0] / height
    boxes = [
        DrawnBox(
            box=(
                one.box.xmin * across,
                one.box.ymin * down,
                one.box.xmax * across,
                one.box.ymax * down,
            ),
            text=f"{figures.label(one.class_name, one.class_index, limit=_NAME_LENGTH)} "
            f"{one.score:.2f}",
            colour=colour_of(one.class_index),
        )
        for one in objects
    ]
    return draw_boxes(picture_HW3, boxes)


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
