"""Variation of images with masks; that they move together is shown for its parts."""

import numpy as np
import pytest
import torch

from common.masks import rle
from common.objects.augmentation import augment
from common.training.learner import Phase
from services.segmentation.instance.learner import InstanceLearner
from tests.services.segmentation.instance.made import annotation

SIDE = 96


def batch(count):
    """Images of noise, with two objects each."""
    rng = np.random.default_rng(0)
    images_NHW3 = torch.from_numpy(rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8))
    objects = [((10, 12, 60, 50), 0), ((50, 40, 90, 94), 1, "crowd")]
    note = annotation(objects, SIDE, SIDE)
    targets = [InstanceLearner().target(note, SIDE, SIDE, SIDE) for _ in range(count)]
    return images_NHW3.permute(0, 3, 1, 2), targets


def generators(count, seed=0):
    return [torch.Generator().manual_seed(seed + number) for number in range(count)]


def same(one, other):
    return (
        np.array_equal(one.boxes_K4, other.boxes_K4)
        and np.array_equal(one.area_K, other.area_K)
        and list(one.masks_K) == list(other.masks_K)
    )


@pytest.mark.parametrize("level", ["light", "standard", "strong"])
def test_an_image_comes_out_the_same_alone_and_in_a_batch(level):
    """With the same generator, to the last bit; and its neighbour differently."""
    images_N3SS, targets = batch(3)
    phase = Phase("maskrcnn_resnet50_fpn_v2", level, 0.5)

    together_N3SS, moved = augment(images_N3SS, targets, phase, generators(3))
    alone_N3SS, (alone,) = augment(images_N3SS[1:2], targets[1:2], phase, generators(1, seed=1))

    assert torch.equal(together_N3SS[1], alone_N3SS[0])
    assert same(moved[1], alone)
    assert not torch.equal(together_N3SS[0], images_N3SS[0])
    assert not torch.equal(together_N3SS[0], together_N3SS[2])


def test_boxes_are_the_bounds_of_masks_and_areas_count_them():
    images_N3SS, targets = batch(1)
    seen = 0
    for seed in range(30):
        phase = Phase("maskrcnn_resnet50_fpn_v2", "strong", 0.0)
        _, (moved,) = augment(images_N3SS, targets, phase, generators(1, seed))
        for box_4, area, mask in zip(moved.boxes_K4, moved.area_K, moved.masks_K, strict=True):
            assert tuple(box_4) == rle.bounds(mask)
            assert area == rle.area(mask)
            assert mask["size"] == [SIDE, SIDE]
            seen += 1
        assert moved.crowd_K.tolist() == (moved.labels_K == 1).tolist()
    assert seen > 30


def test_without_variation_nothing_changes():
    images_N3SS, targets = batch(2)

    same_N3SS, same_targets = augment(
        images_N3SS, targets, Phase("maskrcnn_resnet50_fpn_v2", "none", 0.0), generators(2)
    )

    assert torch.equal(same_N3SS, images_N3SS)
    assert all(same(one, other) for one, other in zip(targets, same_targets, strict=True))
