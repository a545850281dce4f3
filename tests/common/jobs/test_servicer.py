"""`JobService` as a client sees it, over a real channel and a real S3 server."""

from __future__ import annotations

import asyncio
import statistics
import time

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from common.jobs import states
from common.rpc import handlers
from common.rpc.metrics import ServerMetrics
from common.serving.servicers.jobs import JobServicer
from common.storage import resources
from nocode.vision.v1 import evaluation_pb2, model_pb2
from nocode.vision.v1 import job_pb2 as pb
from nocode.vision.v1.job_pb2_grpc import JobServiceStub

PARENT = "tasks/classification"
MODEL = f"{PARENT}/models/m"
MIB = 1024**2


@pytest.fixture
async def stub(jobs):
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    servicer = JobServicer(jobs, ["classification"])
    handlers.register(server, [servicer], ServerMetrics(CollectorRegistry()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield JobServiceStub(channel)
    await server.stop(0)


@pytest.fixture
def evaluated(jobs, start_dispatcher, wait_until_ended):
    """An evaluation that a worker has made: a plot of 3 MB, and predictions."""
    name = jobs.name_for(pb.Job.KIND_EVALUATE, MODEL, "")
    job = jobs.create(name, pb.EvaluateSpec(model=MODEL, subset="test"))
    start_dispatcher()
    return wait_until_ended(job)


async def download(stub, job, uri):
    call = stub.DownloadArtifact(pb.DownloadArtifactRequest(name=job.name, uri=uri))
    return [response.chunk async for response in call]


async def refusal(awaitable):
    """The code and reason of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    return caught.value.code(), info.reason


NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def test_get_and_list(stub, create):
    made = [await asyncio.to_thread(create, "count 1") for _ in range(3)]

    got = await stub.GetJob(pb.GetJobRequest(name=made[0].name))
    first = await stub.ListJobs(pb.ListJobsRequest(parent="tasks/-", page_size=2))
    rest = await stub.ListJobs(
        pb.ListJobsRequest(parent="tasks/-", page_size=2, page_token=first.next_page_token)
    )

    assert got == made[0]
    assert [*first.jobs, *rest.jobs] == made[::-1]
    assert not rest.next_page_token


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(f"{PARENT}/jobs/nobody", (NOT_FOUND, "RESOURCE_NOT_FOUND"), id="no such job"),
        pytest.param(f"{PARENT}/models/m", (INVALID, "NAME_INVALID"), id="no job's name"),
        pytest.param("", (INVALID, "FIELD_REQUIRED"), id="no name"),
        pytest.param("tasks/poetry/jobs/j", (INVALID, "TASK_UNKNOWN"), id="no task"),
        pytest.param("tasks/detection/jobs/j", (INVALID, "TASK_UNKNOWN"), id="another service's"),
    ],
)
async def test_names_that_lead_nowhere(stub, name, expected):
    """Are refused alike by all methods that take one."""
    assert await refusal(stub.GetJob(pb.GetJobRequest(name=name))) == expected
    assert await refusal(stub.CancelJob(pb.CancelJobRequest(name=name))) == expected
    assert await refusal(stub.WatchJob(pb.WatchJobRequest(name=name)).read()) == expected
    artifact = pb.DownloadArtifactRequest(name=name, uri="s3://a/b")
    assert await refusal(stub.DownloadArtifact(artifact).read()) == expected


async def test_watch_sends_changes_within_a_second_and_ends(stub, create, start_dispatcher):
    """From the queue, through progress, to what was made."""
    job = await asyncio.to_thread(create, "count 20")
    start_dispatcher()

    steps, ages_s, ended = [], [], None
    async for seen in stub.WatchJob(pb.WatchJobRequest(name=job.name), timeout=60):
        if seen.progress.step:
            steps.append(seen.progress.step)
            ages_s.append(time.time() - seen.heartbeat_time.ToMilliseconds() / 1000)
        ended = seen

    assert ended.state == states.SUCCEEDED
    assert ended.dataset == f"{PARENT}/datasets/d"
    # 20 steps take 2 s, are written every 0.5 s and read every 0.4 s
    assert len(steps) >= 3
    assert steps == sorted(steps)
    assert steps[-1] == 20
    # The median, as a busy machine may hold up any one of them.
    assert statistics.median(ages_s[:-1]) < 1.0


async def test_cancel(stub, create):
    job = await asyncio.to_thread(create, "count 1")

    cancelled = await stub.CancelJob(pb.CancelJobRequest(name=job.name))
    again = await stub.CancelJob(pb.CancelJobRequest(name=job.name))

    assert cancelled.state == states.CANCELLED
    assert again == cancelled


class TestDownloadArtifact:
    """What a job has made can be fetched, and nothing else."""

    async def test_files_of_an_evaluation(self, stub, evaluated):
        assert evaluated.state == states.SUCCEEDED, evaluated

        plot = await download(stub, evaluated, evaluated.evaluation.plots[0].uri)
        rows = await download(stub, evaluated, evaluated.evaluation.predictions_uri)

        assert b"".join(plot) == b"png" * 1_000_000
        assert max(map(len, plot)) <= MIB
        assert rows == [b"{}\n"]

    async def test_files_of_a_training_are_those_of_its_models_evaluation(self, stub, bucket, jobs):
        uri = bucket.uri("tasks/classification/jobs/a/evaluation/plot.png")
        bucket.put("tasks/classification/jobs/a/evaluation/plot.png", b"png")
        evaluation = evaluation_pb2.Evaluation(plots=[evaluation_pb2.Plot(uri=uri)])
        resources.models(bucket).create(MODEL, model_pb2.Model(name=MODEL, evaluation=evaluation))
        job = jobs.create(
            jobs.name_for(pb.Job.KIND_TRAIN, f"{PARENT}/pipelines/p", ""), pb.TrainSpec(model=MODEL)
        )
        before = await refusal(
            stub.DownloadArtifact(pb.DownloadArtifactRequest(name=job.name, uri=uri)).read()
        )

        jobs.change(job.name, lambda job: setattr(job, "model", MODEL))

        assert before == (NOT_FOUND, "OBJECT_NOT_FOUND")
        assert await download(stub, job, uri) == [b"png"]

    async def test_an_export(self, stub, bucket, jobs):
        key = f"{MODEL}/exports/job-1/model.onnx"
        bucket.put(key, b"onnx")
        job = jobs.create(jobs.name_for(pb.Job.KIND_EXPORT, MODEL, ""), pb.ExportSpec(model=MODEL))
        jobs.change(job.name, lambda job: setattr(job.export, "uri", bucket.uri(key)))

        assert await download(stub, job, bucket.uri(key)) == [b"onnx"]

    async def test_nothing_that_the_job_does_not_name(self, stub, evaluated, bucket, create):
        """Neither state of the server, nor another job's files, nor another bucket's."""
        other = await asyncio.to_thread(create, "count 1")
        plot = evaluated.evaluation.plots[0].uri

        async def fetch(job, uri):
            return await refusal(
                stub.DownloadArtifact(pb.DownloadArtifactRequest(name=job.name, uri=uri)).read()
            )

        for uri in (
            bucket.uri(f"{evaluated.name}/job.json"),
            plot.replace(bucket.name, "another-bucket"),
            plot + "/../job.json",
            "file:///etc/passwd",
            "x" * 10_000,
        ):
            assert await fetch(evaluated, uri) == (NOT_FOUND, "OBJECT_NOT_FOUND")
        assert await fetch(other, plot) == (NOT_FOUND, "OBJECT_NOT_FOUND")
        assert await fetch(evaluated, "") == (INVALID, "FIELD_REQUIRED")

    async def test_a_file_that_was_deleted(self, stub, evaluated, bucket):
        bucket.delete_prefix(f"{evaluated.name}/evaluation/")

        request = pb.DownloadArtifactRequest(
            name=evaluated.name, uri=evaluated.evaluation.predictions_uri
        )

        assert await refusal(stub.DownloadArtifact(request).read()) == (
            NOT_FOUND,
            "OBJECT_NOT_FOUND",
        )
