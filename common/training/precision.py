"""The arithmetic that training uses, and why."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from common.errors import InvalidInput
from common.reasons import Reason

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Precision:
    """What was chosen.

    Attributes:
        name: `fp32`, `bf16` or `fp16`: what convolutions and matrix products are computed in.
            Weights, their gradients and sums stay in fp32.
        why: For the job's owner, e.g. `the GPU computes it natively`.
    """

    name: str
    why: str

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context that a forward pass runs in."""
        if self.name == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.name == "bf16" else torch.float16
        return torch.autocast(device.type, dtype=dtype)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Return what keeps small gradients of fp16 from vanishing; it does nothing otherwise."""
        return torch.amp.GradScaler(device.type, enabled=self.name == "fp16")


def choose(wanted: str, device: torch.device) -> Precision:
    """Decide on the arithmetic for a device.

    `auto` asks what the hardware has, and times nothing: the same machine always answers the same,
    as equal weights from equal seeds need.

    Raises:
        InvalidInput: The device cannot do what is wanted.
    """
    if wanted == "fp16" and device.type != "cuda":
        raise InvalidInput(
            Reason.FIELD_NOT_A_CHOICE,
            f"training_config.precision is fp16, which trains only on CUDA, but this server "
            f"trains on {device.type}. Send auto, fp32 or bf16.",
            field="training_config.precision",
            value=wanted,
        )
    if wanted != "auto":
        return Precision(wanted, "it was asked for")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision("bf16", "the GPU computes it natively")
        return Precision("fp16", "the GPU has no native bf16")
    if cpu_has_bf16():
        return Precision("bf16", "the CPU has instructions for it (AMX or AVX512-BF16)")
    return Precision("fp32", "the CPU has no instructions for bf16 (AMX or AVX512-BF16)")


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 matrices in hardware; elsewhere bf16 is slower than fp32."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def to_bf16(module: nn.Module) -> nn.Module:
    """Copy a network to bf16.

    The statistics of batch normalization stay in fp32: rounded to 8 bits, they cost more of the
    answer than all the products together, and save nothing.
    """
    fast = copy.deepcopy(module).to(torch.bfloat16)
    for norm, exact in zip(fast.modules(), module.modules(), strict=True):
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.float().load_state_dict(exact.state_dict())
    return fast
