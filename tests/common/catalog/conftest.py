"""A catalog of data sets, directly and over a real channel, on a real S3 server."""

import grpc
import pytest
from prometheus_client import CollectorRegistry

from common.catalog.datasets import Datasets
from common.jobs import states
from common.jobs.store import Jobs
from common.rpc import handlers
from common.rpc.metrics import ServerMetrics
from common.serving.servicers.datasets import DatasetServicer
from common.settings import ServiceSettings
from common.storage import resources
from nocode.vision.v1 import dataset_pb2 as pb
from nocode.vision.v1 import dataset_pb2_grpc, job_pb2
from services.classification.task import ClassificationTask
from tests.common.catalog.calls import PARENT, end


@pytest.fixture
def settings(storage_settings, tmp_path) -> ServiceSettings:
    return ServiceSettings(
        **storage_settings.model_dump(), work_dir=tmp_path, max_archive_bytes=6_000_000
    )


@pytest.fixture
def jobs(bucket) -> Jobs:
    return Jobs(bucket, queue_size=3)


@pytest.fixture
def datasets(bucket, settings, jobs) -> Datasets:
    return Datasets(bucket, settings, [ClassificationTask()], jobs)


@pytest.fixture
def archive(bucket) -> str:
    """The address of an object that could be an archive."""
    bucket.put("archives/a.zip", b"PK")
    return bucket.uri("archives/a.zip")


@pytest.fixture
def ask(datasets, archive):
    """Ask for an import."""

    def ask(**fields) -> job_pb2.Job:
        fields = {"parent": PARENT, "source": {"uri": archive}} | fields
        return datasets.import_(pb.ImportDatasetRequest(**fields))

    return ask


@pytest.fixture
def make(bucket, jobs, ask):
    """Do what a successful import does, in short."""

    def make(dataset_id: str) -> str:
        job = ask(dataset_id=dataset_id)
        name = job.import_spec.dataset
        bucket.put(f"{name}/manifest.jsonl", b"")
        bucket.put(f"{name}/shards/00000.tar", b"")
        resources.datasets(bucket).create(name, pb.Dataset(name=name, job=job.name))
        end(jobs, job, states.SUCCEEDED)
        return name

    return make


@pytest.fixture
async def address(datasets):
    """A real server."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers.register(server, [DatasetServicer(datasets)], ServerMetrics(CollectorRegistry()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def stub(address):
    """A client on a real channel."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield dataset_pb2_grpc.DatasetServiceStub(channel)
