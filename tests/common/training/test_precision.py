"""Which arithmetic is chosen, and that the choice is the same every time."""

import pytest
import torch

from common.errors import InvalidInput
from common.training import precision
from common.training.precision import choose, cpu_has_bf16

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "name"),
    [
        pytest.param({"amx_bf16": True, "avx512_bf16": False}, "bf16", id="AMX"),
        pytest.param({"amx_bf16": False, "avx512_bf16": True}, "bf16", id="AVX512-BF16"),
        pytest.param({"avx2": True, "amx_int8": True}, "fp32", id="neither"),
    ],
)
def test_auto_on_a_cpu_asks_what_it_has(monkeypatch, capabilities, name):
    """Where bf16 has no instructions it is slower."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)

    assert choose("auto", CPU).name == name


def test_this_machine_answers():
    """With one of the two, and always the same."""
    assert choose("auto", CPU).name == ("bf16" if cpu_has_bf16() else "fp32")


@pytest.mark.parametrize(("native", "name"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu(monkeypatch, native, name):
    """GPUs before Ampere have only fp16."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: native)

    assert choose("auto", CUDA).name == name


@pytest.mark.parametrize(("wanted", "device"), [("fp32", CPU), ("bf16", CPU), ("fp16", CUDA)])
def test_what_is_asked_for_is_done(wanted, device):
    """Even if something else would be faster."""
    assert choose(wanted, device).name == wanted


def test_fp16_is_refused_on_a_cpu():
    """It would train badly; the message says what to send."""
    with pytest.raises(InvalidInput) as caught:
        choose("fp16", CPU)

    assert caught.value.field == "training_config.precision"
    assert "Send auto, fp32 or bf16." in caught.value.message


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_computed_in_it(name, dtype):
    """And nothing else is changed."""
    layer = torch.nn.Linear(4, 4)

    with precision.Precision(name, "").autocast(CPU):
        assert layer(torch.rand(2, 4)).dtype == dtype
    assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize(("name", "enabled"), [("fp32", False), ("bf16", False), ("fp16", True)])
def test_only_fp16_needs_its_gradients_scaled(name, enabled):
    """The others have the range of fp32."""
    assert precision.Precision(name, "").scaler(CPU).is_enabled() == enabled
