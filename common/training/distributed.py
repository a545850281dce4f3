"""Training on several devices: one process each, started by torchrun.

The processes ("ranks") hold equal weights, take equal shares of every batch and average their
gradients, so that a step is the step that one device would take.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor, nn

T = TypeVar("T")

# A rank waits for the others this long; the first may be writing a checkpoint.
_TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class Ranks:
    """One process's place among those that train together.

    Attributes:
        rank: From 0; the first one writes and reports.
        count: Number of processes.
        device: The device of this one.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's part of a list."""
        return items[self.rank :: self.count]

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return what the forward pass in training goes through, so that gradients are averaged."""
        if self.count == 1:
            return model
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices)

    def synchronized(self, model: nn.Module) -> nn.Module:
        """Let normalizations see the whole batch, where that is implemented: on GPUs."""
        if self.count == 1 or self.device.type != "cuda":
            return model
        convert: Callable[[nn.Module], nn.Module] = torch.nn.SyncBatchNorm.convert_sync_batchnorm
        return convert(model)

    def synchronize(self, model: nn.Module, *, on: bool) -> None:
        """Let normalizations that were `synchronized` see the whole batch, or their share only.

        While that is on, all processes must go through the network equally often. All of them
        call this.
        """
        norms = [norm for norm in model.modules() if isinstance(norm, torch.nn.SyncBatchNorm)]
        group = None
        if norms and not on:
            group, _ = dist.new_subgroups(group_size=1)
        for norm in norms:
            norm.process_group = group

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of the first rank."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def agree(self, value: T) -> T:
        """Return the first rank's value."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def largest(self, value: int) -> int:
        """Return the largest of all ranks' values."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, device=self.device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return int(tensor.item())

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum over all ranks."""
        if self.count > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def gather(self, items: Sequence[T]) -> list[T]:
        """Put lists that `share` has parted together again."""
        if self.count == 1:
            return list(items)
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, list(items))
        whole: list[Any] = [None] * sum(len(part) for part in parts)
        for rank, part in enumerate(parts):
            whole[rank :: self.count] = part
        return whole


def unsynchronized(network: nn.Module, last: bool) -> AbstractContextManager[object]:
    """Let processes exchange gradients only once a batch, with its last part."""
    if isinstance(network, DistributedDataParallel) and not last:
        return network.no_sync()
    return nullcontext()


def alone(device: torch.device) -> Ranks:
    """Return the place of a process that trains by itself."""
    return Ranks(0, 1, device)


@contextmanager
def join(device_setting: str) -> Iterator[Ranks]:
    """Meet the other processes that torchrun has started with this one.

    Args:
        device_setting: `Settings.device`; with `cpu` no GPU is used even if there are some.
    """
    cuda = device_setting != "cpu" and torch.cuda.is_available()
    local_rank = int(os.environ["LOCAL_RANK"])
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_TIMEOUT)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def machine_count() -> int:
    """Return how many machines share a training: whoever starts workers on several says so."""
    return int(os.environ.get("PET_NNODES", "1"))


def torchrun(process_count: int, module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module in several processes on this machine.

    If others take part, torchrun reads from `PET_…` variables which, and where the first one is.
    """
    return [
        *(sys.executable, "-m", "torch.distributed.run"),
        *(() if machine_count() > 1 else ("--standalone",)),
        *("--nproc-per-node", str(process_count), "--module", module, *arguments),
    ]
