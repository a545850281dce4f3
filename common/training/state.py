"""What a training consists of between two epochs, as tensors by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from common.training.optimizers import WeightAverage

    Tensors = dict[str, Tensor]


def capture(
    model: nn.Module, average: WeightAverage | None, optimizer: torch.optim.Optimizer
) -> Tensors:
    """Return weights, their average and the optimizer's memory; not copies."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    if average:
        tensors |= {f"average.{name}": t for name, t in average.model.state_dict().items()}
    for number, parameter in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state[parameter].items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{number}.{key}"] = value
    return tensors


def restore(
    tensors: Tensors,
    model: nn.Module,
    average: WeightAverage | None,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Put back what `capture` returned, in the memory layout that it had."""
    model.load_state_dict(_under("model.", tensors))
    if average:
        average.model.load_state_dict(_under("average.", tensors))
    memory = {
        number: {
            key: torch.empty_like(parameter).copy_(value)
            if value.shape == parameter.shape
            else value
            for key, value in _under(f"optimizer.{number}.", tensors).items()
        }
        for number, parameter in enumerate(_parameters(optimizer))
    }
    # It knows which tensors, such as the count of steps, belong on the device.
    optimizer.load_state_dict(
        {
            "state": {number: values for number, values in memory.items() if values},
            "param_groups": optimizer.state_dict()["param_groups"],
        }
    )


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
