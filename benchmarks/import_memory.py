"""What an import of many images takes: `make bench-import`.

Makes JPEGs, imports them in a worker as a service starts it, and prints the worker's peak memory
and its speed beside that of decoding the same images and doing nothing else, with as many threads.
The ratio of processor time holds on a busy machine too.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from common import names
from common.catalog.datasets import Datasets
from common.data import images
from common.jobs import states
from common.jobs.store import Jobs
from common.settings import MIB, ServiceSettings
from common.storage.bucket import Bucket
from deploy.local.embedded_s3 import EmbeddedS3
from nocode.vision.v1 import dataset_pb2, dataset_source_pb2
from services.classification.task import ClassificationTask

if TYPE_CHECKING:
    from common.settings import StorageSettings
    from nocode.vision.v1 import job_pb2

CLASS_COUNT = 20
MAX_MEMORY_BYTES = 600 * MIB
DECODED = 2000


def main() -> None:
    """Measure, print, and exit with status 1 if the import took more memory than promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--height", type=int, default=360)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedS3() as s3:
        archive = Path(folder) / "archive.tar"
        print(f"making {options.images} JPEGs of {options.width} × {options.height} pixels")
        sample = make_archive(archive, options.images, options.width, options.height)
        print(f"archive: {archive.stat().st_size / MIB:.0f} MiB")

        imported, memory_bytes = measure_import(archive, s3.settings, Path(folder))
        decoded = measure_decoding(sample)
    imported = Cost(imported.seconds / options.images, imported.cpu_seconds / options.images)
    for what, cost in (("import", imported), ("decoding alone", decoded)):
        print(f"{what}: {1 / cost.seconds:.0f} images/s, {cost.cpu_seconds * 1000:.2f} ms CPU each")
    print(f"speed, import to decoding alone: {decoded.seconds / imported.seconds:.2f}")
    print(f"CPU, decoding alone to import: {decoded.cpu_seconds / imported.cpu_seconds:.2f}")
    print(f"peak memory of the worker: {memory_bytes / MIB:.0f} MiB (promised: 600 MiB)")
    sys.exit(memory_bytes > MAX_MEMORY_BYTES)


class Cost(NamedTuple):
    """What something takes, on the clock and of the processors."""

    seconds: float
    cpu_seconds: float


def make_archive(path: Path, count: int, width: int, height: int) -> list[bytes]:
    """Write a tar of class folders and return some of its images."""
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 12, (height, width, 3))
    sample: list[bytes] = []
    with tarfile.open(path, "w") as archive:
        for number in range(count):
            coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            soft = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            pixels = np.clip(np.asarray(soft) + np.roll(grain, number, axis=0), 0, 255)
            encoded = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(encoded, "JPEG", quality=85)
            content = encoded.getvalue()
            header = tarfile.TarInfo(f"data/class {number % CLASS_COUNT:02}/{number:06}.jpg")
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
            if len(sample) < DECODED:
                sample.append(content)
    return sample


def measure_import(archive: Path, storage: StorageSettings, folder: Path) -> tuple[Cost, int]:
    """Import in a worker, from its start to its end; also return its peak memory in bytes."""
    bucket = Bucket(storage)
    bucket.make()
    bucket.put_file("archives/archive.tar", archive)
    archive.unlink()
    settings = ServiceSettings(**storage.model_dump(), work_dir=folder)
    jobs = Jobs(bucket, queue_size=1)
    datasets = Datasets(bucket, settings, [ClassificationTask()], jobs)
    job = datasets.import_(
        dataset_pb2.ImportDatasetRequest(
            parent="tasks/classification",
            source=dataset_source_pb2.DatasetSource(uri=bucket.uri("archives/archive.tar")),
        )
    )

    def claim(queued: job_pb2.Job) -> None:
        states.move(queued, states.RUNNING)
        queued.owner, queued.attempt = "benchmark", 1

    jobs.change(job.name, claim)
    command = [sys.executable, "-m", "services.classification", "work", job.name]
    environment = {
        f"NOCODE_{field.upper()}": str(getattr(settings, field))
        for field in ("s3_endpoint", "s3_access_key", "s3_secret_key", "s3_bucket", "work_dir")
    }
    started = time.monotonic()
    worker = subprocess.Popen(
        [*command, "--owner=benchmark", "--attempt=1"], env=os.environ | environment
    )
    _, _, usage = os.wait4(worker.pid, 0)
    seconds = time.monotonic() - started
    ended = jobs.get(names.parse(job.name, "jobs"))
    if ended.state != states.SUCCEEDED:
        raise SystemExit(f"the import failed: {ended.error.message}")
    dataset = datasets.get(ended.dataset)
    for finding in dataset.findings:
        print(f"finding: {finding.id} {finding.count}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime), usage.ru_maxrss * 1024


def measure_decoding(sample: list[bytes]) -> Cost:
    """Decode, with as many threads as an import has; return what an image takes."""

    def decode(data: bytes) -> None:
        images.decode(data, max_pixels=10**8)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        started, cpu_started = time.monotonic(), time.process_time()
        for _ in pool.map(decode, sample):
            pass
        seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
    return Cost(seconds / len(sample), cpu_seconds / len(sample))


if __name__ == "__main__":
    main()
