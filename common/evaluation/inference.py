"""A model's answers to many images of a data set, in order and in bounded memory."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

import torch

from common.data import transforms
from common.data.loading import ahead, core_count, resized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

    from common.data.manifest import Entry
    from common.data.reading import DatasetReader
    from common.jobs.context import JobContext
    from common.training.learner import Learner, Output
    from nocode.vision.v1.model_pb2 import Preprocessing

BATCH_SIZE = 16
"""Always the same, since the last digit of an answer may depend on it."""


def answers(
    context: JobContext,
    learner: Learner,
    network: nn.Module,
    preprocessing: Preprocessing,
    reader: DatasetReader,
    entries: Mapping[int, Entry],
) -> Iterator[tuple[int, Output]]:
    """Yield the index of each image and what the network says of it, in the order of `entries`.

    The network is in evaluation mode, in float32 and on the device to use. The same network and
    images give the same answers, to the last bit. Threads decode a few batches ahead.

    Raises:
        Internal: An image cannot be read any more.
    """

    def image(item: tuple[int, bytes]) -> tuple[int, Tensor]:
        index, data = item
        max_pixels = context.settings.max_image_pixels
        return index, resized(data, entries[index], preprocessing, max_pixels)

    files = zip(entries, reader.read_many(entries.values()), strict=True)
    images = ahead(image, files, threads=core_count(), depth=2 * BATCH_SIZE)
    device = next(network.parameters()).device
    started, done = time.monotonic(), 0
    while batch := list(islice(images, BATCH_SIZE)):
        images_N3SS = transforms.stack([image_3SS for _, image_3SS in batch]).to(device)
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True):
            outputs = learner.forward(network, transforms.normalize(images_N3SS, preprocessing))
        for (index, _), output in zip(batch, outputs, strict=True):
            yield index, output
        done += len(batch)
        context.progress(
            step=done,
            step_count=len(entries),
            images_per_second=done / max(time.monotonic() - started, 1e-9),
        )
