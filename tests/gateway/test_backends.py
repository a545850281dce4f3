"""Backends come and go: a call never hangs, its error names the backend, and health is true."""

import asyncio
import signal
import socket
import sys
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.rpc.server import Server
from common.settings import ServerSettings
from nocode.vision.v1 import job_pb2, job_pb2_grpc, prediction_pb2, prediction_pb2_grpc
from tests.gateway.calls import error_info, failure
from tests.gateway.conftest import free_port, until_health
from tests.gateway.remote import NOT_SERVING, SERVING, Remote


def get(task, kind="fine"):
    return job_pb2.GetJobRequest(name=f"tasks/{task}/jobs/{kind}")


async def unavailable(call):
    """Return the backend that a call's error names."""
    error = await failure(call)
    info = error_info(error)
    assert error.code() is grpc.StatusCode.UNAVAILABLE, error
    assert info.reason == "BACKEND_UNAVAILABLE"
    assert info.metadata["backend"] in error.details()
    assert "127.0.0.1" not in error.details()
    return info.metadata["backend"]


async def status_of(channel, service=""):
    answer = await health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service=service)
    )
    return answer.status


async def test_each_task_goes_to_its_backend(start_gateway, start_remote):
    classification, segmentation = await start_remote(), await start_remote()
    channel = await start_gateway(classification=classification, segmentation=segmentation)
    jobs = job_pb2_grpc.JobServiceStub(channel)

    for task in ("classification", "semantic-segmentation", "instance-segmentation"):
        await jobs.GetJob(get(task))

    assert (classification.calls, segmentation.calls) == (1, 2)


async def test_a_task_whose_backend_is_not_set_up_is_unavailable(channel):
    jobs = job_pb2_grpc.JobServiceStub(channel)

    assert await unavailable(jobs.GetJob(get("detection"))) == "detection"


@pytest.mark.parametrize("shape", ["unary", "server stream", "client stream", "bidi stream"])
async def test_a_backend_that_is_down_is_unavailable_at_once(start_gateway, shape):
    channel = await start_gateway(classification=f"127.0.0.1:{free_port()}", ready=False)
    model = "tasks/classification/models/m"
    jobs = job_pb2_grpc.JobServiceStub(channel)

    began = time.monotonic()
    match shape:
        case "unary":
            call = jobs.GetJob(get("classification"))
        case "server stream":
            call = jobs.WatchJob(job_pb2.WatchJobRequest(name=model)).read()
        case "client stream":
            call = channel.stream_unary("/nocode.vision.v1.DatasetService/UploadArchive")(
                iter([b"\x0a\x14tasks/classification"] * 3)
            )
        case "bidi stream":
            stub = prediction_pb2_grpc.PredictionServiceStub(channel)
            call = stub.StreamPredict(
                iter([prediction_pb2.StreamPredictRequest(name=model)])
            ).read()

    assert await unavailable(call) == "classification"
    assert time.monotonic() - began < 5


async def test_a_host_that_does_not_exist_is_unavailable_soon(start_gateway):
    channel = await start_gateway(classification="no-such-host.invalid:50051", ready=False)
    began = time.monotonic()

    call = job_pb2_grpc.JobServiceStub(channel).GetJob(get("classification"))

    assert await unavailable(call) == "classification"
    assert time.monotonic() - began < 15


async def test_a_peer_that_accepts_and_says_nothing_is_unavailable_soon(start_gateway):
    """As behind some firewalls. Left alone, gRPC waits for 20 s."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        channel = await start_gateway(
            classification=f"127.0.0.1:{silent.getsockname()[1]}", ready=False
        )
        began = time.monotonic()

        call = job_pb2_grpc.JobServiceStub(channel).GetJob(get("classification"))

        assert await unavailable(call) == "classification"
        assert time.monotonic() - began < 10


async def test_one_backend_that_is_down_does_not_matter_to_another(start_gateway, remote):
    channel = await start_gateway(
        classification=remote, detection=f"127.0.0.1:{free_port()}", ready=False
    )
    jobs = job_pb2_grpc.JobServiceStub(channel)
    await until_health(channel, "classification", SERVING)

    assert await unavailable(jobs.GetJob(get("detection"))) == "detection"
    assert (await jobs.GetJob(get("classification"))).name
    assert await status_of(channel) == SERVING
    assert await status_of(channel, "detection") == NOT_SERVING


async def test_a_backend_that_comes_back_is_used_again(start_gateway, remote):
    channel = await start_gateway(classification=remote)
    jobs = job_pb2_grpc.JobServiceStub(channel)
    await jobs.GetJob(get("classification"))

    await remote.stop()
    await until_health(channel, "classification", NOT_SERVING)
    down = await unavailable(jobs.GetJob(get("classification")))
    await remote.start()
    await until_health(channel, "classification", SERVING)

    assert down == "classification"
    assert (await jobs.GetJob(get("classification"))).name


async def test_the_gateway_serves_while_some_backend_does(start_gateway, start_remote):
    first, second = await start_remote(), await start_remote()
    channel = await start_gateway(classification=first, detection=second)
    seen = [await status_of(channel)]

    await first.stop()
    await until_health(channel, "classification", NOT_SERVING)
    seen.append(await status_of(channel))
    await second.stop()
    await until_health(channel, "detection", NOT_SERVING)
    seen.append(await status_of(channel))

    assert seen == [SERVING, SERVING, NOT_SERVING]


async def test_a_backend_that_says_not_serving_gets_no_calls(start_gateway, remote):
    """Its own health counts, not only whether it can be reached."""
    channel = await start_gateway(classification=remote)
    jobs = job_pb2_grpc.JobServiceStub(channel)

    await remote.health.set("", NOT_SERVING)
    await until_health(channel, "", NOT_SERVING)
    refused = await unavailable(jobs.GetJob(get("classification")))
    await remote.health.set("", SERVING)
    await until_health(channel, "", SERVING)

    assert refused == "classification"
    assert (await jobs.GetJob(get("classification"))).name


async def test_nothing_is_serving_before_a_backend_is_reached(start_gateway):
    channel = await start_gateway(classification=f"127.0.0.1:{free_port()}", ready=False)

    assert await status_of(channel) == NOT_SERVING


async def test_a_backend_that_ages_its_connections_loses_no_call(start_gateway):
    """`MAX_CONNECTION_AGE` of our services, which lets new replicas be found."""
    server = Server(ServerSettings(max_connection_age_s=0.3, drain_s=0.0))
    job_pb2_grpc.add_JobServiceServicer_to_server(Remote(), server.grpc)
    await server.start()
    server.health.set("", serving=True)
    channel = await start_gateway(classification=f"127.0.0.1:{server.port}")
    jobs = job_pb2_grpc.JobServiceStub(channel)

    count, until = 0, time.monotonic() + 2
    while time.monotonic() < until:
        await jobs.GetJob(get("classification"))
        count += 1
    await server.drain()

    assert count > 100


class _Process:
    """A backend in a process of its own, which can be killed."""

    def __init__(self, process, port):
        self.port = port
        self.process = process


@pytest.fixture
async def process():
    port = free_port()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.gateway.remote", str(port), stdout=asyncio.subprocess.PIPE
    )
    assert await asyncio.wait_for(child.stdout.readline(), 30) == b"listening\n"
    yield _Process(child, port)
    if child.returncode is None:
        child.kill()
    await child.wait()


@pytest.mark.parametrize("shape", ["unary", "server stream", "bidi stream"])
async def test_a_backend_that_is_killed_ends_its_calls_as_unavailable(
    start_gateway, process, shape
):
    channel = await start_gateway(classification=process)
    jobs = job_pb2_grpc.JobServiceStub(channel)
    if shape == "unary":
        under_way = asyncio.ensure_future(_call(jobs.GetJob(get("classification", "slow"))))
        await asyncio.sleep(0.3)  # on its way to the backend, which tells nobody
    elif shape == "server stream":
        stream = jobs.WatchJob(job_pb2.WatchJobRequest(name="tasks/classification/jobs/endless"))
        for _ in range(3):
            await stream.read()
        under_way = stream.read()
    else:
        stub = prediction_pb2_grpc.PredictionServiceStub(channel)
        stream = stub.StreamPredict()
        await stream.write(
            prediction_pb2.StreamPredictRequest(name="tasks/classification/models/m", id="1")
        )
        await stream.read()
        under_way = stream.read()

    process.process.kill()

    async with asyncio.timeout(5):
        assert await unavailable(under_way) == "classification"


async def test_a_backend_that_hangs_is_noticed(start_gateway, process):
    """Its machine may have vanished without a word; pings find out."""
    channel = await start_gateway(classification=process)
    under_way = job_pb2_grpc.JobServiceStub(channel).GetJob(get("classification", "slow"))
    await asyncio.sleep(0.3)
    process.process.send_signal(signal.SIGSTOP)

    async with asyncio.timeout(25):
        assert await unavailable(under_way) == "classification"
        await until_health(channel, "", NOT_SERVING)


async def _call(call):
    return await call


async def test_a_backend_that_drains_ends_its_calls_as_unavailable(start_gateway, remote):
    """Those that outlast its grace."""
    channel = await start_gateway(classification=remote)
    stream = job_pb2_grpc.JobServiceStub(channel).WatchJob(
        job_pb2.WatchJobRequest(name="tasks/classification/jobs/endless")
    )
    for _ in range(3):
        await stream.read()

    await remote.stop(grace=0.1)

    assert await unavailable(stream.read()) == "classification"
