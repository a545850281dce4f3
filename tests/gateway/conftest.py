"""A gateway in front of real servers, and channels to it."""

import asyncio
import contextlib
import socket

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.app import Gateway
from gateway.settings import GatewaySettings
from nocode.vision.v1 import dataset_pb2_grpc, job_pb2_grpc, prediction_pb2_grpc
from tests.gateway.callers import TOKENS, entry
from tests.gateway.remote import OPTIONS, Remote


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def start_remote():
    """Start a service, to be put behind a gateway."""
    remotes = []

    async def start(credentials=None):
        remotes.append(await Remote().start(credentials=credentials))
        return remotes[-1]

    yield start
    for remote in remotes:
        await remote.stop()


@pytest.fixture
async def start_gateway():
    """Start a gateway with these backends, by name: a `Remote`, or an address."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*, settings=None, ready=True, **backends):
            addresses = {
                name: peer if isinstance(peer, str) else f"127.0.0.1:{peer.port}"
                for name, peer in backends.items()
            }
            gateway = Gateway(
                GatewaySettings(backends=addresses, **{"drain_s": 0.0, **(settings or {})})
            )
            await gateway.start()
            stack.push_async_callback(gateway.drain)
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(f"127.0.0.1:{gateway.server.port}", options=OPTIONS)
            )
            channel.gateway = gateway
            if ready:
                for name in addresses:
                    await until_health(channel, name, health_pb2.HealthCheckResponse.SERVING)
            return channel

        yield start


@pytest.fixture
async def remote(start_remote):
    """The service behind `channel`."""
    return await start_remote()


@pytest.fixture
async def channel(start_gateway, remote):
    """A channel to a gateway whose classification backend is `remote`."""
    return await start_gateway(classification=remote)


async def until_health(channel, service, status, within_s=20):
    """Wait until the gateway's health for a service is this."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(service=service)
    )
    async with asyncio.timeout(within_s):
        async for answer in watch:
            if answer.status == status:
                watch.cancel()
                return


@pytest.fixture
def tokens_file(tmp_path):
    path = tmp_path / "tokens.yaml"
    entries = [entry(name, name, roles) for name, roles in TOKENS.items()]
    path.write_text(yaml.safe_dump({"tokens": entries}))
    return path


@pytest.fixture
async def guarded(start_gateway, remote, tokens_file):
    """A channel to a gateway that asks for tokens, in front of `remote` for two services."""
    return await start_gateway(
        settings={"tokens_file": tokens_file}, classification=remote, segmentation=remote
    )


@pytest.fixture
def guarded_jobs(guarded):
    return job_pb2_grpc.JobServiceStub(guarded)


@pytest.fixture
def jobs(channel):
    return job_pb2_grpc.JobServiceStub(channel)


@pytest.fixture
def datasets(channel):
    return dataset_pb2_grpc.DatasetServiceStub(channel)


@pytest.fixture
def predictions(channel):
    return prediction_pb2_grpc.PredictionServiceStub(channel)
