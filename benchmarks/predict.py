"""What the service adds to calling a model: `make bench-predict`.

Resnet18 with random weights and one JPEG of 640 × 480 pixels:

- the same model in one process: one image at a time, and in batches with a thread that decodes,
  which is the limit for one replica;
- through the service and through the gateway, as real processes, at 1, 8 and 32 clients;
- at twice the service's capacity, with deadlines of a second;
- the service with a model that takes no time, beside a bare grpc.aio echo.

Clients are a process of their own. All ways take turns, in several rounds, so that a busy neighbour
slows them alike; figures are medians, and ratios are taken within each round.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from benchmarks.prediction import instant
from common.architectures import IMAGENET_MEAN, IMAGENET_STD
from common.storage import resources
from common.storage.bucket import Bucket
from deploy.local.process import Process, wait_until_ready
from deploy.local.stack import LocalStack
from nocode.vision.v1.model_pb2 import Model, Preprocessing
from nocode.vision.v1.prediction_pb2 import Image as ImageMessage
from nocode.vision.v1.prediction_pb2 import PredictRequest
from services.classification.architectures import classifiers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from common.settings import StorageSettings

CLIENTS = (1, 8, 32)
BATCH_SIZES = (1, 4, 8, 16)
ROUNDS = 5
SECONDS = 4.0
OVERLOAD_SECONDS = 8.0
DEADLINE_S = 1.0
START_S = 120.0

Figures = dict[str, float]


class Child:
    """A process that measures: a command as a line of JSON in, figures as a line of JSON out."""

    def __init__(self, module: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=os.environ | (env or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> dict[str, Any]:
        """Return the next line."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("A process of the benchmark ended.")
        return dict(json.loads(line))

    def do(self, what: str, **command: Any) -> Figures:
        """Send a command and return what was measured."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": what, **command}) + "\n")
        self._process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)


def jpeg() -> bytes:
    """Make a picture of 640 × 480 pixels that compresses to about 75 KB, as a photograph does."""
    rng = np.random.default_rng(0)
    size = (640, 480)
    pixels = np.zeros((480, 640, 3))
    for block in (4, 16, 64):  # detail of several sizes
        coarse = rng.integers(0, 256, (480 // block + 1, 640 // block + 1, 3), dtype=np.uint8)
        fine = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        pixels += np.asarray(fine) * block**0.5
    pixels *= 255 / pixels.max()
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=88)
    return file.getvalue()


def put_model(bucket: Bucket, name: str, architecture: str, network: nn.Module, size: int) -> None:
    """Write a network to the bucket as a training does."""
    weights = save(network.state_dict())
    model = Model(
        name=name,
        architecture=architecture,
        classes=["a", "b"],
        temperature=1.0,
        preprocessing=Preprocessing(
            image_size_px=size,
            resize="stretch",
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
        ),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_size_bytes=len(weights),
    )
    bucket.put(f"{name}/model.safetensors", weights)
    resources.models(bucket).create(name, model)


def storage_env(storage: StorageSettings) -> dict[str, str]:
    """Return the settings as environment variables."""
    return {f"NOCODE_{key.upper()}": value for key, value in storage.model_dump().items()}


@contextmanager
def server(module: str, folder: Path, *arguments: str, **env: str) -> Iterator[str]:
    """Run a server of the benchmark's own, and give its address."""
    ready = folder / f"{module}.json"
    command = [
        sys.executable,
        "-m",
        module,
        *(str(ready) if a == "READY" else a for a in arguments),
    ]
    process = Process(
        module, command, log=folder / f"{module}.log", env={"NOCODE_READY_FILE": str(ready), **env}
    )
    try:
        port = json.loads(wait_until_ready(process, ready, START_S))["port"]
        yield f"127.0.0.1:{port}"
    finally:
        process.stop()


def measure_model(
    load: Child, in_process: Child, service: str, gateway: str, rounds: int, seconds: float
) -> dict[str, list[Figures]]:
    """Measure resnet18, all ways by turns."""
    figures: dict[str, list[Figures]] = {}
    warm = [(in_process.do("batches", size=n, seconds=seconds)["rate"], n) for n in BATCH_SIZES]
    best_size = max(warm)[1]
    for address in (service, gateway):
        load.do("closed", address=address, clients=8, seconds=seconds)
    for _ in range(rounds):
        measured = {
            "in process, one by one": in_process.do("one_by_one", seconds=seconds),
            f"in process, batches of {best_size}": in_process.do(
                "batches", size=best_size, seconds=seconds
            ),
        }
        for clients in CLIENTS:
            for way, address in (("service", service), ("gateway", gateway)):
                measured[f"{way}, {clients} clients"] = load.do(
                    "closed", address=address, clients=clients, seconds=seconds
                )
        capacity = measured["service, 32 clients"]["rate"]
        overload = load.do(
            "overload",
            address=service,
            rate=2 * capacity,
            seconds=OVERLOAD_SECONDS,
            deadline_s=DEADLINE_S,
        )
        measured["overload"] = overload | {"ratio": overload["goodput"] / capacity}
        for way, result in measured.items():
            figures.setdefault(way, []).append(result)
        print(".", end="", flush=True)
    return figures


def measure_instant(
    load: Child, service: str, echo: str, rounds: int, seconds: float
) -> dict[str, list[Figures]]:
    """Measure the service without a model, and the echo, by turns."""
    figures: dict[str, list[Figures]] = {}
    for address in (service, echo):
        load.do("closed", address=address, clients=8, seconds=1.0)
    for _ in range(2 * rounds):
        for clients in CLIENTS:
            for way, address in (("echo", echo), ("instant", service)):
                result = load.do("closed", address=address, clients=clients, seconds=seconds / 2)
                figures.setdefault(f"{way}, {clients} clients", []).append(result)
        print(".", end="", flush=True)
    return figures


def median(figures: list[Figures], key: str) -> float:
    """Return the median of a figure over the rounds."""
    return statistics.median(figure[key] for figure in figures)


def ratio(ours: list[Figures], theirs: list[Figures], key: str) -> float:
    """Return the median of a ratio over the rounds."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(our[key] / their[key] for our, their in pairs)


def report_model(figures: dict[str, list[Figures]], precision: str) -> None:
    """Print the tables of resnet18."""
    alone = figures["in process, one by one"]
    limit = next(f for way, f in figures.items() if way.startswith("in process, batches"))
    print(f"\n\nresnet18 in {precision}, JPEG of 640 × 480, medians of {len(alone)} rounds\n")
    print(f"{'':<28}{'images/s':>10}{'÷ limit':>10}{'p50 ms':>10}{'÷ in process':>14}")
    for way, rows in figures.items():
        if way == "overload":
            continue
        line = f"{way:<28}{median(rows, 'rate'):>10.1f}{ratio(rows, limit, 'rate'):>10.2f}"
        if "p50_ms" in rows[0]:
            line += f"{median(rows, 'p50_ms'):>10.1f}{ratio(rows, alone, 'p50_ms'):>14.2f}"
        print(line)
    rows = figures["overload"]
    print(
        f"\ntwice the capacity offered, deadlines of {DEADLINE_S:g} s: "
        f"{median(rows, 'goodput'):.1f} good answers/s, {median(rows, 'ratio'):.2f} of capacity; "
        f"{median(rows, 'refused'):.0%} of calls told to try again;\n"
        f"afterwards a fresh call is answered within {median(rows, 'recovered_s'):.2f} s "
        f"(worst {max(row['recovered_s'] for row in rows):.2f} s)"
    )


def report_instant(figures: dict[str, list[Figures]]) -> None:
    """Print the table of the model that takes no time."""
    print("\n\nwithout a model: calls of the same 75 KB\n")
    print(f"{'':>8}{'echo':>10}{'service':>12}{'':>10}{'echo':>15}{'service':>10}")
    print(f"{'clients':>8}{'calls/s':>10}{'calls/s':>12}{'÷ echo':>10}{'p50 ms':>15}{'p50 ms':>10}")
    for clients in CLIENTS:
        echo, service = figures[f"echo, {clients} clients"], figures[f"instant, {clients} clients"]
        print(
            f"{clients:>8}{median(echo, 'rate'):>10.0f}{median(service, 'rate'):>12.0f}"
            f"{ratio(service, echo, 'rate'):>10.2f}{median(echo, 'p50_ms'):>15.2f}"
            f"{median(service, 'p50_ms'):>10.2f}"
        )


def main() -> None:
    """Start everything, measure, stop everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of one measurement")
    parser.add_argument("--only", choices=["model", "instant"])
    options = parser.parse_args()
    name = "tasks/classification/models/benchmark"
    instant_name = "tasks/classification/models/instant"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        image = jpeg()
        (folder / "image.jpg").write_bytes(image)
        for file, model in (("request", name), ("instant", instant_name)):
            request = PredictRequest(name=model, images=[ImageMessage(content=image)])
            (folder / file).write_bytes(request.SerializeToString())
        running = stack.enter_context(LocalStack(folder / "stack", services=["classification"]))
        bucket = Bucket(running.storage)
        torch.manual_seed(0)
        put_model(bucket, name, "resnet18", classifiers.get("resnet18").build(2), 224)
        put_model(bucket, instant_name, "instant", instant.instant(2), instant.IMAGE_SIZE_PX)
        env = storage_env(running.storage) | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        if options.only != "instant":
            load = Child("benchmarks.prediction.load", str(folder / "request"))
            stack.callback(load.close)
            in_process = Child(
                "benchmarks.prediction.in_process", name, str(folder / "image.jpg"), env=env
            )
            stack.callback(in_process.close)
            precision = in_process.read()["precision"]
            service, gateway = running.address_of("classification"), running.address
            measured = measure_model(
                load, in_process, service, gateway, options.rounds, options.seconds
            )
            report_model(measured, precision)
        if options.only != "model":
            load = Child("benchmarks.prediction.load", str(folder / "instant"))
            stack.callback(load.close)
            service = stack.enter_context(server("benchmarks.prediction.instant", folder, **env))
            echo = stack.enter_context(server("benchmarks.prediction.echo", folder, "READY"))
            report_instant(measure_instant(load, service, echo, options.rounds, options.seconds))


if __name__ == "__main__":
    main()
