"""What tests of all parts share: a real S3 server with a fresh bucket a test, the whole system."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from common import tracing
from common.storage.bucket import Bucket
from deploy.local.embedded_s3 import EmbeddedS3
from deploy.local.stack import SERVICES, LocalStack
from tests.common.otlp import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.settings import StorageSettings


# On a busy machine any example may take long; tests with a limit of time of their own say so.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# A machine that downloads through a proxy still has its own servers: neither gRPC nor urllib knows.
os.environ["no_proxy"] = ",".join(filter(None, (os.environ.get("no_proxy"), "127.0.0.1,localhost")))


# Modules, and folders of some, that take a minute or more, the longest first. They begin before all
# others: at the end, one process would work alone.
_LONG = ("test_readme.py", "e2e", "test_distributed.py", "test_stack.py", "test_cli.py", "jobs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long modules first; `--no-loadscope-reorder` hands modules out in this order."""

    def place(item: pytest.Item) -> int:
        return next((at for at, name in enumerate(_LONG) if name in item.path.parts), len(_LONG))

    items.sort(key=place)


@pytest.fixture(scope="session")
def s3() -> Iterator[EmbeddedS3]:
    """A real S3 server; each test process has its own."""
    with EmbeddedS3() as server:
        yield server


@pytest.fixture
def storage_settings(s3: EmbeddedS3) -> StorageSettings:
    """How to reach a bucket that nobody else uses."""
    settings = s3.settings.model_copy(update={"s3_bucket": f"test-{secrets.token_hex(8)}"})
    Bucket(settings).make()
    return settings


@pytest.fixture
def bucket(storage_settings: StorageSettings) -> Bucket:
    """A bucket that nobody else uses."""
    return Bucket(storage_settings)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The whole system as real processes; each test process that asks has its own."""
    # Threads that wait for cores which other tests are using take many times as long.
    # And no test asks a publisher for weights.
    env = {service: {"NOCODE_TRAIN_THREADS": "1", "NOCODE_WEIGHTS_URL": ""} for service in SERVICES}
    with LocalStack(tmp_path_factory.mktemp("stack"), env=env) as running:
        yield running


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector of traces."""
    with Collector() as running:
        yield running


@pytest.fixture
def traced(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trace in this process, and in those that it starts."""
    for name, value in collector.environment.items():
        monkeypatch.setenv(name, value)
    tracing.set_up("test")
    yield
    tracing.shut_down()
