"""What the tests of real processes share.

A module says as `CASE` what it trains, and on what.
"""

import pytest

from client import Client
from nocode.vision.v1 import dataset_source_pb2, pipeline_pb2


@pytest.fixture(scope="module")
def client(stack):
    """A client of the gateway."""
    with Client(stack.address) as connected:
        yield connected


@pytest.fixture(scope="module")
def case(request):
    """What the module trains, and on what."""
    return request.module.CASE


@pytest.fixture(scope="module")
def dataset(client, case, tmp_path_factory):
    """The data set of the module, as it was imported."""
    path = tmp_path_factory.mktemp("data") / "images.zip"
    path.write_bytes(case.archive())
    source = dataset_source_pb2.DatasetSource(upload=client.upload(case.task, path))
    job = client.wait(client.import_dataset(case.task, source, dataset_id=case.dataset_id).name)
    return client.dataset(job.dataset)


@pytest.fixture(scope="module")
def pipeline(client, case, dataset):
    """Sets up a pipeline with the module's settings, unless told otherwise."""

    def create(**config):
        return client.create_pipeline(
            case.task,
            pipeline_pb2.Pipeline(
                architecture=case.architecture,
                dataset=dataset.name,
                training_config=pipeline_pb2.TrainingConfig(**case.settings | config),
            ),
        )

    return create


@pytest.fixture(scope="module")
def trained(client, pipeline):
    """A pipeline with a model, and the job that trained it."""
    made = pipeline()
    job = client.wait(client.train(made.name).name)
    return client.pipeline(made.name), job
