"""Boxes and pixels move together, and nothing is called an object that cannot be seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import transforms
from common.data.colours import Colours
from common.data.transforms import LETTERBOX_GREY
from common.objects.augmentation import (
    LEAST_SIDE_PX,
    LEAST_VISIBLE,
    STRENGTHS,
    Placement,
    choose,
    content_size,
    crop_on_objects,
    draw,
    place,
)
from common.objects.targets import Truth
from nocode.vision.v1.model_pb2 import Preprocessing

VARYING = {level: strength for level, strength in STRENGTHS.items() if strength}
STILL = Colours(brightness=0.0, contrast=0.0, saturation=0.0)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def objects(*boxes, labels=None, crowd=(), difficult=()):
    boxes_K4 = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    count = len(boxes_K4)
    return Truth(
        boxes_K4=boxes_K4,
        labels_K=np.array(range(count) if labels is None else labels, dtype=np.int64),
        crowd_K=np.array([index in crowd for index in range(count)], dtype=bool),
        difficult_K=np.array([index in difficult for index in range(count)], dtype=bool),
        area_K=(boxes_K4[:, 2:] - boxes_K4[:, :2]).prod(axis=1),
    )


def painted(box, width, height):
    """A black image with one white object, colours interleaved in memory."""
    image_HW3 = torch.zeros(height, width, 3, dtype=torch.uint8)
    xmin, ymin, xmax, ymax = (int(side) for side in box)
    image_HW3[ymin:ymax, xmin:xmax] = 255
    return image_HW3.permute(2, 0, 1)


def bounds(image_3HW):
    """The box around what is brighter than half."""
    rows, columns = torch.nonzero(image_3HW[0] > 127, as_tuple=True)
    return [
        columns.min().item(),
        rows.min().item(),
        columns.max().item() + 1,
        rows.max().item() + 1,
    ]


@st.composite
def rectangles(draw_one, width, height, least=1):
    """Of whole pixels, at least so long and tall, inside of (width, height)."""
    xmin = draw_one(st.integers(0, width - least))
    ymin = draw_one(st.integers(0, height - least))
    xmax = draw_one(st.integers(xmin + least, width))
    ymax = draw_one(st.integers(ymin + least, height))
    return xmin, ymin, xmax, ymax


class TestPlacement:
    """The one change of geometry that there is."""

    @settings(max_examples=300)
    @given(
        source=rectangles(64, 48, least=8),
        target=rectangles(80, 80, least=8),
        mirrored=st.booleans(),
        boxes=st.lists(rectangles(64, 48), max_size=4),
    )
    def test_boxes_and_pixels_move_together(self, source, target, mirrored, boxes):
        """Each object is painted on an image of its own, so that none hides another.

        An object's pixels lie where its box says; if it has none, too little of it is seen.
        """
        placement = Placement(source, target, mirrored)
        moved = placement.move(objects(*boxes))

        scale_x = (target[2] - target[0]) / (source[2] - source[0])
        scale_y = (target[3] - target[1]) / (source[3] - source[1])
        box_of = dict(zip(moved.labels_K.tolist(), moved.boxes_K4.tolist(), strict=True))
        for index, box in enumerate(boxes):
            canvas_3HW = torch.zeros(3, 80, 80, dtype=torch.uint8)
            canvas_3HW[:, target[1] : target[3], target[0] : target[2]] = placement.cut(
                painted(box, 64, 48)
            )
            if index in box_of:
                assert bounds(canvas_3HW) == pytest.approx(box_of[index], abs=1.5)
                continue
            seen = (canvas_3HW[0] / 255).sum().item()
            whole = (box[2] - box[0]) * scale_x * (box[3] - box[1]) * scale_y
            width = (canvas_3HW[0] > 127).any(dim=0).sum().item()
            height = (canvas_3HW[0] > 127).any(dim=1).sum().item()
            # Resampling smears an edge over the width of a pixel of the coarser image.
            smear = 1 + (max(1, scale_x) * height + max(1, scale_y) * width) / 2
            assert seen < LEAST_VISIBLE * whole + smear or min(width, height) <= LEAST_SIDE_PX

    @given(boxes=st.lists(rectangles(32, 20, least=2), max_size=5), top=st.integers(0, 12))
    def test_a_mirrored_image_is_exact(self, boxes, top):
        """Without another size, every pixel and every corner is where it should be."""
        placement = Placement((0, 0, 32, 20), (0, top, 32, top + 20), mirrored=True)
        truth = objects(*boxes)
        moved = placement.move(truth)

        for index, box in enumerate(boxes):
            image_3HW = painted(box, 32, 20)
            assert torch.equal(placement.cut(image_3HW), image_3HW.flip(2))
            assert bounds(image_3HW.flip(2)) == [
                32 - box[2], box[1], 32 - box[0], box[3]
            ]  # fmt: skip
            assert moved.boxes_K4[index].tolist() == [
                32 - box[2], top + box[1], 32 - box[0], top + box[3]
            ]  # fmt: skip
        assert moved.area_K.tolist() == truth.area_K.tolist()

    def test_an_object_is_cut_at_the_border(self):
        """Counted by hand: twice as large, shifted, the right half of the object outside."""
        placement = Placement((10, 0, 30, 20), (40, 0, 80, 40))
        moved = placement.move(objects((25, 5, 35, 10)))

        # x: (25 - 10) · 2 + 40 = 70, to 90, cut at 80; y: 10 to 20.
        assert moved.boxes_K4.tolist() == [[70, 10, 80, 20]]
        # 5 · 10 pixels, four times as many, half of which are seen.
        assert moved.area_K.tolist() == [100]

    @pytest.mark.parametrize(
        ("box", "kept"),
        [
            pytest.param((-9, 0, 3, 10), True, id="a quarter is seen"),
            pytest.param((-9.1, 0, 2.9, 10), False, id="less than a quarter"),
            pytest.param((5, 5, 7, 7), True, id="two pixels"),
            pytest.param((5, 5, 6.9, 15), False, id="less than two pixels wide"),
            pytest.param((-50, -50, 50, 50), True, id="less, but it fills the view"),
            pytest.param((5, 5, 5, 9), False, id="no area"),
            pytest.param((float("nan"), 5, 9, 9), False, id="not a number"),
            pytest.param((30, 30, 60, 60), False, id="outside"),
        ],
    )
    def test_what_counts_as_an_object(self, box, kept):
        """As `LEAST_VISIBLE` and `LEAST_SIDE_PX` say."""
        placement = Placement((0, 0, 20, 20), (0, 0, 20, 20))

        assert len(placement.move(objects(box))) == kept

    def test_everything_stays_with_its_object(self):
        """The first object is gone; label, marks and area of the others are theirs."""
        truth = objects(
            (0, 0, 5, 5), (10, 10, 20, 20), (12, 10, 18, 16),
            labels=[7, 8, 9], crowd=[1], difficult=[2],
        )  # fmt: skip
        truth.area_K[1] = 50.0  # of a mask
        moved = Placement((10, 10, 20, 20), (0, 0, 20, 20)).move(truth)

        assert moved.labels_K.tolist() == [8, 9]
        assert moved.crowd_K.tolist() == [True, False]
        assert moved.difficult_K.tolist() == [False, True]
        assert moved.area_K.tolist() == [200, 144]
        assert {moved.boxes_K4.dtype, moved.area_K.dtype} == {np.dtype(np.float32)}


class TestPlace:
    """What fits lies anywhere, what does not is cut off."""

    @pytest.mark.parametrize(
        ("zoom", "where", "shifts", "expected"),
        [
            pytest.param(
                0.5, (0, 1), (0, 0), ((0, 0, 100, 50), (0, 75, 50, 100)),
                id="smaller, in the lower left corner",
            ),
            pytest.param(
                2, (0.5, 0), (0, 0), ((25, 0, 75, 50), (0, 0, 100, 100)),
                id="larger, its middle is seen",
            ),
            pytest.param(
                1, (0, 0), (0.25, -0.1), ((0, 10, 75, 50), (25, 0, 100, 40)),
                id="shifted, and so cut off",
            ),
        ],
    )  # fmt: skip
    def test_by_hand(self, zoom, where, shifts, expected):
        placement = place(
            (0, 0, 100, 50), (0, 0, 100, 100), (zoom, zoom), where, shifts, mirrored=False
        )

        assert (placement.source, placement.target) == expected

    @given(
        part=rectangles(60, 60),
        room=rectangles(60, 60),
        zooms=st.tuples(st.floats(0.1, 4), st.floats(0.1, 4)),
        where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
        shifts=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    )
    def test_it_never_leaves_part_or_room(self, part, room, zooms, where, shifts):
        """And shows a pixel at least."""
        placement = place(part, room, zooms, where, shifts, mirrored=False)

        for inner, outer in ((placement.source, part), (placement.target, room)):
            assert outer[0] <= inner[0] < inner[2] <= outer[2]
            assert outer[1] <= inner[1] < inner[3] <= outer[3]

    @given(
        zooms=st.tuples(st.floats(0.25, 2), st.floats(0.25, 2)),
        where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
        shifts=st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
    )
    def test_the_zoom_is_the_one_asked_for(self, zooms, where, shifts):
        """Up to whole pixels at both ends of both rectangles."""
        placement = place((0, 0, 416, 312), (0, 0, 416, 416), zooms, where, shifts, mirrored=False)

        for axis, zoom in enumerate(zooms):
            source, target = (
                one[axis + 2] - one[axis] for one in (placement.source, placement.target)
            )
            assert target == pytest.approx(source * zoom, abs=1 + zoom)


class TestCropOnObjects:
    """The crop that SSD was trained with."""

    @given(
        boxes=st.lists(rectangles(100, 60, least=4), max_size=5),
        seed=st.integers(0, 10_000),
    )
    def test_it_shows_an_object(self, boxes, seed):
        """Inside of the image, at least 0.3 of its sides, not too narrow."""
        truth = objects(*boxes)
        part = crop_on_objects(truth, 100, 60, generator(seed))

        if part is not None:
            width, height = part[2] - part[0], part[3] - part[1]
            assert part[0] >= 0
            assert part[1] >= 0
            assert 30 <= width <= 100 - part[0]
            assert 18 <= height <= 60 - part[1]
            assert 0.5 <= width / height <= 2
            assert not boxes or len(Placement(part, (0, 0, width, height)).move(truth)) > 0

    def test_large_overlaps_are_asked_for(self):
        """Of parts drawn without asking, 8 % overlap this object by more than half."""
        truth = objects((30, 20, 70, 50))
        parts = [crop_on_objects(truth, 100, 60, generator(seed)) for seed in range(600)]

        overlaps = []
        for part in filter(None, parts):
            width, height = part[2] - part[0], part[3] - part[1]
            (seen,) = Placement(part, (0, 0, width, height)).move(truth).area_K
            overlaps.append(seen / (40 * 30 + width * height - seen))
        assert len(overlaps) > 300
        assert np.mean(np.array(overlaps) > 0.5) > 0.2
        assert np.mean(np.array(overlaps) < 0.3) > 0.1

    def test_nothing_is_found_in_a_line(self):
        """No part of it is at most twice as wide as tall."""
        assert crop_on_objects(objects(), 400, 10, generator(0)) is None


class TestContentSize:
    """What is image in a letterbox, and what is grey."""

    @given(width=st.integers(1, 200), height=st.integers(1, 200))
    def test_of_a_letterbox(self, width, height):
        """Just what was put in."""
        image_HW3 = np.full((height, width, 3), 200, dtype=np.uint8)
        boxed_3SS = transforms.resize(
            image_HW3, Preprocessing(image_size_px=64, resize="letterbox")
        )

        assert content_size(boxed_3SS, objects()) == transforms.inner_size(width, height, 64)

    def test_a_picture_as_grey_as_the_fill_reaches_to_its_objects(self):
        """Where there is an object, there is image."""
        image_3HW = painted((0, 0, 20, 10), 32, 32)
        image_3HW[:, 10:] = LETTERBOX_GREY
        image_3HW[:, :, 20:] = LETTERBOX_GREY

        assert content_size(image_3HW, objects()) == (20, 10)
        assert content_size(image_3HW, objects((3, 3, 24.5, 16.001))) == (25, 16)

    def test_a_grey_picture_is_a_picture(self):
        image_3HW = torch.full((32, 32, 3), LETTERBOX_GREY, dtype=torch.uint8).permute(2, 0, 1)

        assert content_size(image_3HW, objects()) == (32, 32)


class TestDraw:
    """A varied image in a room of a canvas."""

    @pytest.mark.parametrize("level", VARYING)
    @settings(max_examples=40)
    @given(seed=st.integers(0, 10_000), room=rectangles(64, 64, least=16))
    def test_all_that_is_not_image_is_grey(self, level, seed, room):
        """The grey of the letterbox is never taken along, and none gets another colour."""
        image_3SS = torch.full((64, 64, 3), LETTERBOX_GREY, dtype=torch.uint8).permute(2, 0, 1)
        image_3SS[:, :40] = torch.tensor([20, 20, 20], dtype=torch.uint8)[:, None, None]
        canvas_3SS = torch.full((64, 64, 3), LETTERBOX_GREY, dtype=torch.uint8).permute(2, 0, 1)

        truth = draw(
            canvas_3SS, room, image_3SS, objects((0, 0, 64, 40)), VARYING[level], generator(seed)
        )

        image_SS = (canvas_3SS < 60).all(dim=0)
        assert (canvas_3SS[:, ~image_SS] == LETTERBOX_GREY).all()
        # The object is the image, and nothing of either is outside of the room.
        ((xmin, ymin, xmax, ymax),) = truth.boxes_K4.astype(int).tolist()
        assert room[0] <= xmin < xmax <= room[2]
        assert room[1] <= ymin < ymax <= room[3]
        assert image_SS[ymin:ymax, xmin:xmax].all()
        assert image_SS.sum() == (xmax - xmin) * (ymax - ymin)

    @pytest.mark.parametrize("level", VARYING)
    @settings(max_examples=60)
    @given(seed=st.integers(0, 10_000), box=rectangles(96, 60, least=6))
    def test_an_object_lies_where_its_box_says(self, level, seed, box):
        """From the letterbox to the canvas, at every level."""
        image_3SS = torch.full((96, 96, 3), LETTERBOX_GREY, dtype=torch.uint8).permute(2, 0, 1)
        image_3SS[:, :60] = painted(box, 96, 60)
        canvas_3SS = torch.zeros(96, 96, 3, dtype=torch.uint8).permute(2, 0, 1)
        strength = replace(VARYING[level], colours=STILL)

        truth = draw(canvas_3SS, (0, 0, 96, 96), image_3SS, objects(box), strength, generator(seed))

        if len(truth):
            assert bounds(canvas_3SS) == pytest.approx(truth.boxes_K4[0].tolist(), abs=1.5)
            assert truth.area_K[0] == pytest.approx(
                np.prod(truth.boxes_K4[0, 2:] - truth.boxes_K4[0, :2]), rel=1e-4
            )

    def test_half_of_the_images_are_mirrored(self):
        """From left to right."""
        placements = [
            choose(objects(), 64, 48, (0, 0, 64, 64), VARYING["standard"], generator(seed))
            for seed in range(400)
        ]

        assert 0.42 < np.mean([placement.mirrored for placement in placements]) < 0.58

    @pytest.mark.parametrize("level", VARYING)
    def test_zooms_fill_their_range(self, level):
        """From the smallest to the largest, as often below their geometric mean as above."""
        strength = replace(VARYING[level], crop=0.0, stretch=1.0, shift=0.0)
        smallest, largest = strength.zoom

        zooms = []
        for seed in range(400):
            placement = choose(objects(), 416, 416, (0, 0, 416, 416), strength, generator(seed))
            zooms.append(
                (placement.target[2] - placement.target[0])
                / (placement.source[2] - placement.source[0])
            )
        assert min(zooms) == pytest.approx(smallest, rel=0.03)
        assert max(zooms) == pytest.approx(largest, rel=0.03)
        assert 0.42 < np.mean(np.array(zooms) < (smallest * largest) ** 0.5) < 0.58
