"""Boxes on their way into the network's input and back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.data import transforms
from common.objects.targets import Detections, to_image, to_input, truth
from nocode.vision.v1.model_pb2 import Preprocessing

SIZE_PX = 64
LETTERBOX = Preprocessing(image_size_px=SIZE_PX, resize="letterbox")


def annotation(*boxes, **marks):
    return {"objects": [{"label": 1, "box": list(box), **marks} for box in boxes]}


def detections(*boxes):
    return Detections(
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.zeros(len(boxes), dtype=np.int64),
        np.linspace(0.9, 0.1, len(boxes), dtype=np.float32),
    )


def test_an_annotation_becomes_arrays():
    found = truth(annotation((1, 2, 5, 10), crowd=True, area=7.5))

    assert found.boxes_K4.tolist() == [[1, 2, 5, 10]]
    assert found.boxes_K4.dtype == np.float32
    assert found.labels_K.tolist() == [1]
    assert found.crowd_K.tolist() == [True]
    assert found.difficult_K.tolist() == [False]
    assert found.area_K.tolist() == [7.5]


def test_without_another_area_it_is_that_of_the_box():
    assert truth(annotation((1, 2, 5, 10))).area_K.tolist() == [32]


def test_an_image_without_objects_has_arrays_of_no_length():
    found = to_input(truth(annotation()), 30, 20, SIZE_PX)

    assert found.boxes_K4.shape == (0, 4)
    assert len(found) == 0


@pytest.mark.parametrize(("width", "height"), [(128, 96), (96, 128), (64, 64), (37, 211), (500, 3)])
def test_a_box_lies_in_the_letterbox_where_its_pixels_do(width, height):
    """A white rectangle on black, resized as images are: its bounds are those of the box."""
    box = (width // 4, 0, width - width // 8, height - height // 4)
    image_HW3 = np.zeros((height, width, 3), dtype=np.uint8)
    image_HW3[box[1] : box[3], box[0] : box[2]] = 255

    resized_3SS = transforms.resize(image_HW3, LETTERBOX)
    moved = to_input(truth(annotation(box)), width, height, SIZE_PX).boxes_K4[0]

    inner_width, inner_height = transforms.inner_size(width, height, SIZE_PX)
    white = torch.nonzero(resized_3SS[0, :inner_height, :inner_width] > 127)
    (top, left), (bottom, right) = white.amin(dim=0).tolist(), (white.amax(dim=0) + 1).tolist()
    assert moved == pytest.approx([left, top, right, bottom], abs=1)


sides = st.integers(1, 3000)


@given(sides, sides, st.data())
def test_the_way_back_is_the_inverse(width, height, data):
    fractions = st.floats(0, 1, width=32)
    (x0, x1), (y0, y1) = (sorted(data.draw(st.tuples(fractions, fractions))) for _ in range(2))
    box = (x0 * width, y0 * height, x1 * width, y1 * height)
    there = to_input(truth(annotation(box)), width, height, SIZE_PX)

    back = to_image(detections(*there.boxes_K4), width, height, SIZE_PX)

    for found in back.boxes_K4:  # none if it has no area
        assert found == pytest.approx(box, abs=1e-3 * max(width, height))


def test_what_lies_in_the_filling_is_gone_and_what_reaches_into_it_is_cut():
    """A wide image of 100 × 50 fills the upper half; the rest is grey."""
    found = to_image(detections((0, 40, 10, 60), (0, 10, 64, 50), (-5, -5, 8, 8)), 100, 50, SIZE_PX)

    assert found.boxes_K4.tolist() == [
        pytest.approx([0, 15.625, 100, 50]),
        pytest.approx([0, 0, 12.5, 12.5]),
    ]
    assert found.scores_K.tolist() == pytest.approx([0.5, 0.1])
