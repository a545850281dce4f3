"""Damaged data, sent through the gateway to real processes: refused for what it is, or used."""

import asyncio
import random
from collections import Counter

import grpc
import pytest

from client import Client
from nocode.vision.v1 import (
    dataset_pb2,
    dataset_pb2_grpc,
    dataset_source_pb2,
    job_pb2,
    job_pb2_grpc,
)
from tests.common.data.test_fuzz_import import ARCHIVE_COUNT, ARCHIVES, mutated

PARENT = "tasks/classification"

# Each import is a process of its own.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

# What is wrong with the archive, not with the server.
REFUSED = {grpc.StatusCode.INVALID_ARGUMENT.value[0], grpc.StatusCode.FAILED_PRECONDITION.value[0]}


async def _import(channel: grpc.aio.Channel, content: bytes, number: int) -> job_pb2.Job:
    """Upload and import an archive; return the job as it ended."""
    datasets = dataset_pb2_grpc.DatasetServiceStub(channel)

    async def pieces():
        yield dataset_pb2.UploadArchiveRequest(parent=PARENT)
        yield dataset_pb2.UploadArchiveRequest(chunk=content)

    upload = await datasets.UploadArchive(pieces())
    job = await datasets.ImportDataset(
        dataset_pb2.ImportDatasetRequest(
            parent=PARENT,
            dataset_id=f"damaged-{number}",
            source=dataset_source_pb2.DatasetSource(upload=upload.upload),
        )
    )
    watch = job_pb2_grpc.JobServiceStub(channel).WatchJob(job_pb2.WatchJobRequest(name=job.name))
    async for state in watch:
        job = state
    return job


async def test_200_mutated_archives_leave_the_system_well(stack):
    """No call fails; a job that does says what is wrong with the archive; then all is as before."""
    chance = random.Random(0)
    archives = [mutated(ARCHIVES[n % len(ARCHIVES)], chance) for n in range(ARCHIVE_COUNT)]
    states, codes = Counter(), Counter()
    async with grpc.aio.insecure_channel(stack.address) as channel:
        for start in range(0, ARCHIVE_COUNT, 20):  # fewer than may queue
            batch = enumerate(archives[start : start + 20], start)
            jobs = await asyncio.gather(*(_import(channel, data, n) for n, data in batch))
            states.update(job_pb2.Job.State.Name(job.state) for job in jobs)
            codes.update(job.error.code for job in jobs if job.HasField("error"))
        unharmed = await _import(channel, ARCHIVES[0], ARCHIVE_COUNT)

    assert set(states) == {"STATE_SUCCEEDED", "STATE_FAILED"}
    assert states["STATE_FAILED"] > ARCHIVE_COUNT // 4
    assert set(codes) <= REFUSED
    assert unharmed.state == job_pb2.Job.STATE_SUCCEEDED
    with Client(stack.address) as client:
        listed = {dataset.name for dataset in client.list("datasets", "classification", limit=1000)}
    named = {f"{PARENT}/datasets/damaged-{number}" for number in range(ARCHIVE_COUNT + 1)}
    assert len(listed & named) == states["STATE_SUCCEEDED"] + 1
