"""From what a network has found to the answer that a caller gets, and its picture.

Shape letters: H height, W width, 3 colours.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from common.masks import rle
from common.masks.drawing import draw_masks
from common.objects import answers, masks
from common.objects.answers import difference
from common.objects.targets import to_image
from common.palette import colour_of
from nocode.vision.v1 import prediction_pb2 as pb

if TYPE_CHECKING:
    from common.objects.targets import Detections
    from nocode.vision.v1.model_pb2 import Model

__all__ = ["difference", "draw", "predict"]


def predict(
    output: Detections, model: Model, width: int, height: int, options: pb.PredictOptions
) -> pb.Prediction:
    """Name the objects in an image of (width, height) pixels, highest scores first.

    Which ones, `common.objects.answers.chosen` says. Masks are PNGs if the caller asks for them,
    else run-length encoded; only those that are sent are made.
    """
    found = to_image(output, width, height, model.preprocessing.image_size_px)
    found = found.pick(answers.chosen(found, model, width, height, options))
    prediction = pb.Prediction(image_width=width, image_height=height)
    prediction.instance_segmentation.SetInParent()  # an answer even if nothing is found
    for index, mask in enumerate(masks.settle(found, width, height).masks_K):
        answer = prediction.instance_segmentation.objects.add()
        answers.fill(answer, found, index, model)
        if options.mask_format == pb.PredictOptions.MASK_FORMAT_PNG:
            answer.mask.png = _png(mask)
        else:
            answer.mask.rle.CopyFrom(
                pb.RunLengthEncoding(height=height, width=width, counts=rle.text_of(mask))
            )
    return prediction


def draw(image_HW3: np.ndarray[Any, Any], prediction: pb.Prediction) -> np.ndarray[Any, Any]:
    """Return the picture with masks and boxes of the answer; one too small to read is enlarged.

    Small masks lie on large ones, or a house would hide its windows.
    """
    width, height = prediction.image_width, prediction.image_height
    objects = prediction.instance_segmentation.objects
    tinted_HW3 = draw_masks(
        answers.readable(image_HW3),
        (
            (_mask(one.mask), colour_of(one.class_index))
            for one in sorted(objects, key=lambda one: _area(one.box))
        ),
    )
    return answers.draw(tinted_HW3, objects, width, height)


def _area(box: pb.BoundingBox) -> float:
    return (box.xmax - box.xmin) * (box.ymax - box.ymin)


def _mask(mask: pb.Mask) -> rle.Rle:
    if mask.WhichOneof("encoding") == "png":
        # Of hundreds in a large image, the pixels would fill the memory.
        return rle.encode(np.asarray(Image.open(io.BytesIO(mask.png))))
    return rle.trusted(mask.rle.counts, mask.rle.height, mask.rle.width)


def _png(mask: rle.Rle) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rle.decode(mask) * np.uint8(255)).save(file, "PNG", compress_level=1)
    return file.getvalue()
