"""A network ready to answer, and the arithmetic that it answers in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from common.serving import network
from common.serving.models import _build
from nocode.vision.v1.model_pb2 import Model, Preprocessing
from services.classification.architectures import classifiers
from services.classification.learner import ClassificationLearner
from tests.common.data.pictures import encode, picture

CPU = torch.device("cpu")


def a_model(size_px: int = 64) -> Model:
    return Model(
        name="tasks/classification/models/m",
        classes=["a", "b", "c"],
        temperature=1.0,
        preprocessing=Preprocessing(
            image_size_px=size_px, resize="stretch", mean=[0.5] * 3, std=[0.25] * 3
        ),
    )


def small(offset: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(128, 3),
    ).eval()
    with torch.no_grad():
        module[-1].bias.add_(offset)
    return module.requires_grad_(False)


def made(module: nn.Module, precision: str) -> network.Network:
    return network.make(a_model(), module, ClassificationLearner(), CPU, precision)


@pytest.fixture
def bf16_hardware(monkeypatch):
    """This machine may have none; its bf16 is slow then, and counts the same."""
    monkeypatch.setattr(network, "has_bf16", lambda _: True)


def test_auto_is_fp32_without_the_hardware(monkeypatch):
    monkeypatch.setattr(network, "has_bf16", lambda _: False)

    assert made(small(), "auto").precision == "fp32"


def test_auto_is_bf16_where_the_answers_agree(bf16_hardware):
    fast, exact = made(small(), "auto"), made(small(), "fp32")
    probes = [fast.prepare(encode(picture(seed=seed)), 10**6).image_3SS for seed in range(8)]

    assert (fast.precision, exact.precision) == ("bf16", "fp32")
    assert fast.size_bytes < exact.size_bytes
    ours, references = fast.forward(probes), exact.forward(probes)
    assert {output.dtype for output in ours} == {torch.float32}
    assert fast.learner.difference(ours, references, fast.model) <= fast.learner.tolerance


def test_auto_is_fp32_where_the_answers_do_not_agree(bf16_hardware):
    """Near 1,000, bf16 knows only every fourth number."""
    assert made(small(1000.0), "auto").precision == "fp32"


def test_what_the_operator_asks_for_is_done(bf16_hardware):
    assert made(small(), "fp32").precision == "fp32"
    assert made(small(1000.0), "bf16").precision == "bf16"


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_real_architectures_agree_in_bf16(bf16_hardware, name):
    torch.manual_seed(0)
    module = classifiers.get(name).build(3).eval().requires_grad_(False)

    assert made(module, "auto").precision == "bf16"


def test_a_batch_is_answered_as_each_image_alone():
    answering = made(small(), "fp32")
    probes = [answering.prepare(encode(picture(seed=seed)), 10**6).image_3SS for seed in range(8)]

    together = answering.forward(probes)

    for probe, output in zip(probes, together, strict=True):
        assert torch.allclose(answering.forward([probe])[0], output, atol=1e-5)


def test_a_warmed_up_network_knows_its_times():
    answering = made(small(), "fp32")
    answering.warm_up(8)

    assert answering.times.expected(1) > 0
    assert answering.times.expected(8) > 0


@pytest.mark.parametrize(("longest_s", "sizes"), [(60.0, [1, 1, 8]), (0.0, [1])])
def test_a_slow_network_is_not_warmed_up_with_a_whole_batch(longest_s, sizes, monkeypatch):
    """Whoever asked for the model waits meanwhile."""
    monkeypatch.setattr(network, "_LONGEST_WARM_UP_S", longest_s)
    module, seen = small(), []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    answering = made(module, "fp32")

    answering.warm_up(8)

    assert seen == sizes
    assert answering.times.expected(8) > 0


@pytest.mark.parametrize("entry", list(classifiers), ids=lambda entry: entry.name)
def test_every_architecture_is_rebuilt_from_its_weights(entry):
    """Without drawing random weights first, nothing may stay undefined."""
    original = entry.build(3).eval()
    rebuilt = _build(entry.build, 3, original.state_dict()).eval()
    image = torch.randn(1, 3, 64, 64)

    with torch.inference_mode():
        assert torch.equal(rebuilt(image), original(image))
