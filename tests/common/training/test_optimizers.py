"""Steps, learning rates and averages, against values worked out by hand."""

import pytest
import torch
from torch import nn

from common.training.optimizers import WeightAverage, learning_rate, make_optimizer
from tests.common.training import made


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        pytest.param(0, 0.25, id="the first step of four of warm-up"),
        pytest.param(3, 1.0, id="the last step of warm-up is the peak"),
        pytest.param(4, 1.0, id="the cosine begins at the peak"),
        pytest.param(7, 0.75, id="a third of the way: (1 + cos 60°) / 2"),
        pytest.param(10, 0.25, id="two thirds: (1 + cos 120°) / 2"),
        pytest.param(13, 0.0, id="the step after the last"),
    ],
)
def test_learning_rate(step, rate):
    """13 steps, 4 of them warm-up, and a peak of 1."""
    assert learning_rate(step, step_count=13, warmup_step_count=4, peak=1.0) == pytest.approx(
        rate, abs=1e-12
    )


def test_without_warm_up_the_first_step_is_the_peak():
    """As a caller who sets 0 expects."""
    assert learning_rate(0, step_count=10, warmup_step_count=0, peak=0.3) == 0.3


def test_warm_up_takes_half_of_the_training_at_most():
    """A long warm-up set for a short training still reaches the peak."""
    rates = [learning_rate(s, step_count=10, warmup_step_count=99, peak=1.0) for s in range(10)]

    assert rates.index(1.0) == 4
    assert rates[-1] < 0.2


def test_a_single_step_has_a_learning_rate():
    """One image, one epoch."""
    assert learning_rate(0, step_count=1, warmup_step_count=2, peak=1.0) == 1.0


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_norms_and_biases_do_not_decay(name):
    """Every weight is in exactly one group, and only those with two axes or more decay."""
    model = made.network()

    optimizer = make_optimizer(model, made.config(optimizer=name, weight_decay=0.3))

    decay_of = {
        p: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    assert set(decay_of) == set(model.parameters())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert decay_of[module.weight] == decay_of[module.bias] == 0
        if isinstance(module, nn.Conv2d):
            assert decay_of[module.weight] == 0.3
            assert module.bias is None or decay_of[module.bias] == 0


def test_weight_average():
    """Two updates of a weight, a statistic and a counter, by hand."""
    model = nn.BatchNorm1d(1)
    average = WeightAverage(model, decay=0.5)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.running_mean.fill_(10.0)
        model.num_batches_tracked.fill_(1)

    average.update(model, 0)  # decay min(0.5, 1 / 10)
    assert average.model.weight.item() == pytest.approx(0.1 * 1 + 0.9 * 2)
    assert average.model.running_mean.item() == pytest.approx(9.0)
    assert average.model.num_batches_tracked.item() == 1

    for step in (100, 101, 102):
        average.update(model, step)
    assert average.model.weight.item() == pytest.approx(1.9)

    average.update(model, 103)  # counts for four: decay 0.5⁴
    assert average.model.weight.item() == pytest.approx(1.9 / 16 + 2 * 15 / 16)
    assert average.model.running_mean.item() == pytest.approx(9 / 16 + 10 * 15 / 16)


def test_the_average_is_a_network_of_its_own():
    """Training on does not change it, and it is not trained."""
    model = made.network()
    average = WeightAverage(model, decay=0.9)

    with torch.no_grad():
        next(model.parameters()).zero_()

    assert next(average.model.parameters()).abs().sum() > 0
    assert not any(p.requires_grad for p in average.model.parameters())
    assert not average.model.training
