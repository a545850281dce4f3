"""Masks lie on the upright image to the pixel, however the file holds it.

The images are as large as the network's input, or are seen in tiles of their own resolution, so
that no pixel has to be guessed.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from nocode.vision.v1 import prediction_pb2 as pb
from tests.common.serving.painted import (
    BLACK,
    CLASSES,
    COLOURS,
    MARGIN_PX,
    PaintedInstance,
    PaintedSemantic,
    put_model,
)
from tests.common.serving.servicers.asking import request
from tests.common.serving.servicers.turning import turned

TILE_PX = 64
CASES = [
    *(pytest.param(97, 61, orientation, id=f"odd-{orientation}") for orientation in range(1, 9)),
    pytest.param(240, 60, 6, id="4 to 1"),
]
FORMATS = ["MASK_FORMAT_RLE", "MASK_FORMAT_PNG"]


def pixels(mask: pb.Mask) -> np.ndarray:
    """Decoded as a caller would."""
    if mask.WhichOneof("encoding") == "png":
        return np.array(Image.open(io.BytesIO(mask.png))) > 0
    size = [mask.rle.height, mask.rle.width]
    return coco_mask.decode({"size": size, "counts": mask.rle.counts.encode()}) > 0


def l_shape(labels_HW: np.ndarray, label: int, x: int, y: int, side: int) -> None:
    """Paint a letter L, whose lower arm is half as thick as the other: no turn leaves it as it is.

    Nor does a mirror.
    """
    labels_HW[y : y + side, x : x + side // 2] = label
    labels_HW[y + side - side // 4 : y + side, x : x + side] = label


async def answers(serve, bucket, task, file, longest_px):
    """Yield the answers in both formats, of the whole image and in tiles."""
    service = await serve(task=task, predict_precision="fp32")
    for size_px, tiling in ((longest_px, False), (TILE_PX, True)):
        name = put_model(bucket, task, size_px)
        for mask_format in FORMATS:
            asked = request(name, file, mask_format=mask_format, tiling=tiling)
            yield (await service.stub.Predict(asked)).predictions[0]


@pytest.mark.parametrize(("width", "height", "orientation"), CASES)
async def test_classes_of_pixels(serve, bucket, width, height, orientation):
    """Each pixel of the upright image has the class that was painted there."""
    true_HW = np.zeros((height, width), np.int64)
    true_HW[:, width // 3 :] = 1
    l_shape(true_HW, 2, width - 41, 9, 37)
    file = turned(COLOURS[true_HW], orientation)

    async for prediction in answers(serve, bucket, PaintedSemantic(), file, width):
        assert (prediction.image_width, prediction.image_height) == (width, height)
        answer = prediction.semantic_segmentation
        index_HW = np.array(Image.open(io.BytesIO(answer.class_index_png)))
        assert np.array_equal(index_HW, true_HW)
        assert {region.class_name for region in answer.regions} == set(CLASSES)
        for region in answer.regions:
            assert np.array_equal(pixels(region.mask), true_HW == region.class_index)
            assert region.pixel_count == (true_HW == region.class_index).sum()


@pytest.mark.parametrize(("width", "height", "orientation"), CASES)
async def test_objects(serve, bucket, width, height, orientation):
    """Objects have the pixels that were painted, but for their outermost corners.

    Those are rounded off: a network's mask is 0 around its box.
    """
    true_HW = np.full((height, width), BLACK)
    l_shape(true_HW, 0, 5, 8, 28)
    l_shape(true_HW, 2, width - 35, 31, 28)
    file = turned(np.vstack([COLOURS, [[0, 0, 0]]]).astype(np.uint8)[true_HW], orientation)

    async for prediction in answers(serve, bucket, PaintedInstance(), file, width):
        assert (prediction.image_width, prediction.image_height) == (width, height)
        objects = sorted(prediction.instance_segmentation.objects, key=lambda one: one.class_index)
        assert [one.class_name for one in objects] == ["red", "blue"]
        for one in objects:
            inside_HW = true_HW == one.class_index
            rows, columns = np.nonzero(inside_HW)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            sides = (one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax)
            assert sides == pytest.approx(box, abs=MARGIN_PX + 1e-3)
            wrong = np.argwhere(pixels(one.mask) != inside_HW)
            assert len(wrong) <= 4, wrong
