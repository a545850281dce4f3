"""A data set and a pipeline in a real bucket, made by the real parts, to be trained."""

from __future__ import annotations

import io
import itertools
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from common.catalog.pipelines import Pipelines
from common.data.importing import run_import
from common.jobs.context import JobContext
from common.jobs.store import Jobs
from common.settings import ServiceSettings
from common.storage import resources
from nocode.vision.v1 import job_pb2, pipeline_pb2
from services.classification.task import ClassificationTask

if TYPE_CHECKING:
    from common.storage.bucket import Bucket

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
        """Make a job of its own, and what its runner is given."""
        job = job_pb2.Job(name=f"tasks/classification/jobs/job-{next(self.numbers)}", **spec)
        return JobContext(
            job, task=ClassificationTask(), bucket=self.bucket, settings=self.settings
        )

    def dataset(self, counts: dict[str, int]) -> str:
        """Import as many pictures of each colour as `counts` says."""
        name = f"tasks/classification/datasets/d-{next(self.numbers)}"
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for colour, count in counts.items():
                for number in range(count):
                    file.writestr(f"{colour}/{number:03}.png", picture(colour, number))
        self.bucket.put("incoming/data.zip", archive.getvalue())
        spec = job_pb2.ImportSpec(dataset=name)
        spec.source.uri = self.bucket.uri("incoming/data.zip")
        context = self.context(import_spec=spec)
        self.bucket.put(f"{name}/reserved", context.job.name.encode())
        return run_import(context)

    def pipeline(
        self, dataset: str, *, split: dict[str, float] | None = None, **config: object
    ) -> pipeline_pb2.Pipeline:
        """Set up a training of a small network; settings that are not given are `QUICK`."""
        asked = pipeline_pb2.Pipeline(
            display_name="Colours",
            dataset=dataset,
            architecture="mobilenet_v3_small",
            training_config=pipeline_pb2.TrainingConfig(**QUICK | config),
            split_config=pipeline_pb2.SplitConfig(**split or {}),
        )
        jobs = Jobs(self.bucket, queue_size=10)
        pipelines = Pipelines(self.bucket, [ClassificationTask()], jobs, self.settings)
        return pipelines.create("classification", asked, pipeline_id=f"p-{next(self.numbers)}")

    def training(self, pipeline: pipeline_pb2.Pipeline) -> JobContext:
        """Make a TRAIN job."""
        model = f"tasks/classification/models/m-{next(self.numbers)}"
        return self.context(train_spec=job_pb2.TrainSpec(pipeline=pipeline.name, model=model))

    def keep(self, context: JobContext) -> None:
        """Put a job into the bucket, for other processes."""
        resources.jobs(self.bucket).create(context.job.name, context.job)


@pytest.fixture
def world(bucket, storage_settings, tmp_path):
    settings = ServiceSettings(
        **storage_settings.model_dump(),
        work_dir=tmp_path / "work",
        weights_url="",
        train_threads=1,
        device="cpu",
    )
    return World(bucket, settings)


@pytest.fixture
def dataset(world):
    """20 pictures of each of three colours; the classes are blue, green and red."""
    return world.dataset({"red": 20, "green": 20, "blue": 20})
