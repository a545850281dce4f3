"""Who may call what through the gateway."""

import asyncio
import base64
import json

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from common.rpc import contract
from gateway.roles import LEAST, Role
from nocode.vision.v1 import dataset_pb2, dataset_pb2_grpc, job_pb2, job_pb2_grpc, prediction_pb2
from tests.gateway.callers import bearer, ended, reflect
from tests.gateway.calls import error_info, failure, get

DENIED = grpc.StatusCode.PERMISSION_DENIED
UNKNOWN = grpc.StatusCode.UNAUTHENTICATED


async def code_of(channel, path, name, metadata):
    """Call a method with its field 1 alone; return the code that the call ends with."""
    method = contract.METHODS[path]
    shape = {
        "unary": "unary_unary",
        "server_stream": "unary_stream",
        "client_stream": "stream_unary",
        "bidi_stream": "stream_stream",
    }
    message = job_pb2.GetJobRequest(name=name).SerializeToString()
    call = getattr(channel, shape[contract.shape(method)])(path)(
        iter([message]) if method.client_streaming else message, metadata=metadata, timeout=60
    )
    return await ended(call)


@pytest.mark.parametrize("role", Role)
async def test_each_role_may_call_what_the_table_says(guarded, role):
    """Every method of the contract, in all call shapes."""
    name = "tasks/classification/jobs/a"
    codes = {path: await code_of(guarded, path, name, bearer(role.name.lower())) for path in LEAST}

    assert {path for path, code in codes.items() if code is DENIED} == {
        path for path, least in LEAST.items() if role < least
    }
    assert UNKNOWN not in codes.values()


async def test_without_a_token_nothing_is_answered(guarded, remote):
    codes = {await code_of(guarded, path, "tasks/classification/jobs/a", ()) for path in LEAST}

    assert codes == {UNKNOWN}
    assert remote.calls == 0


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "TOKEN_MISSING"),
        ("viewer", "TOKEN_MISSING"),
        ("Bearer", "TOKEN_MISSING"),
        ("Bearer ", "TOKEN_MISSING"),
        ("Basic viewer", "TOKEN_MISSING"),
        ("Bearer nobody", "TOKEN_INVALID"),
        ("Bearer viewer2", "TOKEN_INVALID"),
        ("Bearer a.b.c", "TOKEN_INVALID"),
        ("Bearer viewer viewer", "TOKEN_INVALID"),
    ],
)
async def test_what_is_no_token_of_ours_is_refused(guarded_jobs, header, reason):
    error = await failure(guarded_jobs.GetJob(get("fine"), metadata=[("authorization", header)]))

    assert error.code() is UNKNOWN
    assert error_info(error).reason == reason
    assert "nobody" not in error.details()


async def test_two_tokens_are_none(guarded, guarded_jobs):
    """Whoever stands in front may have looked at the other one."""
    for names in (("viewer", "stranger"), ("stranger", "viewer"), ("viewer", "admin")):
        both = [header for name in names for header in bearer(name)]

        assert await guarded_jobs.GetJob(get("fine"), metadata=both).code() is UNKNOWN
        assert await reflect(guarded, both) is UNKNOWN


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_written_as_one_likes(guarded_jobs, scheme):
    job = await guarded_jobs.GetJob(get("fine"), metadata=[("authorization", f"{scheme} viewer")])

    assert job.name


async def test_a_role_in_one_task_is_none_in_another(guarded_jobs):
    mixed = bearer("mixed")
    cancel = job_pb2.CancelJobRequest(name="tasks/classification/jobs/a")

    assert await guarded_jobs.GetJob(get("fine"), metadata=mixed)
    assert (await failure(guarded_jobs.CancelJob(cancel, metadata=mixed))).code() is DENIED


async def test_a_refusal_does_not_tell_what_exists(guarded_jobs, remote):
    """Of resources and of backends: the answer is the same, but for the task."""
    names = [
        "tasks/classification/jobs/fine",
        "tasks/classification/jobs/refused",
        "tasks/classification/nonsense",
        "tasks/semantic-segmentation/jobs/a",
    ]
    errors = [
        await failure(
            guarded_jobs.GetJob(job_pb2.GetJobRequest(name=name), metadata=bearer("detection"))
        )
        for name in names
    ]
    not_set_up = await failure(
        guarded_jobs.GetJob(
            job_pb2.GetJobRequest(name="tasks/detection/jobs/a"), metadata=bearer("semantic")
        )
    )

    said = {
        error.details().replace(task, "TASK")
        for error, task in zip(
            [*errors, not_set_up],
            [*["tasks/classification"] * 3, "tasks/semantic-segmentation", "tasks/detection"],
            strict=True,
        )
    }
    assert {error.code() for error in (*errors, not_set_up)} == {DENIED}
    assert len(said) == 1
    assert error_info(not_set_up).metadata == {"role": "viewer"}
    assert remote.calls == 0


# What a backend is told.


async def test_a_service_sees_the_caller_and_not_its_token(guarded_jobs, remote):
    forged = ("x-nocode-caller", "token:admin")

    await guarded_jobs.GetJob(get("fine"), metadata=[*bearer("viewer"), forged])

    assert remote.metadata["x-nocode-caller"] == ["token:viewer"]
    assert "authorization" not in remote.metadata


async def test_where_nobody_is_asked_a_caller_is_anonymous(jobs, remote):
    """And cannot pass for somebody."""
    await jobs.GetJob(get("fine"), metadata=[("x-nocode-caller", "me"), *bearer("secret")])

    assert remote.metadata["x-nocode-caller"] == ["anonymous"]
    assert "authorization" not in remote.metadata


# Lists over all tasks.


def _job(task, second):
    return job_pb2.Job(name=f"tasks/{task}/jobs/j{second}", create_time=Timestamp(seconds=second))


async def test_a_list_of_all_tasks_holds_those_that_the_caller_may_see(
    start_gateway, start_remote, tokens_file
):
    """Also where one service serves a task that it may see and one that it may not."""
    one, two = await start_remote(), await start_remote()
    channel = await start_gateway(
        settings={"tokens_file": tokens_file}, classification=one, segmentation=two
    )
    jobs = job_pb2_grpc.JobServiceStub(channel)
    request = job_pb2.ListJobsRequest(parent="tasks/-")

    await jobs.ListJobs(request, metadata=bearer("viewer"))
    all_calls = (one.calls, two.calls)
    await jobs.ListJobs(request, metadata=bearer("semantic"))

    assert all_calls == (1, 1)
    assert (one.calls, two.calls) == (1, 2)
    assert two.parent == "tasks/semantic-segmentation"
    assert one.parent == "tasks/-"


async def test_a_page_token_opens_no_other_list(start_gateway, start_remote, tokens_file):
    """Neither that of a caller with other roles, nor one that was written by hand."""
    remote = await start_remote()
    remote.resources = [_job("semantic-segmentation", second) for second in range(5, 0, -1)]
    channel = await start_gateway(
        settings={"tokens_file": tokens_file}, classification=remote, segmentation=remote
    )
    jobs = job_pb2_grpc.JobServiceStub(channel)
    page = await jobs.ListJobs(
        job_pb2.ListJobsRequest(parent="tasks/-", page_size=2), metadata=bearer("viewer")
    )
    written = json.loads(base64.urlsafe_b64decode(page.next_page_token))
    place = written["backends"].pop("classification")
    forged = [page.next_page_token]
    for backends in ({"segmentation": place}, {"instance-segmentation": place}):
        content = json.dumps(written | {"backends": backends}).encode()
        forged.append(base64.urlsafe_b64encode(content).decode())
    for token in forged:
        request = job_pb2.ListJobsRequest(parent="tasks/-", page_token=token)
        error = await failure(jobs.ListJobs(request, metadata=bearer("semantic")))
        assert error_info(error).reason == "PAGE_TOKEN_INVALID"
    mine = await jobs.ListJobs(
        job_pb2.ListJobsRequest(parent="tasks/-", page_size=2), metadata=bearer("semantic")
    )
    rest = await jobs.ListJobs(
        job_pb2.ListJobsRequest(parent="tasks/-", page_token=mine.next_page_token),
        metadata=bearer("semantic"),
    )
    assert len(mine.jobs) + len(rest.jobs) == 5


async def test_a_list_of_all_tasks_needs_a_role_in_one(guarded_jobs):
    """One that has a backend."""
    error = await failure(
        guarded_jobs.ListJobs(
            job_pb2.ListJobsRequest(parent="tasks/-"), metadata=bearer("detection")
        )
    )

    assert error.code() is DENIED


# Streams.


async def test_a_stream_cannot_leave_the_task_that_it_began_with(guarded, remote):
    """One service serves two tasks, and does not know that the caller may use only one."""
    stream = guarded.stream_stream(
        "/nocode.vision.v1.PredictionService/StreamPredict",
        request_serializer=prediction_pb2.StreamPredictRequest.SerializeToString,
    )

    async def ask(*names, token):
        requests = [prediction_pb2.StreamPredictRequest(name=name, id=name) for name in names]
        return await ended(stream(iter(requests), metadata=bearer(token), timeout=60))

    semantic, instance = "tasks/semantic-segmentation/models/m", "tasks/instance-segmentation/x"

    assert await ask(semantic, semantic, "", token="semantic") is grpc.StatusCode.OK
    assert await ask(semantic, instance, token="semantic") is DENIED
    assert await ask(semantic, instance, token="predictor") is grpc.StatusCode.OK


async def test_an_upload_is_refused_before_it_is_read(guarded, remote):
    datasets = dataset_pb2_grpc.DatasetServiceStub(guarded)
    never = asyncio.Event()

    async def endless():
        yield dataset_pb2.UploadArchiveRequest(parent="tasks/classification")
        await never.wait()

    async with asyncio.timeout(30):
        error = await failure(datasets.UploadArchive(endless(), metadata=bearer("viewer")))

    assert error.code() is DENIED
    assert remote.calls == 0
