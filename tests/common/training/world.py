"""Data sets and pipelines in a real bucket, made by the real parts, to be trained."""

from __future__ import annotations

import io
import itertools
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from common.catalog.pipelines import Pipelines
from common.data.importing import run_import
from common.jobs.context import JobContext
from common.jobs.store import Jobs
from common.settings import ServiceSettings
from common.storage import resources
from common.storage.bucket import Bucket
from nocode.vision.v1 import job_pb2, pipeline_pb2
from services.classification.task import ClassificationTask

if TYPE_CHECKING:
    from pathlib import Path

    from common.settings import StorageSettings

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 40), "blue": (40, 40, 220)}
# Small enough to train in a second.
QUICK: dict[str, object] = {
    "epoch_count": 3,
    "batch_size": 8,
    "image_size_px": 32,
    "precision": "fp32",
    "pretrained": "none",
}


def picture(colour: str, number: int) -> bytes:
    """A noisy picture of a colour."""
    rng = np.random.default_rng([number, *COLOURS[colour]])
    noise = rng.normal(0, 60, (24 + number % 5, 30, 3))
    file = io.BytesIO()
    pixels = (np.array(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@dataclass
class World:
    """What the tests of this folder do to a bucket."""

    bucket: Bucket
    settings: ServiceSettings
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def context(self, **spec: object) -> JobContext:
        """Make a running job of its own, and what its runner is given."""
        job = job_pb2.Job(
            name=f"tasks/classification/jobs/job-{next(self.numbers)}",
            state=job_pb2.Job.STATE_RUNNING,
            owner="a-test",
            attempt=1,
            **spec,
        )
        resources.jobs(self.bucket).create(job.name, job)
        return JobContext(
            job, task=ClassificationTask(), bucket=self.bucket, settings=self.settings
        )

    def dataset(self, counts: dict[str, int]) -> str:
        """Import as many pictures of each colour as `counts` says."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for colour, count in counts.items():
                for number in range(count):
                    file.writestr(f"{colour}/{number:03}.png", picture(colour, number))
        return self.imported(archive.getvalue())

    def imported(self, archive: bytes) -> str:
        """Import an archive."""
        name = f"tasks/classification/datasets/d-{next(self.numbers)}"
        self.bucket.put("incoming/data.zip", archive)
        spec = job_pb2.ImportSpec(dataset=name)
        spec.source.uri = self.bucket.uri("incoming/data.zip")
        context = self.context(import_spec=spec)
        self.bucket.put(f"{name}/reserved", context.job.name.encode())
        return run_import(context)

    def pipeline(
        self,
        dataset: str,
        *,
        architecture: str = "mobilenet_v3_small",
        split: dict[str, float] | None = None,
        base: dict[str, object] = QUICK,
        **config: object,
    ) -> pipeline_pb2.Pipeline:
        """Set up a training; settings that are not given are those of `base`."""
        asked = pipeline_pb2.Pipeline(
            display_name="Colours",
            dataset=dataset,
            architecture=architecture,
            training_config=pipeline_pb2.TrainingConfig(**base | config),
            split_config=pipeline_pb2.SplitConfig(**split or {}),
        )
        jobs = Jobs(self.bucket, queue_size=10)
        pipelines = Pipelines(self.bucket, [ClassificationTask()], jobs, self.settings)
        return pipelines.create("classification", asked, pipeline_id=f"p-{next(self.numbers)}")

    def training(self, pipeline: pipeline_pb2.Pipeline) -> JobContext:
        """Make a TRAIN job."""
        model = f"tasks/classification/models/m-{next(self.numbers)}"
        spec = job_pb2.TrainSpec(pipeline=pipeline.name, model=model)
        return self.context(kind=job_pb2.Job.KIND_TRAIN, train_spec=spec)


def make_world(storage: StorageSettings, folder: Path) -> World:
    """Use a bucket and a folder; train on one core of the CPU, without internet."""
    settings = ServiceSettings(
        **storage.model_dump(), work_dir=folder, weights_url="", train_threads=1, device="cpu"
    )
    return World(Bucket(settings), settings)
