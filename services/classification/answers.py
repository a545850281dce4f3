"""From the network's logits to the answer that a caller gets, and its picture.

Shape letters: C classes, H height, W width, 3 colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from common import fonts
from common.metrics.calibration import probabilities
from nocode.vision.v1 import prediction_pb2 as pb

if TYPE_CHECKING:
    from torch import Tensor

    from nocode.vision.v1.model_pb2 import Model

DEFAULT_TOP_K = 5

# A drawn answer: a panel below the picture, a line for each class.
_LINES = 3
_PANEL, _TRACK, _BAR, _TEXT = (24, 24, 27), (63, 63, 70), (37, 99, 235), (250, 250, 250)


def predict(
    output: Tensor, model: Model, width: int, height: int, options: pb.PredictOptions
) -> pb.Prediction:
    """Name the likeliest classes of an image of (width, height) pixels, from its logits (C,).

    At most `top_k`, and none below `score_threshold`. Of equally likely classes the one with the
    lower index comes first.
    """
    scores_C = _scores(output, model)
    likeliest = (-scores_C).argsort(kind="stable")[: options.top_k or DEFAULT_TOP_K]
    threshold = options.score_threshold
    prediction = pb.Prediction(image_width=width, image_height=height)
    prediction.classification.SetInParent()  # an answer even if no class is likely enough
    add = prediction.classification.classes.add
    for index, score in zip(likeliest.tolist(), scores_C[likeliest].tolist(), strict=True):
        if score >= threshold:
            add(class_name=model.classes[index], class_index=index, score=score)
    return prediction


def difference(logits_C: Tensor, reference_C: Tensor, model: Model) -> float:
    """Return by how much the probability of a class differs at most."""
    deviations_C = _scores(logits_C, model) - _scores(reference_C, model)
    return float(np.abs(deviations_C).max())


def _scores(logits_C: Tensor, model: Model) -> np.ndarray[Any, Any]:
    return probabilities(logits_C.numpy(), model.temperature or 1.0)


def draw(image_HW3: np.ndarray[Any, Any], prediction: pb.Prediction) -> np.ndarray[Any, Any]:
    """Return the picture with a panel below it: the likeliest classes with their probabilities.

    A picture too narrow to read text under is enlarged first, by a whole number, as long as it does
    not become very tall.
    """
    picture = fonts.enlarge(Image.fromarray(image_HW3))
    width_px = max(picture.width, fonts.READABLE_PX)
    shown = prediction.classification.classes[:_LINES]
    line_px = max(28, width_px // 20)
    margin_px = line_px // 3
    panel_px = line_px * max(1, len(shown)) + 2 * margin_px
    canvas = Image.new("RGB", (width_px, picture.height + panel_px), _PANEL)
    canvas.paste(picture, (0, 0))

    pen = ImageDraw.Draw(canvas)
    font = fonts.font(round(line_px * 0.6))
    right = width_px - margin_px
    percent_px = round(pen.textlength("100.0 %", font))
    bar_left = width_px * 55 // 100
    bar_right = right - percent_px - margin_px
    for line, score in enumerate(shown):
        top = picture.height + margin_px + line * line_px
        middle = top + line_px // 2
        name = fonts.fit(pen, score.class_name, font, bar_left - 2 * margin_px)
        pen.text((margin_px, middle), name, _TEXT, font, anchor="lm")
        bar_top, bar_bottom = top + line_px // 3, top + line_px * 2 // 3
        pen.rectangle((bar_left, bar_top, bar_right, bar_bottom), _TRACK)
        if filled := round((bar_right - bar_left) * score.score):
            pen.rectangle((bar_left, bar_top, bar_left + filled, bar_bottom), _BAR)
        pen.text((right, middle), f"{score.score:.1%}".replace("%", " %"), _TEXT, font, anchor="rm")
    if not shown:
        middle = picture.height + margin_px + line_px // 2
        pen.text((margin_px, middle), "no class is likely enough", _TEXT, font, anchor="lm")
    return np.array(canvas)
