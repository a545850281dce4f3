"""Deadlines and cancellation pass through the gateway, and what breaks off is broken off."""

import asyncio
import sys

import grpc
import pytest

from gateway import proxy
from nocode.vision.v1 import dataset_pb2, job_pb2_grpc, prediction_pb2
from tests.gateway.calls import TASK, chunks, failure, get, watch
from tests.gateway.remote import FLOOD_BYTES


async def test_the_backend_is_given_the_time_that_remains(jobs, remote):
    await jobs.GetJob(get("fine"), timeout=30)
    with_deadline = remote.time_remaining
    await jobs.GetJob(get("fine"))

    assert 20 < with_deadline < 31  # gRPC rounds what it sends up
    assert remote.time_remaining is None


async def test_a_deadline_ends_the_call_on_both_sides(jobs, remote):
    error = await failure(jobs.GetJob(get("slow"), timeout=0.3))

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(remote.cancelled.wait(), 5)


async def test_a_deadline_ends_a_stream_on_both_sides(jobs, remote):
    error = await failure(jobs.WatchJob(watch("endless"), timeout=0.3))

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(remote.cancelled.wait(), 5)


async def test_a_call_that_is_cancelled_is_cancelled_at_the_backend(jobs, remote):
    call = jobs.GetJob(get("slow"))
    await remote.begun.wait()
    call.cancel()

    await asyncio.wait_for(remote.cancelled.wait(), 5)


@pytest.mark.parametrize(("kind", "answers"), [("endless", 3), ("silent", 0)])
async def test_a_stream_that_is_cancelled_is_cancelled_at_the_backend(jobs, remote, kind, answers):
    call = jobs.WatchJob(watch(kind))
    await remote.begun.wait()
    for _ in range(answers):
        await call.read()
    call.cancel()

    await asyncio.wait_for(remote.cancelled.wait(), 5)


async def test_a_bidirectional_stream_that_is_cancelled_is_cancelled_at_the_backend(
    predictions, remote
):
    call = predictions.StreamPredict()
    await call.write(prediction_pb2.StreamPredictRequest(name=f"{TASK}/models/m", id="1"))
    await call.read()
    call.cancel()

    await asyncio.wait_for(remote.cancelled.wait(), 5)


async def test_an_upload_that_breaks_off_never_looks_complete(datasets, remote):
    """A cancelled stream first looks like one that has ended, to grpc.aio."""
    calls = []
    for number in range(100):
        call = datasets.UploadArchive()
        await call.write(dataset_pb2.UploadArchiveRequest(parent=TASK))
        await call.write(dataset_pb2.UploadArchiveRequest(chunk=bytes(1000)))
        await asyncio.sleep(0.0005 * (number % 5))
        call.cancel()
        calls.append(call)
    remote.cancelled.clear()
    last = await datasets.UploadArchive(chunks(7))

    assert last.size_bytes == 7
    assert remote.uploads == [7]


async def test_a_client_that_vanishes_cancels_its_call(start_gateway, remote):
    channel = await start_gateway(classification=remote)
    call = job_pb2_grpc.JobServiceStub(channel).WatchJob(watch("endless"))
    await call.read()
    await channel.close()

    await asyncio.wait_for(remote.cancelled.wait(), 5)


CLIENT = """
import sys, grpc
from nocode.vision.v1 import job_pb2, job_pb2_grpc
stub = job_pb2_grpc.JobServiceStub(grpc.insecure_channel(sys.argv[1]))
request = job_pb2.WatchJobRequest(name="tasks/classification/jobs/flood")
for _ in stub.WatchJob(request):
    print("receiving", flush=True)
"""


async def test_clients_that_are_killed_are_no_error_of_the_gateway(channel, remote, caplog):
    """In the middle of an answer; the backend stops, and the log and the metrics tell no tales."""
    server = channel.gateway.server
    for _ in range(5):
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLIENT, f"127.0.0.1:{server.port}", stdout=asyncio.subprocess.PIPE
        )
        await asyncio.wait_for(client.stdout.readline(), 30)
        client.kill()
        await client.wait()
    labels = {
        "grpc_type": "server_stream",
        "grpc_service": "nocode.vision.v1.JobService",
        "grpc_method": "WatchJob",
        "grpc_code": "CANCELLED",
    }
    async with asyncio.timeout(10):
        while server.registry.get_sample_value("grpc_server_handled_total", labels) != 5:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    # What was under way may still arrive; then nothing more does.
    async with asyncio.timeout(10):
        written = -1
        while remote.written != written:
            written = remote.written
            await asyncio.sleep(0.5)

    assert not [
        r for r in caplog.records if r.name.startswith(("gateway", "common")) and r.exc_info
    ]


async def test_a_slow_reader_slows_the_backend(jobs, remote):
    """Nothing piles up in the gateway while the caller does not read."""
    call = jobs.WatchJob(watch("flood"))
    await call.read()

    async with asyncio.timeout(20):
        written = 0
        while remote.written != written:  # until the backend writes no more
            written = remote.written
            await asyncio.sleep(0.5)
    call.cancel()

    assert written * FLOOD_BYTES < 16 * 1024**2


async def test_a_failure_to_read_requests_ends_the_call(datasets, remote, monkeypatch):
    """No client can make the gateway fail so; if it does all the same, nobody waits forever."""

    async def broken(requests):
        yield await anext(aiter(requests))
        raise RuntimeError("cannot read on")

    monkeypatch.setattr(proxy, "until_end", broken)

    error = await failure(datasets.UploadArchive(chunks(1000, 1000), timeout=20))

    assert error.code() is grpc.StatusCode.INTERNAL
    assert "cannot read on" not in error.details()
    await asyncio.wait_for(remote.cancelled.wait(), 5)
    assert remote.uploads == []
