"""How weights move: optimizers, the learning rate over the steps, the average of weights."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from nocode.vision.v1 import pipeline_pb2

OPTIMIZERS = ("adamw", "sgd")

# Steps between two updates of the average.
_EVERY = 4


def make_optimizer(model: nn.Module, config: pipeline_pb2.TrainingConfig) -> torch.optim.Optimizer:
    """Make the optimizer that the configuration names.

    Weights of normalizations and biases do not decay: they have no scale that could grow without
    changing the function, or nothing to regularize.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (decayed if parameter.ndim > 1 else plain).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if config.optimizer == "adamw":
        # One pass over the weights instead of ten: on a CPU a sixth of a small batch's step.
        return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    raise ValueError(f"{config.optimizer!r} is none of {OPTIMIZERS}")


def learning_rate(step: int, *, step_count: int, warmup_step_count: int, peak: float) -> float:
    """Return the learning rate of a step, counted from 0.

    It rises evenly to `peak`, reached with the last step of the warm-up, then falls along half a
    cosine, to reach 0 with the step after the last. A warm-up is never longer than half of the
    training.

    Source: Loshchilov, Hutter, "SGDR", 2016, https://arxiv.org/abs/1608.03983 (without restarts)
    """
    warmup_step_count = min(warmup_step_count, step_count // 2)
    if step < warmup_step_count:
        return peak * (step + 1) / warmup_step_count
    done = (step - warmup_step_count) / (step_count - warmup_step_count)
    return peak * (1 + math.cos(math.pi * done)) / 2


class WeightAverage:
    """An exponential moving average of a network's weights and statistics.

    The average of the last steps is a better network than the last step, above all early in
    training and with small batches.

    Source: Polyak, Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 0.

        The first steps count for more, so that the random start is soon forgotten. After them only
        every fourth step is taken in, which then counts as four: it costs a quarter.
        """
        taken = 1 if step < _EVERY else _EVERY
        if (step + 1) % taken:
            return
        decay = min(self._decay, (step + 1) / (step + 10)) ** taken
        averages, currents = _tensors(self.model), _tensors(model)
        floats = [a.is_floating_point() for a in averages]
        torch._foreach_lerp_(  # in one launch, as torch.optim.swa_utils does it
            [a for a, is_float in zip(averages, floats, strict=True) if is_float],
            [c for c, is_float in zip(currents, floats, strict=True) if is_float],
            1 - decay,
        )
        for average, current, is_float in zip(averages, currents, floats, strict=True):
            if not is_float:
                average.copy_(current)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
