"""Batches are the same whichever thread makes them, and every image is in one."""

import time

import pytest
import torch

from common.training.batches import Batches
from common.training.distributed import Ranks, alone
from common.training.seeds import derive
from services.classification.learner import ClassificationLearner
from tests.common.training import made


class Slow(ClassificationLearner):
    """Takes longer for some batches, so that threads overtake each other."""

    def augment(self, images_N3HW, targets, level, generators):
        time.sleep(0.02 * (len(targets) % 3))
        return super().augment(images_N3HW, targets, level, generators)


def batches(learner=None, threads=1, ranks=None, **settings):
    made_here = Batches(
        learner or ClassificationLearner(),
        made.config(**settings),
        made.PREPROCESSING,
        "resnet18",
        ranks or alone(made.CPU),
    )
    made_here._threads = threads
    return made_here


def test_threads_change_nothing():
    """One or five of them, at whatever speed."""
    subset = made.subset(23)
    one = list(batches().train(subset, 1))
    five = list(batches(Slow(), threads=5, batch_size=8).train(subset, 1))

    assert [b.targets for b in one] == [b.targets for b in five]
    for a, b in zip(one, five, strict=True):
        assert torch.equal(a.images_N3HW, b.images_N3HW)


def test_every_epoch_has_its_own_order_and_variation():
    """The first image of epoch 1 looks different in epoch 2, wherever it is."""
    subset = made.subset(16)
    plain = batches(batch_size=16, augmentation="none")
    first, second = (next(plain.train(subset, epoch)) for epoch in (1, 2))
    assert sorted(i.sum().item() for i in first.images_N3HW) == pytest.approx(
        sorted(i.sum().item() for i in second.images_N3HW)
    )
    assert not torch.equal(first.images_N3HW, second.images_N3HW)

    varied = batches(batch_size=16)
    first, second = (next(varied.train(subset, epoch)) for epoch in (1, 2))
    seen = {image.numpy().tobytes() for image in first.images_N3HW}
    assert not any(image.numpy().tobytes() in seen for image in second.images_N3HW)


def test_an_image_varies_by_its_place_in_the_data_set():
    """Not by its place in the subset or batch: a larger split leaves it as it was."""
    subset = made.subset(9)
    part = type(subset)(subset.images, [*range(8), 100], subset.targets)

    def varied(images):
        batch = next(batches(batch_size=9, augmentation="standard").train(images, 1))
        return {image.numpy().tobytes() for image in batch.images_N3HW}

    assert len(varied(subset) & varied(part)) == 8


def test_validation_images_are_as_they_are_and_in_order():
    """No variation, and outputs belong to targets."""
    subset = made.subset(11)
    plain = list(batches().plain(subset, 4))

    assert [len(b.targets) for b in plain] == [3, 4, 4]
    images = torch.cat([b.images_N3HW for b in plain])
    expected = subset.images.batch(range(11)).float() / 255
    mean, std = (
        torch.tensor(list(values)).view(3, 1, 1)
        for values in (made.PREPROCESSING.mean, made.PREPROCESSING.std)
    )
    assert torch.allclose(images, (expected - mean) / std, atol=1e-5)


def test_processes_share_every_batch():
    """Together they have each image once, and know how many there are in all."""
    subset = made.subset(10)
    parts = [
        next(batches(ranks=Ranks(rank, 2, made.CPU), batch_size=10).train(subset, 1))
        for rank in (0, 1)
    ]
    whole = next(batches(batch_size=10).train(subset, 1))

    assert [part.total for part in parts] == [10, 10]
    assert torch.equal(parts[0].images_N3HW, whole.images_N3HW[::2])
    assert torch.equal(parts[1].images_N3HW, whole.images_N3HW[1::2])


def test_no_images_are_no_batches():
    """A split may have no validation images."""
    assert list(batches().plain(made.subset(0), 4)) == []


def test_the_network_gets_channels_last():
    """As its weights lie; anything else is converted at every step."""
    batch = next(batches().train(made.subset(8), 1))

    assert batch.images_N3HW.is_contiguous(memory_format=torch.channels_last)
    assert batch.images_N3HW.dtype == torch.float32


def test_seeds_differ_by_purpose():
    """And are what they were when the last model was trained."""
    seeds = {derive(0, "augment", 1, 2), derive(0, "augment", 12), derive(1, "augment", 1, 2)}

    assert len(seeds) == 3
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(0, "order", 1) == 2961819992523135983
