"""Masks of answers, against those of pycocotools."""

import io

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools import mask as coco

from client import masks
from nocode.vision.v1 import prediction_pb2


def as_rle(mask):
    """The message that a server sends of a mask."""
    counts = coco.encode(np.asfortranarray(mask))["counts"].decode()
    height, width = mask.shape
    rle = prediction_pb2.RunLengthEncoding(height=height, width=width, counts=counts)
    return prediction_pb2.Mask(rle=rle)


def as_png(mask):
    """The same as a picture."""
    file = io.BytesIO()
    Image.fromarray(mask * np.uint8(255)).save(file, "PNG")
    return prediction_pb2.Mask(png=file.getvalue())


@settings(max_examples=100)
@given(
    mask=hnp.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60)),
                    elements=st.integers(0, 1)),
)  # fmt: skip
def test_both_ways_of_sending_a_mask_give_it_back(mask):
    """Of any size; where inside is, how much it is, and as a picture."""
    for sent in (as_rle(mask), as_png(mask)):
        assert np.array_equal(masks.decode(sent), mask)
        assert masks.area(sent) == mask.sum()
        with Image.open(io.BytesIO(masks.as_png(sent))) as picture:
            assert picture.mode == "L"
            assert np.array_equal(np.asarray(picture), mask * 255)


def test_long_runs_take_several_letters():
    """A million pixels in one run, and a run that is shorter than the one before the last."""
    mask = np.zeros((2000, 1000), np.uint8)
    mask[:, 300:800] = 1
    mask[5, 900] = 1

    assert np.array_equal(masks.decode(as_rle(mask)), mask)
    assert masks.area(as_rle(mask)) == 1_000_001


def test_no_mask_has_no_pixel():
    assert masks.area(prediction_pb2.Mask()) == 0


@pytest.mark.parametrize(
    ("height", "width", "counts"),
    [
        pytest.param(0, 0, "", id="nothing"),
        pytest.param(2, 2, "5", id="more pixels than the image has"),
        pytest.param(2, 2, "o", id="half a number"),
        pytest.param(2, 2, "é4", id="no letter"),
        pytest.param(2, 2, "5O", id="a negative run"),
    ],
)
def test_what_is_no_mask_is_refused(height, width, counts):
    rle = prediction_pb2.RunLengthEncoding(height=height, width=width, counts=counts)

    with pytest.raises(ValueError, match=r"runs|encoding"):
        masks.decode(prediction_pb2.Mask(rle=rle))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_classes_of_pixels_are_an_array(dtype):
    """As 8 bits, and as 16 where there are more than 256 classes."""
    classes = np.array([[0, 1, 255], [7, 0, np.iinfo(dtype).max]], dtype)
    file = io.BytesIO()
    Image.fromarray(classes).save(file, "PNG")
    answer = prediction_pb2.SemanticSegmentationPrediction(class_index_png=file.getvalue())

    assert masks.classes(answer).tolist() == classes.tolist()
