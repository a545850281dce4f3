"""Images and the classes of their pixels move together.

In the images made here a pixel's class is its colour: red, green or blue. However colours vary, the
strongest one stays the strongest.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.transforms import LETTERBOX_GREY
from common.masks.label_maps import VOID, LabelMap
from common.objects.augmentation import Placement
from common.training.learner import Phase
from services.segmentation.semantic.augmentation import augment, cut
from tests.services.segmentation.semantic.made import blocks

SIDE = 96
LEVELS = ["light", "standard", "strong"]


def at(level):
    return Phase("unet_resnet34", level, 0.0)


# Red, green and blue of each class.
COLOURS = np.array([(200, 60, 60), (60, 200, 60), (60, 60, 200)], dtype=np.uint8)


def letterbox(width, height, seed=0):
    """An image of blocks in grey, (S, S, 3), and its labels."""
    labels_SS = np.full((SIDE, SIDE), VOID, dtype=np.int16)
    labels_SS[:height, :width] = blocks(height, width, 16, seed)
    image_SS3 = np.full((SIDE, SIDE, 3), LETTERBOX_GREY, dtype=np.uint8)
    image_SS3[:height, :width] = COLOURS[labels_SS[:height, :width]]
    return torch.from_numpy(image_SS3), LabelMap.pack(labels_SS)


def batch(*pictures):
    images = torch.stack([image_SS3 for image_SS3, _ in pictures]).permute(0, 3, 1, 2)
    return images, [labels for _, labels in pictures]


def generators(count, first=0):
    return [torch.Generator().manual_seed(first + number) for number in range(count)]


def seen_labels(image_3SS):
    """The strongest colour of each pixel; void if it is grey, one less if it is a mixture."""
    image_SS3 = image_3SS.permute(1, 2, 0).numpy().astype(int)
    ordered = np.sort(image_SS3, axis=2)
    labels_SS = image_SS3.argmax(axis=2)
    # Of a pure colour two channels are the same, and as much weaker as anywhere in the image.
    lead_SS = ordered[..., 2] - ordered[..., 1]
    mixed_SS = (ordered[..., 1] - ordered[..., 0] > 12) | (lead_SS < 0.75 * lead_SS.max())
    grey_SS = (image_SS3 == LETTERBOX_GREY).all(axis=2)
    return np.where(grey_SS, VOID, np.where(mixed_SS, VOID - 1, labels_SS))


@settings(max_examples=60)
@given(
    width=st.integers(20, SIDE),
    height=st.integers(20, SIDE),
    level=st.sampled_from(LEVELS),
    seed=st.integers(0, 10**6),
)
def test_each_pixel_keeps_its_class(width, height, level, seed):
    """Where the varied image has a pure colour, the varied labels have its class."""
    images, targets = batch(letterbox(width, height, seed))

    varied, moved = augment(images, targets, at(level), generators(1, seed))

    seen_SS, labels_SS = seen_labels(varied[0]), moved[0].unpack()
    pure_SS = seen_SS >= VOID
    assert pure_SS.mean() > 0.25
    assert (seen_SS == labels_SS)[pure_SS].all()
    assert ((labels_SS == VOID) == (seen_SS == VOID)).all()


def test_all_changes_happen():
    """Of many images some are mirrored, enlarged, made smaller and cut, and colours change."""
    image = torch.zeros(SIDE, SIDE, 3, dtype=torch.uint8)
    labels_SS = np.zeros((SIDE, SIDE), dtype=np.int16)
    image[:, : SIDE // 2, 0] = 200
    image[:, SIDE // 2 :, 2] = 200
    labels_SS[:, SIDE // 2 :] = 1
    images, targets = batch(*[(image, LabelMap.pack(labels_SS))] * 60)

    varied, moved = augment(images, targets, at("strong"), generators(60))

    labels_NSS = np.stack([one.unpack() for one in moved])
    mirrored = [
        np.argwhere(one == 1).mean(axis=0)[1] < np.argwhere(one == 0).mean(axis=0)[1]
        for one in labels_NSS
        if (one == 0).any() and (one == 1).any()
    ]
    assert 0.2 < np.mean(mirrored) < 0.8
    filled_N = (labels_NSS != VOID).mean(axis=(1, 2))
    assert filled_N.min() < 0.3
    assert (filled_N == 1).any()
    assert len({int(one.max()) for one in varied}) > 20


def test_none_changes_nothing():
    images, targets = batch(letterbox(90, 40), letterbox(30, 80))

    varied, moved = augment(images, targets, at("none"), generators(2))

    assert torch.equal(varied, images)
    assert moved == targets


@pytest.mark.parametrize("level", LEVELS)
def test_the_same_generator_gives_the_same_in_any_batch(level):
    images, targets = batch(letterbox(90, 40), letterbox(30, 80, 1), letterbox(96, 96, 2))

    together, labels = augment(images, targets, at(level), generators(3))
    alone, label = augment(images[1:2], targets[1:2], at(level), generators(1, first=1))

    assert torch.equal(alone[0], together[1])
    assert label[0] == labels[1]
    assert together.is_contiguous(memory_format=torch.channels_last)


def test_what_was_given_is_left_alone():
    images, targets = batch(letterbox(90, 40))
    before = images.clone()

    augment(images, targets, at("strong"), generators(1))

    assert torch.equal(images, before)


def test_grey_that_has_a_class_is_part_of_the_image():
    """A picture whose lower half is just as grey as a letterbox."""
    image, target = letterbox(SIDE, SIDE // 2)
    labels_SS = target.unpack()
    labels_SS[SIDE // 2 :] = 2
    images, targets = batch((image, LabelMap.pack(labels_SS)))

    areas = [
        np.mean(augment(images, targets, at("light"), generators(1, seed))[1][0].unpack() == 2)
        for seed in range(5)
    ]

    assert min(areas) > 0.3


@pytest.mark.parametrize("mirrored", [False, True])
def test_each_pixel_takes_the_nearest(mirrored):
    """Of a row of four, the middle two spread over five: the first has the centers of two."""
    labels_HW = np.array([[0, 1, 2, 3]], dtype=np.int16)

    found = cut(Placement((1, 0, 3, 1), (10, 0, 15, 1), mirrored), labels_HW)

    expected = [1, 1, 2, 2, 2]
    assert found.tolist() == [expected[::-1] if mirrored else expected]
