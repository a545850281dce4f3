"""Boxes on their way into the network's input and back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.data import transforms
from common.masks import rle
from common.objects.targets import Detections, to_image, to_input, together, truth
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


class TestMasks:
    """Masks of the truth in the letterbox, and of what was found in the image."""

    @pytest.mark.parametrize(("width", "height"), [(640, 480), (101, 37), (400, 100), (30, 50)])
    def test_a_mask_lies_in_the_letterbox_where_its_pixels_do(self, width, height):
        """A white ellipse on black, resized as images are."""
        y_HW, x_HW = np.mgrid[:height, :width] + 0.5
        ellipse_HW = (x_HW / width - 0.6) ** 2 / 0.09 + (y_HW / height - 0.5) ** 2 / 0.2 < 1
        image_HW3 = np.repeat(ellipse_HW[..., None] * np.uint8(255), 3, axis=2)
        resized_3SS = transforms.resize(image_HW3, LETTERBOX)
        note = {
            "objects": [
                {
                    "label": 0,
                    "box": [0, 0, width, height],
                    "mask": rle.text_of(rle.encode(ellipse_HW)),
                }
            ]
        }

        moved = to_input(truth(note, (width, height)), width, height, SIZE_PX)

        mask_SS = rle.decode(moved.masks_K[0]).astype(bool)
        inner_width, inner_height = transforms.inner_size(width, height, SIZE_PX)
        white_SS = (resized_3SS[0] > 127).numpy()
        white_SS[inner_height:] = white_SS[:, inner_width:] = False
        assert mask_SS.shape == (SIZE_PX, SIZE_PX)
        assert (mask_SS & white_SS).sum() >= 0.95 * (mask_SS | white_SS).sum() > 100

    @given(st.integers(1, 2000), st.integers(1, 2000), st.data())
    def test_no_mask_vanishes_however_small(self, width, height, data):
        """A network that is told of an object must not be told that it has no pixel."""
        x = data.draw(st.integers(0, width - 1))
        y = data.draw(st.integers(0, height - 1))
        pixel_HW = np.zeros((height, width), np.uint8)
        pixel_HW[y, x] = 1
        mask = rle.text_of(rle.encode(pixel_HW))
        note = {"objects": [{"label": 0, "box": [x, y, x + 1, y + 1], "mask": mask}]}

        moved = to_input(truth(note, (width, height)), width, height, SIZE_PX)

        rows, columns = np.nonzero(rle.decode(moved.masks_K[0]))
        xmin, ymin, xmax, ymax = moved.boxes_K4[0]
        assert len(rows)
        assert xmin - 1 <= columns.min() <= columns.max() <= xmax
        assert ymin - 1 <= rows.min() <= rows.max() <= ymax

    def test_the_box_is_cut_and_where_the_mask_lies_is_not(self):
        """A wide image of 100 × 50 fills the upper half of the input."""
        masks_KMM = np.zeros((2, 28, 28), np.float32)
        given = replace(detections((0, 10, 64, 50), (5, 40, 9, 60)), masks_KMM=masks_KMM)

        found = to_image(given, 100, 50, SIZE_PX)

        assert found.boxes_K4.tolist() == [pytest.approx([0, 15.625, 100, 50])]
        assert found.spans_K4.tolist() == [pytest.approx([0, 15.625, 100, 78.125])]
        assert found.masks_KMM.shape == (1, 28, 28)


def test_objects_together_keep_what_all_of_them_have():
    one = detections((0, 0, 1, 1))
    other = replace(detections((0, 0, 2, 2), (0, 0, 3, 3)), masks_KMM=np.zeros((2, 4, 4)))

    assert together([one, other]).masks_KMM is None
    assert together([other, other]).masks_KMM.shape == (4, 4, 4)
    assert together([one, other]).boxes_K4[:, 2].tolist() == [1, 2, 3]
