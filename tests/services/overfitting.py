"""The loop in which networks learn a few images by heart, with data and measures of any kind."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from common.training.optimizers import learning_rate
from common.training.precision import cpu_has_bf16

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

ENOUGH = 0.9


def autocast():
    """Compute in bf16, where this processor does."""
    return torch.autocast("cpu", dtype=torch.bfloat16) if cpu_has_bf16() else nullcontext()


def overfit(
    build: Callable[[], nn.Module],
    inputs_N3SS: Tensor,
    targets: Sequence,
    *,
    loss: Callable[[nn.Module, Tensor, Sequence], Tensor],
    measure: Callable[[nn.Module], float],
    peak_rate: float,
    step_limit: int,
    measured_every: int,
    most_norm: float = math.inf,
    log: Callable[[str], object] = print,
) -> tuple[float, nn.Module]:
    """Train on half of the images in turn until a measure on all is `ENOUGH`.

    Args:
        build: Makes a network with random weights.
        inputs_N3SS: The images.
        targets: What belongs to them, in the same order.
        loss: Of the network on some of both.
        measure: A number in [0, 1], of the network in evaluation mode.
        peak_rate: The highest learning rate.
        step_limit: Steps after which it is given up; the learning rate falls till then.
        measured_every: So many steps.
        most_norm: Gradients of a larger norm are cut to it.
        log: Told how far it is after each measurement.

    Returns:
        What was measured last, and the network, in evaluation mode.
    """
    torch.manual_seed(0)
    model = build().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0, fused=True)
    started, reached = time.monotonic(), 0.0
    for step in range(step_limit):
        model.train()
        rate = learning_rate(step, step_count=step_limit, warmup_step_count=20, peak=peak_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        half = slice(0, None, 2) if step % 2 else slice(1, None, 2)
        with autocast():
            value = loss(model, inputs_N3SS[half], targets[half])
        assert torch.isfinite(value)
        value.backward()
        if most_norm < math.inf:
            torch.nn.utils.clip_grad_norm_(model.parameters(), most_norm)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % measured_every == 0:
            model.eval()
            with torch.inference_mode(), autocast():
                reached = measure(model)
            seconds = time.monotonic() - started
            log(f"step {step + 1}, {seconds:.0f} s, loss {value.item():.3f}: {reached:.3f}")
            if reached >= ENOUGH:
                break
    return reached, model.eval()
