"""Boxes and pixels move together, from the images of a batch to its mosaics.

In the images made here objects are red or blue on grey. However colours vary, a pixel of a red one
has more red than green, one of a blue one more blue than green, and one of the background neither;
that holds for the sum of two images, too.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.transforms import LETTERBOX_GREY
from common.objects.targets import Truth
from common.training.learner import Phase
from services.detection.architectures import detectors
from services.detection.augmentation import (
    MIXUP_ARCHITECTURES,
    MOSAIC_ARCHITECTURES,
    MOSAIC_ENDS,
    MOSAICS,
    augment,
)

SIDE = 96
RED, BLUE = 0, 1
LEVELS = ["light", "standard", "strong"]
SINGLE, SMALL, LARGE = "fasterrcnn_resnet50_fpn_v2", "yolox_nano", "yolox_s"
_COLOUR_OF = {RED: (200, 60, 60), BLUE: (60, 60, 200)}


def generators(count, first=0):
    return [torch.Generator().manual_seed(first + number) for number in range(count)]


def picture(label, boxes, width=SIDE, height=SIDE):
    """A letterbox, its objects of one colour, and their truth; every second one is difficult."""
    image_SS3 = torch.full((SIDE, SIDE, 3), LETTERBOX_GREY, dtype=torch.uint8)
    image_SS3[:height, :width] = 100
    for xmin, ymin, xmax, ymax in boxes:
        image_SS3[ymin:ymax, xmin:xmax] = torch.tensor(_COLOUR_OF[label], dtype=torch.uint8)
    boxes_K4 = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return image_SS3, Truth(
        boxes_K4=boxes_K4,
        labels_K=np.full(len(boxes), label, dtype=np.int64),
        crowd_K=np.zeros(len(boxes), dtype=bool),
        difficult_K=np.arange(len(boxes)) % 2 == 1,
        area_K=(boxes_K4[:, 2:] - boxes_K4[:, :2]).prod(axis=1),
    )


def batch(*pictures):
    images = torch.stack([image_SS3 for image_SS3, _ in pictures]).permute(0, 3, 1, 2)
    return images, [truth for _, truth in pictures]


def some_batch(count=5):
    """Images of different shapes with a few objects, red and blue in turn."""
    return batch(
        *(
            picture(index % 2, [(4, 6, 30, 28), (40, 10, 66, 52)], height=96 - 6 * index)
            for index in range(count)
        )
    )


def inside(boxes, grow):
    """Pixels that lie in a box that is larger by `grow` to each side."""
    y_S, x_S = np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5
    found_SS = np.zeros((SIDE, SIDE), dtype=bool)
    for xmin, ymin, xmax, ymax in boxes:
        found_SS |= ((y_S > ymin - grow) & (y_S < ymax + grow))[:, None] & (
            (x_S > xmin - grow) & (x_S < xmax + grow)
        )
    return found_SS


def coloured(image_3SS, label, least):
    pixels_3SS = image_3SS.int().numpy()
    return pixels_3SS[0 if label == RED else 2] - pixels_3SS[1] > least


@st.composite
def boxes(draw, width=SIDE, height=SIDE, most=3):
    found = []
    for _ in range(draw(st.integers(0, most))):
        xmin, ymin = draw(st.integers(0, width - 12)), draw(st.integers(0, height - 12))
        found.append(
            (xmin, ymin, draw(st.integers(xmin + 12, width)), draw(st.integers(ymin + 12, height)))
        )
    return found


class TestBoxesAndPixels:
    """What is labelled is seen, and what is seen is labelled."""

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("architecture", [SINGLE, SMALL, LARGE])
    @settings(max_examples=40)
    @given(red=boxes(height=70), blue=boxes(width=50), seed=st.integers(0, 10_000))
    def test_a_box_is_full_of_its_object(self, level, architecture, red, blue, seed):
        """Of an image alone, of a mosaic, or of a mixture; no image hides another's objects."""
        images_N3SS, truths = batch(picture(RED, red, height=70), picture(BLUE, blue, width=50))

        varied_N3SS, moved = augment(
            images_N3SS, truths, Phase(architecture, level, 0.0), generators(2, seed)
        )

        for image_3SS, truth in zip(varied_N3SS, moved, strict=True):
            for label in (RED, BLUE):
                found_K4 = truth.boxes_K4[truth.labels_K == label]
                full_SS = coloured(image_3SS, label, least=6)
                assert full_SS[inside(found_K4, grow=-1.5)].all()

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("architecture", [SINGLE, SMALL, LARGE])
    def test_objects_have_boxes(self, level, architecture):
        """Of the coloured pixels few belong to objects of which too little is seen.

        These are at the borders of images, of which a mosaic has more.
        """
        images_N3SS, truths = some_batch(2)
        boxed, unboxed = 0, 0
        for seed in range(60):
            varied_N3SS, moved = augment(
                images_N3SS, truths, Phase(architecture, level, 0.0), generators(2, seed)
            )
            for image_3SS, truth in zip(varied_N3SS, moved, strict=True):
                for label in (RED, BLUE):
                    full_SS = coloured(image_3SS, label, least=10)
                    near_SS = inside(truth.boxes_K4[truth.labels_K == label], grow=1.5)
                    boxed += (full_SS & near_SS).sum()
                    unboxed += (full_SS & ~near_SS).sum()

        assert unboxed < (0.03 if architecture == SINGLE else 0.08) * boxed

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("architecture", [SINGLE, SMALL, LARGE])
    @settings(max_examples=40)
    @given(red=boxes(), blue=boxes(), seed=st.integers(0, 10_000))
    def test_every_box_can_be_trained_on(self, level, architecture, red, blue, seed):
        """Inside of the image, with an area, numbers of the right kind."""
        images_N3SS, truths = batch(picture(RED, red), picture(BLUE, blue), picture(RED, []))

        varied_N3SS, moved = augment(
            images_N3SS, truths, Phase(architecture, level, 0.0), generators(3, seed)
        )

        assert varied_N3SS.dtype == torch.uint8
        assert varied_N3SS.shape == images_N3SS.shape
        assert varied_N3SS.is_contiguous(memory_format=torch.channels_last)
        for truth in moved:
            assert truth.boxes_K4.shape == (len(truth), 4)
            assert truth.boxes_K4.dtype == truth.area_K.dtype == np.float32
            assert truth.labels_K.dtype == np.int64
            assert (truth.boxes_K4 >= 0).all()
            assert (truth.boxes_K4 <= SIDE).all()
            sides_K2 = truth.boxes_K4[:, 2:] - truth.boxes_K4[:, :2]
            assert (sides_K2 > 1.99).all()
            # None had another area than its box's, and none has one now.
            assert truth.area_K == pytest.approx(sides_K2.prod(axis=1), rel=1e-3)


class TestDraws:
    """What is drawn for an image depends on its generator, and its neighbours where they show."""

    def test_none_changes_nothing(self):
        images_N3SS, truths = some_batch()
        varied_N3SS, moved = augment(images_N3SS, truths, Phase(SMALL, "none", 0.0), generators(5))

        assert torch.equal(varied_N3SS, images_N3SS)
        assert moved == truths

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("architecture", [SINGLE, LARGE])
    def test_the_same_generators_give_the_same_bits(self, level, architecture):
        """Nothing else is random."""
        images_N3SS, truths = some_batch()
        phase = Phase(architecture, level, 0.0)

        torch.manual_seed(1)
        first_N3SS, first = augment(images_N3SS, truths, phase, generators(5))
        torch.manual_seed(2)
        again_N3SS, again = augment(images_N3SS, truths, phase, generators(5))

        assert torch.equal(first_N3SS, again_N3SS)
        for one, other in zip(first, again, strict=True):
            assert np.array_equal(one.boxes_K4, other.boxes_K4)
            assert np.array_equal(one.labels_K, other.labels_K)
        assert len({image.numpy().tobytes() for image in first_N3SS}) == 5

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize(("architecture", "done"), [(SINGLE, 0.0), (LARGE, MOSAIC_ENDS)])
    def test_without_mosaic_an_image_comes_out_the_same_in_any_batch(
        self, level, architecture, done
    ):
        images_N3SS, truths = some_batch()
        phase = Phase(architecture, level, done)

        together_N3SS, moved = augment(images_N3SS, truths, phase, generators(5))
        alone_13SS, (alone,) = augment(images_N3SS[3:4], truths[3:4], phase, generators(1, first=3))

        assert torch.equal(together_N3SS[3], alone_13SS[0])
        assert np.array_equal(moved[3].boxes_K4, alone.boxes_K4)

    def test_what_is_given_stays_as_it_is(self):
        """Images come from a cache that the next epoch reads again."""
        images_N3SS, truths = some_batch()
        before_N3SS, boxes_before = images_N3SS.clone(), [one.boxes_K4.copy() for one in truths]

        augment(images_N3SS, truths, Phase(LARGE, "strong", 0.0), generators(5))

        assert torch.equal(images_N3SS, before_N3SS)
        for one, before_K4 in zip(truths, boxes_before, strict=True):
            assert np.array_equal(one.boxes_K4, before_K4)


def share_of_mosaics(architecture, level, done, count=2):
    """How often a red image has blue objects on it."""
    # Tall, narrow objects one beside the other: each part of an image shows several.
    many = [(x, y, x + 8, y + 8) for x in range(0, 96, 12) for y in range(0, 96, 12)]
    images_N3SS, truths = batch(picture(RED, many), *[picture(BLUE, many)] * (count - 1))
    found = [
        augment(
            images_N3SS,
            truths,
            Phase(architecture, level, done),
            generators(count, first=seed),
        )[1][0]
        for seed in range(100)
    ]
    return np.mean([BLUE in truth.labels_K for truth in found])


class TestMosaics:
    """Four images around a point, for those whose recipe has them."""

    @pytest.mark.parametrize("level", MOSAICS)
    @pytest.mark.parametrize("architecture", [SMALL, LARGE])
    def test_they_come_as_often_as_said(self, level, architecture):
        share = share_of_mosaics(architecture, level, 0.0)

        assert share == pytest.approx(MOSAICS[level].probability, abs=0.15)

    @pytest.mark.parametrize(
        ("architecture", "level", "done", "count"),
        [
            pytest.param(SINGLE, "strong", 0.0, 2, id="another family"),
            pytest.param(LARGE, "light", 0.0, 2, id="a light variation"),
            pytest.param(LARGE, "strong", MOSAIC_ENDS, 2, id="the last epochs"),
            pytest.param(LARGE, "strong", 0.0, 1, id="a batch of one"),
        ],
    )
    def test_otherwise_there_is_none(self, architecture, level, done, count):
        assert share_of_mosaics(architecture, level, done, count) == 0

    def test_a_mosaic_may_show_four_images(self):
        """Each brings its own objects, with its own label."""
        images_N3SS, truths = batch(*[picture(RED, [(8, 8, 88, 88)])] * 6)
        numbered = [
            Truth(one.boxes_K4, np.array([index]), one.crowd_K, one.difficult_K, one.area_K)
            for index, one in enumerate(truths)
        ]

        seen = [
            augment(images_N3SS, numbered, Phase(SMALL, "strong", 0.0), generators(6, first=seed))[
                1
            ][2].labels_K
            for seed in range(60)
        ]

        counts = [len(labels) for labels in seen]
        assert max(counts) == 4
        assert set(np.concatenate(seen)) == set(range(6))
        # The others are drawn, so one may come twice; the image itself comes once.
        assert all((labels == 2).sum() <= 1 for labels in seen)

    def test_large_networks_see_mixtures(self):
        """Five images on one, with the objects of all."""
        images_N3SS, truths = batch(*[picture(RED, [(8, 8, 88, 88)])] * 6)

        def most(architecture):
            return max(
                len(truth)
                for seed in range(20)
                for truth in augment(
                    images_N3SS, truths, Phase(architecture, "strong", 0.0), generators(6, seed)
                )[1]
            )

        assert most(LARGE) == 5
        assert most(SMALL) == 4

    def test_they_are_for_the_family_from_whose_papers_they_are(self):
        """A size that is added to the family is added here."""
        family = {entry.name for entry in detectors if entry.name.startswith("yolox_")}

        assert family == MOSAIC_ARCHITECTURES
        assert family >= MIXUP_ARCHITECTURES
