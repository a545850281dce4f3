"""A batch too big for the memory is computed in parts; the step that it makes stays the same."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.errors import Exhausted
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


class Parts:
    """Into how many parts batches are split, found by trying.

    Attributes:
        count: Parts so far. It grows when memory runs out, and is kept for the batches to come.

    Args:
        count: Parts to begin with.
        grows: Whether to try again with more.
    """

    def __init__(self, count: int = 1, *, grows: bool = True) -> None:
        self.count = count
        self._grows = grows

    def run(
        self, size: int, part: Callable[[slice, bool], Tensor], undo: Callable[[], None]
    ) -> Tensor:
        """Call `part` for all parts of a batch of `size` images, and return the sum of its values.

        Args:
            size: Images in the batch.
            part: Given which images, and whether they are the last of the batch.
            undo: Drops what the parts have done, called before the batch is begun anew.

        Raises:
            Exhausted: Not even one image fits.
        """
        while True:
            slices = _slices(size, self.count)
            try:
                values = [part(where, where.stop == size) for where in slices]
                return torch.stack(values).sum()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handler, which holds on to the tensors of the attempt.
            if len(slices) == size or not self._grows:
                raise Exhausted(
                    Reason.OUT_OF_MEMORY,
                    f"{-(-size // len(slices))} images do not fit in the device's memory, and the "
                    "batch cannot be split further. Use a smaller training_config.image_size_px "
                    "or another architecture.",
                    field="training_config.image_size_px",
                )
            undo()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self.count *= 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch could not get memory; for the CPU it says so only in words."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextmanager
def normalizable(model: nn.Module, image_count: int) -> Iterator[None]:
    """Let a single image pass in training: it is normalized as in evaluation.

    Its own statistics would say nothing, or could not even be computed. A normalization that sees
    the other processes' images too stays as it is: it has more than one, and they wait for it.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.training and not sees_others(module)
    ]
    if image_count > 1:
        norms = []
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()


def sees_others(norm: nn.Module) -> bool:
    """Whether a normalization takes part in the exchange of statistics between processes."""
    return isinstance(norm, nn.SyncBatchNorm) and norm.process_group is None


def _slices(size: int, count: int) -> list[slice]:
    count = min(count, size)
    return [slice(size * i // count, size * (i + 1) // count) for i in range(count)]
