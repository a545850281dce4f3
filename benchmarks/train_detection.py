"""Training of detectors beside torchvision's own plain loop: `make bench-train-detection`.

Both train the same network on the same photos of blood cells, with the same batch size, image size
and optimizer, from the files in an archive or a folder: decode, vary, step. The plain loop is what
torchvision's detection references do: a `DataLoader` whose workers decode with torchvision.io and
vary with its transforms (mirroring; for SSD also its crops and colours), and a network that resizes
by itself. They take turns epoch by epoch in one process, so that a busy neighbour slows them alike.

    python -m benchmarks.train_detection [ARCHITECTURE …]

Two ratios are printed. The first has both in the arithmetic that we choose for this machine, the
second has the plain loop in fp32, as torchvision has it unless told otherwise. What decoding costs
us once, before the first epoch, is said apart.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import contextlib
import io
import random
import statistics
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torchvision
from torch import Tensor
from torchvision import tv_tensors
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import v2

from benchmarks.training import prepared
from common.data.loading import core_count
from common.objects.targets import truth
from common.training.distributed import alone
from common.training.loop import Trainer
from common.training.optimizers import make_optimizer
from common.training.setup import first_network
from nocode.vision.v1 import pipeline_pb2
from services.detection.architectures import detectors
from services.detection.task import DetectionTask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from common.data.manifest import Entry
    from common.training.setup import Setup

ROOT = Path(__file__).resolve().parents[1]
ARCHIVE = ROOT / "examples/detection/blood_cells.zip"
EPOCHS = 4
WITHOUT_BACKGROUND = {"retinanet_resnet50_fpn_v2"}


class Files(torch.utils.data.Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """The same photos as files, decoded and varied as torchvision's references do."""

    def __init__(self, entries: list[Entry], architecture: str) -> None:
        with zipfile.ZipFile(ARCHIVE) as archive:
            self._files = [archive.read(entry.file) for entry in entries]
        self._truths = [truth(entry.annotation) for entry in entries]
        self._first_label = 0 if architecture in WITHOUT_BACKGROUND else 1
        crops = [v2.RandomPhotometricDistort(), v2.RandomZoomOut(), v2.RandomIoUCrop()]
        self._vary = v2.Compose(
            [
                *(
                    crops
                    if architecture.startswith("ssd300")
                    else crops[2:] * ("ssd" in architecture)
                ),
                v2.RandomHorizontalFlip(),
                v2.SanitizeBoundingBoxes(),
                v2.ToDtype(torch.float, scale=True),
                v2.ToPureTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        encoded = torch.frombuffer(bytearray(self._files[index]), dtype=torch.uint8)
        image = torchvision.io.decode_jpeg(encoded)
        found = self._truths[index]
        boxes = tv_tensors.BoundingBoxes(
            torch.from_numpy(found.boxes_K4), format="XYXY", canvas_size=image.shape[-2:]
        )
        target = {"boxes": boxes, "labels": torch.from_numpy(found.labels_K) + self._first_label}
        varied: tuple[Tensor, dict[str, Tensor]] = self._vary(tv_tensors.Image(image), target)
        return varied


class PlainLoop:
    """torchvision's model and data loading, in the loop that anybody would write."""

    def __init__(self, setup: Setup, entries: list[Entry], *, in_fp32: bool) -> None:
        training = setup.training
        self._config = training.config
        self._autocast = contextlib.nullcontext if in_fp32 else self._our_autocast
        self._training = training
        name, size = setup.entry.name, self._config.image_size_px
        # The same network, but for its first module: images come in one by one, as they are.
        self._network = setup.entry.build(training.class_count).train()
        self._network.transform = GeneralizedRCNNTransform(
            size,
            size,
            list(setup.entry.mean),
            list(setup.entry.std),
            fixed_size=(size, size) if name.startswith("ssd") else None,
        )
        self._optimizer = make_optimizer(self._network, self._config)
        self._loader = torch.utils.data.DataLoader(
            Files(entries, name),
            batch_size=self._config.batch_size,
            shuffle=True,
            num_workers=core_count(),
            collate_fn=lambda batch: tuple(zip(*batch, strict=True)),
            persistent_workers=True,
        )

    def _our_autocast(self) -> Any:
        return self._training.precision.autocast(torch.device("cpu"))

    def epoch(self) -> float:
        """Train on every image once; return images a second."""
        started, count = time.perf_counter(), 0
        for images, targets in self._loader:
            with self._autocast():
                losses = self._network(list(images), list(targets))
                loss = sum(losses.values())
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            loss.item()
            count += len(images)
        return count / (time.perf_counter() - started)


class Bench:
    """Hears of each of our epochs, and lets the plain loops have their turns after it."""

    def __init__(self, plain: list[PlainLoop]) -> None:
        self._plain = plain
        self.ours: list[float] = []
        self.theirs: list[list[float]] = []

    def progress(self, **values: object) -> None:
        """Needs nothing of what goes on within an epoch."""

    def add_history(self, epoch: int, metrics: Mapping[str, float], ended_s: float) -> None:
        """Take turns."""
        del ended_s
        self.ours.append(metrics["images_per_second"])
        self.theirs.append([loop.epoch() for loop in self._plain])
        print(
            f"  epoch {epoch}: ours {self.ours[-1]:.2f} images/s, plain loop "
            + ", ".join(f"{rate:.2f}" for rate in self.theirs[-1]),
            flush=True,
        )


def measure(architecture: str) -> None:
    """Measure one architecture with its recipe."""
    recipe = detectors.get(architecture).recipe
    config = pipeline_pb2.TrainingConfig(
        epoch_count=EPOCHS, pretrained="none", early_stopping_patience=EPOCHS
    )
    archive = smaller(ARCHIVE.read_bytes(), 4 * recipe.batch_size)
    with prepared(DetectionTask(), archive, architecture, config) as ready:
        training = ready.setup.training
        print(
            f"{architecture}, {len(training.train)} images at {training.config.image_size_px} px, "
            f"batch {training.config.batch_size}, {training.config.precision}, "
            f"{torch.get_num_threads()} threads",
            flush=True,
        )
        entries = training_entries(ready.job, ready.setup)
        plain = [PlainLoop(ready.setup, entries, in_fp32=in_fp32) for in_fp32 in (False, True)]
        bench = Bench(plain)
        ranks = alone(ready.device)
        network = first_network(ready.job, ready.setup, ranks)
        Trainer(training, network, ranks, bench).fit()
    for number, what in enumerate(("in the same arithmetic", "in fp32")):
        ratios = [
            ours / theirs[number]
            for ours, theirs in zip(bench.ours[1:], bench.theirs[1:], strict=True)
        ]
        print(
            f"  {statistics.median(ratios):.2f} times the plain loop {what} (median of "
            f"{len(ratios)} epochs; least {min(ratios):.2f}); decoding once took "
            f"{ready.decode_s:.1f} s",
            flush=True,
        )


def training_entries(job: Any, setup: Setup) -> list[Entry]:
    """Return the manifest's entries of the training images."""
    from common.data.reading import DatasetReader  # noqa: PLC0415

    entries = DatasetReader(job.bucket, setup.dataset.name).entries()
    return [entries[index] for index in setup.training.train.indices]


def smaller(archive: bytes, image_count: int) -> bytes:
    """Return an archive with only some of the training photos, and one to validate and test on."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as whole, zipfile.ZipFile(content, "w") as part:
        sets = {
            name: whole.read(f"blood_cells/ImageSets/Main/{name}.txt").decode().split()
            for name in ("train", "val", "test")
        }
        random.Random(0).shuffle(sets["train"])
        counts = {"train": image_count, "val": 1, "test": 1}
        for name, stems in sets.items():
            kept = stems[: counts[name]]
            part.writestr(f"blood_cells/ImageSets/Main/{name}.txt", "\n".join(kept))
            for stem in kept:
                for path in (f"Annotations/{stem}.xml", f"JPEGImages/{stem}.jpg"):
                    part.writestr(f"blood_cells/{path}", whole.read(f"blood_cells/{path}"))
    return content.getvalue()


def main(architectures: list[str]) -> None:
    """Measure each architecture that torchvision has."""
    for architecture in architectures or [
        entry.name for entry in detectors if hasattr(torchvision.models.detection, entry.name)
    ]:
        measure(architecture)
    print("Promised: 1.0 by images/s.")


if __name__ == "__main__":
    main(sys.argv[1:])
