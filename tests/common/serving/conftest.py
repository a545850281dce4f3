"""A prediction service over a real channel, with a real bucket and a tiny network."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from common.rpc import handlers
from common.rpc.metrics import ServerMetrics
from common.serving.predictor import Predictor
from common.serving.servicers.prediction import PredictionServicer
from common.settings import ServiceSettings
from nocode.vision.v1.prediction_pb2_grpc import PredictionServiceStub
from tests.common.serving.tiny import TinyLearner, TinyTask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from common.storage.bucket import Bucket


@dataclass
class Service:
    """A running service and what tests look at."""

    stub: PredictionServiceStub
    task: TinyTask
    registry: CollectorRegistry
    predictor: Predictor
    address: str

    @property
    def learner(self) -> TinyLearner:
        """What answers."""
        return self.task.made

    def figure(self, name: str, **labels: str) -> float:
        """Return a figure that Prometheus would see."""
        return self.registry.get_sample_value(f"nocode_vision_{name}", labels) or 0.0


@pytest.fixture
async def serve(bucket: Bucket, storage_settings: Any):
    """Start a service with these settings, for a task; it ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(*, task: TinyTask | None = None, **settings: Any) -> Service:
            serving = _serving(bucket, storage_settings, settings, task or TinyTask())
            return await stack.enter_async_context(serving)

        yield start


@pytest.fixture
async def running(serve: Any) -> Service:
    """A service with the default settings."""
    return await serve()


@asynccontextmanager
async def _serving(
    bucket: Bucket, storage_settings: Any, settings: dict[str, Any], task: TinyTask
) -> AsyncIterator[Service]:
    registry = CollectorRegistry()
    settings = ServiceSettings(**storage_settings.model_dump(), **settings)
    predictor = Predictor([task], bucket, settings, registry)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers.register(server, [PredictionServicer(predictor)], ServerMetrics(registry))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    address = f"127.0.0.1:{port}"
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield Service(PredictionServiceStub(channel), task, registry, predictor, address)
    finally:
        await server.stop(None)
        await predictor.close()
