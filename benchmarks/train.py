"""The training loop beside the same network on a batch that lies in memory: `make bench-train`.

A data set of JPEG files is imported into a real bucket and trained by the loop of TRAIN jobs, with
augmentation. After each epoch the same network takes steps on one random batch, which is all that
the machine can do; both in the same process, in turns, so that a busy neighbour slows them alike.
Read the ratios; that of processor time hardly depends on neighbours at all. The first epoch pays
for reading, decoding and resizing all images.

    python -m benchmarks.train [ARCHITECTURE [IMAGES [IMAGE_SIZE_PX]]]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import io
import statistics
import sys
import time
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from benchmarks.training import prepared
from common.data.loading import core_count
from common.training.distributed import alone
from common.training.loop import Trainer
from common.training.optimizers import make_optimizer
from common.training.setup import first_network
from nocode.vision.v1 import pipeline_pb2
from services.classification.task import ClassificationTask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from common.training.loop import Training

EPOCHS = 5


def archive(image_count: int) -> bytes:
    """Return a zip of JPEG files of 400×300 pixels in two classes, as smooth as photos are."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for number in range(image_count):
            rng = np.random.default_rng(number)
            coarse = Image.fromarray(rng.integers(0, 255, (15, 20, 3), dtype=np.uint8))
            photo = coarse.resize((400, 300), Image.Resampling.BICUBIC)
            jpeg = io.BytesIO()
            photo.save(jpeg, "JPEG", quality=90)
            file.writestr(f"{'ab'[number % 2]}/{number:05}.jpg", jpeg.getvalue())
    return content.getvalue()


class Resident:
    """The same network, trained on one batch that is there already."""

    def __init__(self, training: Training, network: nn.Module, device: torch.device) -> None:
        self._training = training
        self._device = device
        self._network = network.to(device).to(memory_format=torch.channels_last).train()
        self._optimizer = make_optimizer(self._network, training.config)
        self._scaler = training.precision.scaler(device)
        size, side = training.config.batch_size, training.config.image_size_px
        images = torch.randn(size, 3, side, side, device=device)
        self._images = images.to(memory_format=torch.channels_last)
        self._targets = [number % training.class_count for number in range(size)]

    def rates(self, seconds: float) -> tuple[float, float]:
        """Take steps for a while; return images a second, and a second of processor time."""
        self._step()
        count, started, busy = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - started < seconds:
            self._step()
            count += len(self._targets)
        return (
            count / (time.perf_counter() - started),
            count / (time.process_time() - busy),
        )

    def _step(self) -> None:
        training = self._training
        with training.precision.autocast(self._device):
            loss = training.learner.loss(
                self._network, self._images, self._targets, training.config, None
            )
        torch.autograd.backward(self._scaler.scale(loss))
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()
        loss.item()


class Bench:
    """Hears of each epoch, and lets the resident batch have its turn after it."""

    def __init__(self, resident: Resident, image_count: int, decode_s: float) -> None:
        self._resident = resident
        self._image_count = image_count
        self._decode_s = decode_s
        self._busy_from = self._busy_s = 0.0
        self.ratios: list[float] = []
        self.busy_ratios: list[float] = []

    def progress(self, **values: object) -> None:
        """Take the processor time from the first step of an epoch to its last."""
        if values.get("step") == 1:
            self._busy_from = time.process_time()
        if "step" in values and values["step"] == values["step_count"]:
            step_count = int(str(values["step"]))
            self._busy_s = (time.process_time() - self._busy_from) * step_count / (step_count - 1)

    def add_history(self, epoch: int, metrics: Mapping[str, float], ended_s: float) -> None:
        """Print the epoch beside its limit."""
        del ended_s
        loop, busy_loop = metrics["images_per_second"], self._image_count / self._busy_s
        epoch_s = self._image_count / loop
        limit, busy_limit = self._resident.rates(min(epoch_s, 20.0))
        self.ratios.append(loop / limit)
        self.busy_ratios.append(busy_loop / busy_limit)
        print(
            f"epoch {epoch}: loop {loop:.1f} images/s, resident batch {limit:.1f}, "
            f"ratio {loop / limit:.3f}; by processor time {busy_loop / busy_limit:.3f}",
            flush=True,
        )
        if epoch == 1:
            whole = self._image_count / (epoch_s + self._decode_s)
            print(
                f"  with the {self._decode_s:.1f} s of reading and decoding before it: "
                f"{whole:.1f} images/s, ratio {whole / limit:.3f}",
                flush=True,
            )


def main(architecture: str = "resnet18", images: str = "600", image_size_px: str = "0") -> None:
    """Measure one architecture with its recipe."""
    config = pipeline_pb2.TrainingConfig(
        epoch_count=EPOCHS,
        image_size_px=int(image_size_px),
        pretrained="none",
        early_stopping_patience=EPOCHS,
    )
    with prepared(ClassificationTask(), archive(int(images)), architecture, config) as ready:
        training_job, setup, device, decode_s = ready
        training, config = setup.training, setup.training.config
        print(
            f"{architecture}, {len(training.train)} images at {config.image_size_px} px, batch "
            f"{config.batch_size}, {config.precision} on {device}, augmentation "
            f"{config.augmentation}, {torch.get_num_threads()} threads of {core_count()} cores",
            flush=True,
        )
        ranks = alone(device)
        resident = Resident(training, first_network(training_job, setup, ranks), device)
        bench = Bench(resident, len(training.train), decode_s)
        network = first_network(training_job, setup, ranks)
        Trainer(training, network, ranks, bench).fit()
    for ratios, what in ((bench.ratios, "images/s"), (bench.busy_ratios, "processor time")):
        later = ratios[1:]
        print(
            f"From the second epoch on, by {what}: {statistics.median(later):.3f} of the resident "
            f"batch (median of {len(later)} epochs; least {min(later):.3f}, most {max(later):.3f})."
        )
    print("Promised: 0.90 by images/s.")


if __name__ == "__main__":
    main(*sys.argv[1:])
