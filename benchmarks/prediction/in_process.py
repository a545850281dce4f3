"""The same model called without a service: what a service can at best come near.

`python -m benchmarks.prediction.in_process MODEL IMAGE_FILE` reads one command a line as JSON from
standard input, and writes what it measured as a line of JSON. Decoding and making answers count.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING

import torch

from common.allocator import keep_freed_memory
from common.serving import models, network
from common.settings import ServiceSettings, load
from common.storage.bucket import Bucket
from nocode.vision.v1.prediction_pb2 import PredictOptions
from services.classification.task import ClassificationTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from common.serving.network import Network, Prepared

BATCHES_AHEAD = 2


class InProcess:
    """A model, and one image again and again."""

    def __init__(self, settings: ServiceSettings, model_name: str, image: bytes) -> None:
        torch.set_num_threads(settings.torch_threads)
        learner = ClassificationTask().learner()
        module, model = models.load_model(Bucket(settings), model_name, learner.registry)
        self.network: Network = network.make(
            model, module, learner, torch.device("cpu"), settings.predict_precision
        )
        self._image = image
        self._max_pixels = settings.max_image_pixels

    def one_by_one(self, seconds: float) -> dict[str, float]:
        """Decode and answer one image after another."""
        times_s = []
        began = time.perf_counter()
        while (sent := time.perf_counter()) < began + seconds:
            self._answer([self._prepare()])
            times_s.append(time.perf_counter() - sent)
        rate = len(times_s) / (time.perf_counter() - began)
        return {"rate": rate, "p50_ms": statistics.median(times_s) * 1000}

    def batches(self, size: int, seconds: float) -> dict[str, float]:
        """Answer batches, while a thread decodes the next ones."""
        ready: Queue[list[Prepared]] = Queue(BATCHES_AHEAD)
        stop = threading.Event()

        def decode() -> None:
            while not stop.is_set():
                ready.put([self._prepare() for _ in range(size)])

        thread = threading.Thread(target=decode)
        thread.start()
        count = 0
        began = time.perf_counter()
        while time.perf_counter() < began + seconds:
            count += self._answer(ready.get())
        rate = count / (time.perf_counter() - began)
        stop.set()
        while thread.is_alive():
            while not ready.empty():
                ready.get()
            thread.join(0.01)
        return {"rate": rate}

    def _prepare(self) -> Prepared:
        return self.network.prepare(self._image, self._max_pixels)

    def _answer(self, batch: list[Prepared]) -> int:
        outputs = self.network.forward([prepared.image_3SS for prepared in batch])
        answers = [
            self.network.learner.predict(
                output, self.network.model, prepared.width, prepared.height, PredictOptions()
            )
            for output, prepared in zip(outputs, batch, strict=True)
        ]
        return len(answers)


def main() -> None:
    """Do what standard input says, until it ends."""
    keep_freed_memory()
    model, image_file = sys.argv[1:]
    called = InProcess(load(ServiceSettings), model, Path(image_file).read_bytes())
    print(json.dumps({"precision": called.network.precision}), flush=True)
    measures: dict[str, Callable[..., dict[str, float]]] = {
        "one_by_one": called.one_by_one,
        "batches": called.batches,
    }
    while line := sys.stdin.readline():
        command = json.loads(line)
        print(json.dumps(measures[command.pop("do")](**command)), flush=True)


if __name__ == "__main__":
    main()
