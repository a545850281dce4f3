"""A batch too big for the memory is split, and the step stays the same."""

import pytest
import torch
from torch import nn

from common.errors import Exhausted
from common.reasons import Reason
from common.training.parts import Parts, is_out_of_memory, normalizable
from tests.common.training import made


class Limited(nn.Module):
    """A network on a device with room to train on so many images at once."""

    def __init__(self, network, limit):
        super().__init__()
        self.network = network
        self.limit = limit
        self.sizes = []

    def forward(self, images):
        self.sizes.append(len(images))
        if self.training and len(images) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.network(images)


def no_undo():
    """Nothing has been done."""


@pytest.mark.parametrize(
    ("size", "count", "parts"),
    [
        pytest.param(8, 1, [(0, 8)], id="whole"),
        pytest.param(8, 4, [(0, 2), (2, 4), (4, 6), (6, 8)], id="four"),
        pytest.param(5, 2, [(0, 2), (2, 5)], id="uneven"),
        pytest.param(2, 8, [(0, 1), (1, 2)], id="no more than images"),
    ],
)
def test_every_image_is_in_one_part_and_the_last_is_told(size, count, parts):
    """Processes exchange gradients with the last one."""
    seen = []

    def part(where, last):
        seen.append((where.start, where.stop, last))
        return torch.tensor(1.0)

    total = Parts(count).run(size, part, no_undo)

    assert seen == [(a, b, b == size) for a, b in parts]
    assert total == len(parts)


def test_it_halves_until_it_fits_and_remembers():
    """The next batch does not run out of memory again."""
    parts, undone = Parts(), []

    def part(where, last):
        if where.stop - where.start > 3:
            raise torch.OutOfMemoryError
        return torch.tensor(float(where.stop - where.start))

    assert parts.run(8, part, lambda: undone.append(1)) == 8
    assert parts.count == 4
    assert len(undone) == 2
    assert parts.run(8, part, lambda: undone.append(1)) == 8
    assert len(undone) == 2


@pytest.mark.parametrize(
    "parts", [pytest.param(Parts(), id="alone"), pytest.param(Parts(grows=False), id="together")]
)
def test_what_cannot_be_split_says_what_to_do(parts):
    """One image does not fit, or the processes have agreed already."""

    def part(where, last):
        raise torch.OutOfMemoryError

    with pytest.raises(Exhausted) as caught:
        parts.run(4, part, no_undo)

    assert caught.value.reason == Reason.OUT_OF_MEMORY
    assert "image_size_px" in caught.value.message


def test_other_errors_pass():
    """A mistake is not taken for a lack of memory."""

    def part(where, last):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Parts().run(4, part, no_undo)


def test_a_lack_of_memory_is_recognized_on_the_cpu():
    """What torch really raises there."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)

    assert is_out_of_memory(caught.value)


def test_a_split_batch_trains_as_a_whole_one():
    """Same images, same losses, same weights, up to the order of sums."""
    whole = made.trainer(made.training(), made.plain_network()).fit()
    limited = Limited(made.plain_network(), limit=3)
    split = made.trainer(made.training(), limited).fit()

    assert 3 <= max(limited.sizes[1:]) <= 7
    for name, tensor in whole.weights.items():
        assert torch.allclose(split.weights[f"network.{name}"], tensor, atol=1e-5)


def test_a_single_image_passes_through_normalizations():
    """Where only one pixel is left of it, its variance is 0."""
    model = nn.Sequential(nn.Conv2d(3, 4, 32), nn.BatchNorm2d(4)).train()
    image = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match="more than 1 value"):
        model(image)

    with normalizable(model, 1):
        model(image)

    assert all(module.training for module in model.modules())


def test_batches_of_one_train():
    """A caller may ask for them."""
    fitted = made.trainer(made.training(batch_size=1, epoch_count=1)).fit()

    assert all(torch.isfinite(t).all() for t in fitted.weights.values())
