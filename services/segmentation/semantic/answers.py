"""From what a network says of pixels to the answer that a caller gets, and its picture.

Shape letters: C classes, H height, W width, V values of confidence, 3 colours, P pixels, h and w
sides of the network's answer.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from common.masks import rle
from common.masks.bands import bands
from common.masks.drawing import overlay_classes
from common.masks.label_maps import VOID
from nocode.vision.v1 import prediction_pb2 as pb
from services.segmentation.semantic.outputs import CERTAIN, classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from common.masks.label_maps import Labels
    from nocode.vision.v1.model_pb2 import Model
    from services.segmentation.semantic.outputs import Bytes, PixelClasses, PixelScores

# What a PNG of 8 bits can count to.
_MOST_IN_8_BITS = 256
# More work makes PNGs of masks little smaller.
_PNG_LEVEL = 3
# A class taken for another is worse than a wrong confidence.
_LOST_COUNTS = 10


def predict(
    output: PixelScores | PixelClasses,
    model: Model,
    width: int,
    height: int,
    options: pb.PredictOptions,
) -> pb.Prediction:
    """Name the class of each pixel of an image of (width, height) pixels.

    The PNG has the likeliest class of all pixels. The regions, largest first, have those pixels
    whose class has a probability of at least `score_threshold`, stored in steps of 1/255; by
    default all.
    """
    size_px = model.preprocessing.image_size_px
    labels_HW, confidence_HW = classes(output, width, height, size_px, model.temperature or 1.0)
    prediction = pb.Prediction(image_width=width, image_height=height)
    answer = prediction.semantic_segmentation
    deep = len(model.classes) > _MOST_IN_8_BITS
    answer.class_index_png = _png(labels_HW.astype(np.uint16 if deep else np.uint8))
    least = math.ceil(options.score_threshold * CERTAIN - 1e-9)
    counts_CV = _histogram(labels_HW, confidence_HW, len(model.classes))
    counts_CV[:, :least] = 0
    pixels_C, sums_C = counts_CV.sum(axis=1), counts_CV @ np.arange(counts_CV.shape[1])
    if least:
        labels_HW = np.where(confidence_HW >= least, labels_HW, np.int16(VOID))
    # Masks are encoded column by column.
    labels_HW = np.asfortranarray(labels_HW)
    for label in np.argsort(-pixels_C, kind="stable").tolist():
        if not pixels_C[label]:
            break
        answer.regions.add(
            class_name=model.classes[label],
            class_index=label,
            pixel_count=int(pixels_C[label]),
            mean_score=float(sums_C[label] / (pixels_C[label] * CERTAIN)),
            mask=_mask(labels_HW == label, options.mask_format),
        )
    return prediction


def _histogram(labels_HW: Labels, confidence_HW: Bytes, class_count: int) -> NDArray[np.int64]:
    """Count how many pixels of each class have each confidence, (C, V)."""
    values = CERTAIN + 1
    counts_CV = np.zeros((class_count, values), dtype=np.int64)
    for rows in bands(*labels_HW.shape):
        pairs_HW = labels_HW[rows].astype(np.int64) * values + confidence_HW[rows]
        counts_CV += np.bincount(pairs_HW.ravel(), minlength=counts_CV.size).reshape(-1, values)
    return counts_CV


def _mask(
    mask_HW: NDArray[np.bool_], mask_format: pb.PredictOptions.MaskFormat.ValueType
) -> pb.Mask:
    if mask_format == pb.PredictOptions.MASK_FORMAT_PNG:
        return pb.Mask(png=_png(mask_HW * np.uint8(255)))
    encoded = rle.encode(mask_HW)
    height, width = encoded["size"]
    return pb.Mask(
        rle=pb.RunLengthEncoding(height=height, width=width, counts=rle.text_of(encoded))
    )


def _png(pixels_HW: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels_HW)).save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()


def draw(image_HW3: np.ndarray[Any, Any], prediction: pb.Prediction) -> np.ndarray[Any, Any]:
    """Return the picture tinted in the colours of its classes, with a legend.

    Pixels that are in no region, since they are below the caller's threshold, stay as they are.
    """
    answer = prediction.semantic_segmentation
    labels_HW = np.array(Image.open(io.BytesIO(answer.class_index_png))).astype(np.int16)
    names = [""] * (1 + max((region.class_index for region in answer.regions), default=0))
    for region in answer.regions:
        names[region.class_index] = region.class_name
    if sum(region.pixel_count for region in answer.regions) < labels_HW.size:
        labels_HW = np.full(labels_HW.shape, VOID, dtype=np.int16)
        for region in answer.regions:
            labels_HW[_inside(region.mask)] = region.class_index
    return overlay_classes(image_HW3, labels_HW, names)


def _inside(mask: pb.Mask) -> NDArray[np.bool_]:
    if mask.WhichOneof("encoding") == "png":
        return np.array(Image.open(io.BytesIO(mask.png))) > 0
    encoded = rle.trusted(mask.rle.counts, mask.rle.height, mask.rle.width)
    return rle.decode(encoded) > 0


def difference(
    outputs: Sequence[PixelScores], references: Sequence[PixelScores], model: Model
) -> float:
    """Return by how much what is told of the pixels of some images differs, on average.

    It is the larger of two averages over pixels: by how much confidence differs; and, ten times,
    by how much the class that a pixel is given is less likely than the likeliest, as the references
    have it. The second is the part of pixels that a caller must expect to be wrong on top, if the
    model's probabilities are honest. Where a network cannot decide between two classes, the least
    change has the other one win: that counts as little as it matters.

    Not the largest difference, nor that at 99 of 100 pixels: where two classes meet, what a network
    says changes so fast from one pixel to the next that those say how sharp its outlines are.

    Returns:
        In [0, 10]; of equal answers 0.
    """
    temperature = model.temperature or 1.0
    confidence = lost = 0.0
    count = 0
    for one, other in zip(outputs, references, strict=True):
        given_Chw, exact_Chw = (_probabilities(said, temperature) for said in (one, other))
        sure_hw, label_hw = given_Chw.max(dim=0)
        likeliest_hw = exact_Chw.amax(dim=0)
        confidence += float((sure_hw - likeliest_hw).abs().sum())
        lost += float((likeliest_hw - exact_Chw.gather(0, label_hw[None])[0]).sum())
        count += likeliest_hw.numel()
    return max(confidence, _LOST_COUNTS * lost) / count if count else 0.0


def _probabilities(output: PixelScores, temperature: float) -> Tensor:
    logits_Chw = torch.from_numpy(output.logits_Chw).float()
    return logits_Chw.div_(temperature).softmax(dim=0)
