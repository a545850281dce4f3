"""Batches for training and validation, made by other threads while the network is at work.

Shape letters: N images, H height, W width, 3 colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from common.data import transforms
from common.data.loading import ahead, core_count, even_batches
from common.errors import InvalidInput
from common.reasons import Reason
from common.training.learner import Phase
from common.training.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from torch import Tensor

    from common.data.loading import ImageStore
    from common.training.distributed import Ranks
    from common.training.learner import Learner, Target
    from nocode.vision.v1.model_pb2 import Preprocessing
    from nocode.vision.v1.pipeline_pb2 import TrainingConfig

# On a CPU the network uses all cores, so one thread that makes batches is enough; a GPU leaves
# them free, and needs several to be kept busy.
_MOST_THREADS = 8
_BATCHES_AHEAD = 2


@dataclass(frozen=True)
class Subset:
    """Images to train or validate on.

    Attributes:
        images: Their pixels, by row.
        indices: The place of each in the data set, by row.
        targets: What should be said of each, by row.
    """

    images: ImageStore
    indices: Sequence[int]
    targets: Sequence[Target]

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class Batch:
    """A process's share of a batch.

    Attributes:
        images_N3HW: What `Batches.ready` makes the network's input of, whole or in parts.
        targets: One for each image.
        total: Images in the whole batch, over all processes.
    """

    images_N3HW: Tensor
    targets: Sequence[Target]
    total: int


class Batches:
    """Makes the batches of a training.

    Args:
        learner: Says how images may be varied.
        config: Settings, all filled in.
        preprocessing: How images become the network's input.
        architecture: What is trained.
        ranks: The processes that train together.
    """

    def __init__(
        self,
        learner: Learner,
        config: TrainingConfig,
        preprocessing: Preprocessing,
        architecture: str,
        ranks: Ranks,
    ) -> None:
        self._learner = learner
        self._config = config
        self._preprocessing = preprocessing
        self._architecture = architecture
        self._ranks = ranks
        self._cuda = ranks.device.type == "cuda"
        share = max(1, core_count() // ranks.count - 1)
        self._threads = min(_MOST_THREADS, share) if self._cuda else 1

    def train(self, subset: Subset, epoch: int) -> Generator[Batch]:
        """Yield the batches of an epoch: shuffled, varied, as the seed and the epoch say."""
        generator = torch.Generator().manual_seed(derive(self._config.seed, "order", epoch))
        order = torch.randperm(len(subset), generator=generator).tolist()
        return self._ahead(
            lambda rows: self._varied(subset, epoch, rows),
            even_batches(order, self._config.batch_size),
        )

    def largest(self, subset: Subset) -> Batch:
        """Return a batch as large as any of an epoch, to try out what fits in memory."""
        return self._varied(
            subset, 0, even_batches(range(len(subset)), self._config.batch_size)[-1]
        )

    def plain(self, subset: Subset, batch_size: int) -> Generator[Batch]:
        """Yield images as they are, in order."""

        def make(rows: Sequence[int]) -> Batch:
            images_N3HW = self._prepared(subset.images.batch(rows))
            return Batch(images_N3HW, [subset.targets[row] for row in rows], len(rows))

        share = self._ranks.share(range(len(subset)))
        return self._ahead(make, even_batches(share, batch_size) if share else [])

    def ready(self, images_N3HW: Tensor) -> Tensor:
        """Return the network's input, on its device, for images of a batch.

        Of as many as are computed at once: as floats, a large batch may not fit in its memory.
        """
        if not self._cuda:
            return images_N3HW
        images_N3HW = images_N3HW.to(self._ranks.device, non_blocking=True)
        return transforms.normalize(images_N3HW, self._preprocessing)

    def _varied(self, subset: Subset, epoch: int, rows: Sequence[int]) -> Batch:
        """Make this process's share of a batch to train on."""
        share = self._ranks.share(rows)
        seed = self._config.seed
        phase = Phase(
            self._architecture,
            self._config.augmentation,
            done=max(epoch - 1, 0) / self._config.epoch_count,
        )
        generators = [
            torch.Generator().manual_seed(derive(seed, "augment", epoch, subset.indices[row]))
            for row in share
        ]
        images_N3HW, targets = self._learner.augment(
            subset.images.batch(share),
            [subset.targets[row] for row in share],
            phase,
            generators,
        )
        return Batch(self._prepared(images_N3HW), targets, len(rows))

    def _ahead(self, make: Callable[[list[int]], Batch], rows: list[list[int]]) -> Generator[Batch]:
        depth = _BATCHES_AHEAD + self._threads
        yield from ahead(make, rows, threads=self._threads, depth=depth)

    def _prepared(self, images_N3HW: Tensor) -> Tensor:
        """Do what can be done away from the device: bytes travel faster than floats."""
        if self._cuda:
            return images_N3HW.pin_memory()
        return transforms.normalize(images_N3HW, self._preprocessing)


def check_shares(smallest_batch: int, config: TrainingConfig, rank_count: int) -> None:
    """Return if every process gets an image of every batch.

    Raises:
        InvalidInput: One would get none.
    """
    if smallest_batch < rank_count:
        raise InvalidInput(
            Reason.FIELD_OUT_OF_RANGE,
            f"A batch has {smallest_batch} images, but each of the {rank_count} devices needs at "
            "least one. Send a larger training_config.batch_size, or import more images.",
            field="training_config.batch_size",
            value=config.batch_size,
        )
