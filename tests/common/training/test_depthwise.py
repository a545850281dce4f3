"""Strided depthwise convolutions: computed in fp32 on a CPU, and otherwise what they were."""

import copy

import pytest
import torch
from torch import nn

from common.training.depthwise import StridedDepthwise, quicken


def network():
    """A plain, a depthwise and a strided depthwise convolution."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16),
    )


@pytest.fixture
def pair():
    """The same network, as it is and quickened."""
    plain = network()
    quick = copy.deepcopy(plain)
    quicken(quick)
    return plain, quick


def test_only_what_is_slow_is_changed(pair):
    _, quick = pair

    assert [type(module) for module in quick] == [nn.Conv2d, nn.Conv2d, StridedDepthwise]


def test_weights_keep_their_names(pair):
    plain, quick = pair

    assert list(quick.state_dict()) == list(plain.state_dict())


def test_in_fp32_nothing_changes(pair):
    plain, quick = pair
    x = torch.randn(2, 3, 16, 16)

    assert torch.equal(quick(x), plain(x))


@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_in_bf16_it_is_nearer_to_fp32_than_bf16_is(pair, how):
    """The last convolution alone, on inputs that bf16 holds exactly."""
    plain, quick = pair
    x = torch.randn(2, 16, 16, 16).to(torch.bfloat16)
    exact = plain[2](x.float())

    def answer(module):
        if how == "weights":
            return copy.deepcopy(module).to(torch.bfloat16)(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return module(x)

    fast, slow = answer(quick[2]), answer(plain[2])
    assert fast.dtype == slow.dtype == torch.bfloat16
    assert (fast.float() - exact).abs().mean() <= (slow.float() - exact).abs().mean()


def test_gradients_flow(pair):
    x = torch.randn(2, 3, 16, 16)
    gradients = []
    for module in pair:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            module(x).float().square().sum().backward()
        gradients.append(module[0].weight.grad)

    assert torch.nn.functional.cosine_similarity(*(g.flatten() for g in gradients), dim=0) > 0.99
