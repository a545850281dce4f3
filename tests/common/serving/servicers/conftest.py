"""A real server of all that is in the catalog, on a real bucket."""

from __future__ import annotations

from types import SimpleNamespace

import grpc
import pytest
from prometheus_client import CollectorRegistry

from common.catalog import pipelines
from common.catalog.models import Models
from common.catalog.pipelines import Pipelines
from common.data.manifest import Entry, write_line
from common.jobs import states
from common.jobs.store import Jobs
from common.rpc.handlers import register
from common.rpc.metrics import ServerMetrics
from common.serving.servicers.models import ModelServicer
from common.serving.servicers.pipelines import PipelineServicer
from common.settings import ServiceSettings
from common.storage import resources
from nocode.vision.v1 import (
    dataset_pb2,
    job_pb2,
    model_pb2,
    model_pb2_grpc,
    pipeline_pb2,
    pipeline_pb2_grpc,
)
from services.classification.task import ClassificationTask
from tests.common.serving.tiny import put_model

QUEUE_SIZE = 3


@pytest.fixture
def settings(storage_settings, tmp_path) -> ServiceSettings:
    """No internet: published weights are those in the bucket."""
    return ServiceSettings(
        **storage_settings.model_dump(),
        work_dir=tmp_path,
        job_queue_size=QUEUE_SIZE,
        weights_url="",
    )


@pytest.fixture
def model(bucket) -> model_pb2.Model:
    """A model that answers."""
    return put_model(bucket, "model-a")


@pytest.fixture
def jobs(bucket, settings) -> Jobs:
    return Jobs(bucket, queue_size=settings.job_queue_size)


@pytest.fixture
async def service(bucket, jobs, settings):
    """Stubs of the services under test, behind a real channel."""
    tasks = [ClassificationTask()]
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    register(
        server,
        [
            PipelineServicer(Pipelines(bucket, tasks, jobs, settings)),
            ModelServicer(Models(bucket, tasks, jobs, pages=None)),
        ],
        ServerMetrics(CollectorRegistry()),
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield SimpleNamespace(
            pipelines=pipeline_pb2_grpc.PipelineServiceStub(channel),
            models=model_pb2_grpc.ModelServiceStub(channel),
        )
    await server.stop(None)


@pytest.fixture
def add_dataset(bucket):
    """Put a data set's resource and manifest in the bucket, as an import leaves them."""

    def add(dataset_id="digits", labels=(0, 1, 2) * 20, classes=("zero", "one", "two"), **fields):
        name = f"tasks/classification/datasets/{dataset_id}"
        lines = (
            write_line(
                Entry(
                    file=f"{classes[label]}/{index:03}.png",
                    shard="00000.tar",
                    offset=512,
                    size=100,
                    sha256=f"{index:064x}",
                    width=8,
                    height=8,
                    annotation={"label": label},
                    **{key: values[index] for key, values in fields.items()},
                )
            )
            for index, label in enumerate(labels)
        )
        bucket.put(f"{name}/manifest.jsonl", b"".join(lines))
        resources.datasets(bucket).create(
            name, dataset_pb2.Dataset(name=name, image_count=len(labels), classes=classes)
        )
        return name

    return add


@pytest.fixture
async def add_pipeline(service, add_dataset):
    """Create a pipeline of a data set of its own, by the API."""

    async def add(pipeline_id="p", *, labels=(0, 1, 2) * 20, **fields):
        pipeline = pipeline_pb2.Pipeline(
            architecture="mobilenet_v3_small",
            dataset=add_dataset(f"of-{pipeline_id}", labels),
            **fields,
        )
        return await service.pipelines.CreatePipeline(
            pipeline_pb2.CreatePipelineRequest(
                parent="tasks/classification", pipeline=pipeline, pipeline_id=pipeline_id
            )
        )

    return add


@pytest.fixture
def end(jobs):
    """Take a job through its life to its end, as dispatcher and worker do."""

    def end(job: job_pb2.Job, state=states.SUCCEEDED, **result) -> None:
        def change(current: job_pb2.Job) -> None:
            states.move(current, states.RUNNING)
            states.move(current, state)
            current.MergeFrom(job_pb2.Job(**result))

        jobs.forget(jobs.change(job.name, change))

    return end


@pytest.fixture
def add_model(bucket, jobs, end):
    """Leave what a training leaves: weights, the model, and the pipeline's note of it."""

    def add(pipeline: pipeline_pb2.Pipeline, job: job_pb2.Job, classes=("zero", "one", "two")):
        name = job.train_spec.model
        bucket.put(f"{name}/model.safetensors", b"weights")
        model = model_pb2.Model(
            name=name,
            pipeline=pipeline.name,
            dataset=pipeline.dataset,
            job=job.name,
            architecture=pipeline.architecture,
            classes=classes,
        )
        resources.models(bucket).create(name, model)
        pipelines.set_model(bucket, pipeline.name, name)
        end(job, model=name)
        return model

    return add


@pytest.fixture
async def trained(service, add_pipeline, add_model):
    """Make a pipeline and a model of it; returns both names."""

    async def make(pipeline_id="p", **fields):
        pipeline = await add_pipeline(pipeline_id, **fields)
        job = await service.pipelines.Train(pipeline_pb2.TrainRequest(name=pipeline.name))
        return pipeline.name, add_model(pipeline, job).name

    return make
