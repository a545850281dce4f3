"""What benchmarks of training share: from an archive to a training that is ready to begin."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from common.catalog.pipelines import Pipelines
from common.data.importing import run_import
from common.jobs.context import JobContext
from common.jobs.store import Jobs
from common.settings import ServiceSettings
from common.storage.bucket import Bucket
from common.training.run import training_device
from common.training.setup import prepare, use_threads
from deploy.local.embedded_s3 import EmbeddedS3
from nocode.vision.v1 import job_pb2, pipeline_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from common.task import Task
    from common.training.setup import Setup


class Ready(NamedTuple):
    """A training that is ready to begin.

    Attributes:
        job: Of kind TRAIN.
        setup: What it is about.
        device: Where it is to run.
        decode_s: How long reading, decoding and resizing its images took.
    """

    job: JobContext
    setup: Setup
    device: torch.device
    decode_s: float


@contextmanager
def prepared(
    task: Task, archive: bytes, architecture: str, config: pipeline_pb2.TrainingConfig
) -> Iterator[Ready]:
    """Import an archive into a real bucket, and prepare a training on it as a job does."""
    parent = f"tasks/{task.name}"
    with EmbeddedS3() as s3, tempfile.TemporaryDirectory() as folder:
        settings = ServiceSettings(
            **s3.settings.model_dump(), work_dir=Path(folder), weights_url=""
        )
        bucket = Bucket(settings)

        def context(job: job_pb2.Job) -> JobContext:
            return JobContext(job, task=task, bucket=bucket, settings=settings)

        importing = job_pb2.Job(name=f"{parent}/jobs/import")
        importing.import_spec.dataset = f"{parent}/datasets/d"
        importing.import_spec.source.uri = bucket.uri("incoming/data.zip")
        bucket.put("incoming/data.zip", archive)
        bucket.put(f"{parent}/datasets/d/reserved", importing.name.encode())
        run_import(context(importing))
        pipeline = Pipelines(bucket, [task], Jobs(bucket, queue_size=1), settings).create(
            task.name,
            pipeline_pb2.Pipeline(
                dataset=f"{parent}/datasets/d", architecture=architecture, training_config=config
            ),
            pipeline_id="p",
        )
        job = job_pb2.Job(name=f"{parent}/jobs/train")
        job.train_spec.pipeline = pipeline.name
        training_job = context(job)
        device = training_device(settings.device)
        use_threads(settings.train_threads if device.type == "cpu" else 1)
        started = time.perf_counter()
        setup = prepare(training_job, device)
        yield Ready(training_job, setup, device, time.perf_counter() - started)
