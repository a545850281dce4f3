"""Answers with masks."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from common.data.transforms import inner_size
from nocode.vision.v1.model_pb2 import Model
from nocode.vision.v1.prediction_pb2 import PredictOptions
from services.segmentation.instance import answers
from tests.services.segmentation.instance.made import CELLS, detections, ellipse

CLASSES = ["ant", "bee"]
SIZE_PX = 100
MODEL = Model(classes=CLASSES, score_thresholds=[0.3, 0.6])
MODEL.preprocessing.image_size_px = SIZE_PX
SOLID = np.ones((CELLS, CELLS))


def predict(found, width=200, height=100, **options):
    return answers.predict(found, MODEL, width, height, PredictOptions(**options))


def pixels(mask):
    """Decoded as a caller would."""
    if mask.WhichOneof("encoding") == "png":
        with Image.open(io.BytesIO(mask.png)) as picture:
            assert picture.mode == "L"
            return np.asarray(picture)
    counts = mask.rle.counts.encode()
    return coco_mask.decode({"size": [mask.rle.height, mask.rle.width], "counts": counts})


def in_input(box, width, height):
    scale = np.array(inner_size(width, height, SIZE_PX)) / (width, height)
    return tuple(np.array(box) * np.tile(scale, 2))


@pytest.mark.parametrize(
    ("width", "height"), [(200, 100), (333, 251), (400, 100), (77, 61), (31, 97)]
)
def test_masks_laid_on_the_image_line_up_to_the_pixel(width, height):
    """A box that fills the middle of the image, whose pixels are known, is solid but for corners.

    The network's input is another size, so that sides of the box in it are fractions.
    """
    box = (width // 4, height // 3, width - width // 5, height - height // 7)

    prediction = predict(
        detections((in_input(box, width, height), 0, 0.9), cells_MM=SOLID), width, height
    )

    (one,) = prediction.instance_segmentation.objects
    rows, columns = np.nonzero(pixels(one.mask))
    assert pixels(one.mask).shape == (height, width)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == box
    assert len(rows) >= 0.97 * (box[2] - box[0]) * (box[3] - box[1])
    sides = (one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax)
    assert sides == pytest.approx(box, abs=1e-3)
    assert (prediction.image_width, prediction.image_height) == (width, height)


@pytest.mark.parametrize(("width", "height"), [(1999, 1333), (2001, 500)])
def test_a_round_object_is_round_in_a_large_image(width, height):
    """Its mask of 28 cells a side is enlarged by forty, and its middle stays where it is."""
    box = (width * 0.31, height * 0.13, width * 0.83, height * 0.91)

    prediction = predict(detections((in_input(box, width, height), 0, 0.9)), width, height)

    found_HW = pixels(prediction.instance_segmentation.objects[0].mask).astype(bool)
    true_HW = ellipse(box, width, height).astype(bool)
    assert (found_HW & true_HW).sum() >= 0.97 * (found_HW | true_HW).sum()
    for found_K, true_K in zip(np.nonzero(found_HW), np.nonzero(true_HW), strict=True):
        assert found_K.mean() == pytest.approx(true_K.mean(), abs=0.5)


def test_a_png_has_the_pixels_that_the_run_lengths_have():
    found = detections(((10, 20, 30, 40), 0, 0.9), ((50, 10, 90, 30), 1, 0.8))

    as_rle = predict(found).instance_segmentation.objects
    as_png = predict(found, mask_format="MASK_FORMAT_PNG").instance_segmentation.objects

    assert len(as_rle) == len(as_png) == 2
    for one, other in zip(as_rle, as_png, strict=True):
        assert np.array_equal(pixels(one.mask) * 255, pixels(other.mask))
        assert set(np.unique(pixels(other.mask))) == {0, 255}


def test_thresholds_and_order_are_those_of_boxes():
    """A bee needs 0.6; masks go with their objects."""
    found = detections(
        ((10, 10, 20, 20), 1, 0.5), ((30, 10, 50, 20), 0, 0.4), ((60, 10, 90, 40), 0, 0.35)
    )

    objects = predict(found).instance_segmentation.objects

    assert [(one.class_name, pytest.approx(one.score)) for one in objects] == [
        ("ant", 0.4),
        ("ant", 0.35),
    ]
    for one in objects:
        columns = np.nonzero(pixels(one.mask))[1]
        assert one.box.xmin <= columns.min() <= columns.max() < one.box.xmax
    assert len(predict(found, score_threshold=0, max_results=2).instance_segmentation.objects) == 2


def test_nothing_found_is_an_answer():
    assert predict(detections()).WhichOneof("result") == "instance_segmentation"


@pytest.mark.parametrize("mask_format", ["MASK_FORMAT_RLE", "MASK_FORMAT_PNG"])
@pytest.mark.parametrize("shrunk", [1, 2])
def test_masks_are_tinted_in_the_picture_and_nothing_else(mask_format, shrunk):
    """On a grey picture of the image's size, or half of it; not yet counting lines and labels."""
    prediction = predict(
        detections(((40, 60, 80, 90), 0, 0.9)), 1600, 1600, mask_format=mask_format
    )
    image_HW3 = np.full((1600 // shrunk, 1600 // shrunk, 3), 128, np.uint8)

    drawn_HW3 = answers.draw(image_HW3, prediction)

    centres = slice(shrunk // 2, None, shrunk)
    mask_HW = pixels(prediction.instance_segmentation.objects[0].mask)[centres, centres] > 0
    changed_HW = (drawn_HW3 != 128).any(axis=2)
    assert drawn_HW3.shape == image_HW3.shape
    assert changed_HW[mask_HW].all()
    assert changed_HW[~mask_HW].mean() < 0.05
    assert (image_HW3 == 128).all()


def test_a_small_mask_lies_on_a_large_one_whatever_they_score():
    """Of two classes, in the middle of both."""
    large, small = ((10, 10, 90, 90), 0, 0.9), ((30, 30, 60, 60), 1, 0.8)
    image_HW3 = np.full((1000, 1000, 3), 128, np.uint8)

    alone, beneath, above = (
        answers.draw(image_HW3, predict(detections(*found), 1000, 1000))[460, 460].tolist()
        for found in ([large], [large, small], [(*small[:2], 0.95), large])
    )

    assert beneath == above != alone


@pytest.mark.parametrize("mask_format", ["MASK_FORMAT_RLE", "MASK_FORMAT_PNG"])
def test_to_draw_many_masks_takes_little_more_memory_than_one(mask_format):
    """Thirty masks of a picture of four million pixels, drawn on one of a quarter of a million."""
    boxes = [(3 * number, 3 * number, 3 * number + 9, 3 * number + 9) for number in range(30)]
    prediction = predict(
        detections(*((box, 0, 0.9) for box in boxes)), 2000, 2000, mask_format=mask_format
    )
    image_HW3 = np.full((500, 500, 3), 128, np.uint8)
    assert len(prediction.instance_segmentation.objects) == 30

    tracemalloc.start()
    try:
        answers.draw(image_HW3, prediction)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    # Of a PNG the pixels, which Pillow decodes, and the same in columns.
    assert peak < {"MASK_FORMAT_RLE": 6, "MASK_FORMAT_PNG": 20}[mask_format] * 1e6
