"""A client sees through the gateway what it would see of the backend itself."""

import asyncio
import os
import re

import grpc
import pytest

from nocode.vision.v1 import (
    dataset_pb2,
    dataset_pb2_grpc,
    job_pb2,
    prediction_pb2,
    prediction_pb2_grpc,
)
from tests.gateway.calls import JOBS, TASK, chunks, error_info, failure, get, watch
from tests.gateway.remote import refusal

# The four shapes.


async def test_one_request_one_answer(jobs):
    assert (await jobs.GetJob(get("fine"))).name == f"{JOBS}/fine"


async def test_one_request_many_answers(jobs):
    answers = [job.attempt async for job in jobs.WatchJob(watch("fine"))]

    assert answers == [1, 2, 3]


async def test_many_requests_one_answer(datasets, remote):
    answer = await datasets.UploadArchive(chunks(1000, 2000, 3000))

    assert answer.size_bytes == 6000
    assert remote.uploads == [6000]


async def test_many_requests_many_answers_in_turns(predictions):
    """An answer comes back before the next request is sent."""
    call = predictions.StreamPredict()
    answers = []
    for number in range(5):
        await call.write(
            prediction_pb2.StreamPredictRequest(
                name=f"{TASK}/models/m" if not number else "", id=str(number)
            )
        )
        answers.append((await call.read()).id)
    await call.done_writing()

    assert await call.read() is grpc.aio.EOF
    assert answers == ["0", "1", "2", "3", "4"]


async def test_a_backend_may_end_a_stream_before_its_caller(predictions):
    call = predictions.StreamPredict()
    await call.write(prediction_pb2.StreamPredictRequest(name=f"{TASK}/models/m", id="last"))

    assert (await call.read()).id == "last"
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_message_of_20_mb_passes_both_ways(predictions):
    content = os.urandom(20 * 1024**2)
    request = prediction_pb2.PredictRequest(
        name=f"{TASK}/models/m", images=[prediction_pb2.Image(content=content)]
    )

    answer = await predictions.Predict(request)

    assert answer.predictions[0].overlay_png == content


async def test_fields_of_a_newer_contract_pass(channel, remote):
    """The gateway need not know a field to pass it on."""
    unknown_field = b"\xfa\x3f\x03new"  # number 1023
    call = channel.unary_unary("/nocode.vision.v1.JobService/GetJob")

    answer = await call(get("fine").SerializeToString() + unknown_field)

    assert job_pb2.Job.FromString(answer).name == f"{JOBS}/fine"


# Errors.


async def test_a_refusal_arrives_with_its_details_unchanged(jobs):
    error = await failure(jobs.GetJob(get("refused")))

    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error.details() == refusal().message
    details = error.trailing_metadata()["grpc-status-details-bin"]
    assert details == refusal().SerializeToString()
    assert error.trailing_metadata()["x-trailing"] == "of a refusal"


async def test_a_stream_is_refused_with_the_same_details(jobs):
    call = jobs.WatchJob(watch("refused"))

    error = await failure(call)

    assert error.trailing_metadata()["grpc-status-details-bin"] == refusal().SerializeToString()


async def test_a_stream_that_breaks_shows_what_came_before(jobs):
    call = jobs.WatchJob(watch("breaks"))
    seen = [(await call.read()).attempt for _ in range(3)]

    error = await failure(call.read())

    assert seen == [1, 2, 3]
    assert error.trailing_metadata()["grpc-status-details-bin"] == refusal().SerializeToString()


async def test_an_upload_can_be_refused_half_way(channel):
    """The refusal meets chunks on their way; it must win every time."""
    sent = [dataset_pb2.UploadArchiveRequest(parent=TASK, sha256="refused", chunk=bytes(1000))] * 50
    statuses = await asyncio.to_thread(_refused_uploads, channel.gateway.server.port, sent, 300)

    assert statuses == {refusal().SerializeToString()}


def _refused_uploads(port, sent, times):
    """Upload with the client that is not asyncio's, which shows the status as it comes."""
    statuses = set()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = dataset_pb2_grpc.DatasetServiceStub(channel)
        for _ in range(times):
            with pytest.raises(grpc.RpcError) as raised:
                stub.UploadArchive(iter(sent))
            trailers = dict(raised.value.trailing_metadata())
            statuses.add(trailers.get("grpc-status-details-bin", raised.value.details()))
    return statuses


async def test_a_message_over_the_limit_breaks_an_upload_off(start_gateway, remote):
    """The backend sees no end of it, and the caller is told of the limit."""
    channel = await start_gateway(settings={"max_message_bytes": 1024**2}, classification=remote)

    error = await failure(
        dataset_pb2_grpc.DatasetServiceStub(channel).UploadArchive(chunks(1000, 2 * 1024**2))
    )

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await asyncio.wait_for(remote.cancelled.wait(), 5)
    assert remote.uploads == []


async def test_an_answer_over_the_limit_is_resource_exhausted(start_gateway, remote):
    channel = await start_gateway(settings={"max_message_bytes": 1024**2}, classification=remote)
    request = prediction_pb2.PredictRequest(
        name=f"{TASK}/models/doubled", images=[prediction_pb2.Image(content=bytes(700_000))]
    )

    error = await failure(prediction_pb2_grpc.PredictionServiceStub(channel).Predict(request))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_bidirectional_stream_can_be_refused_half_way(predictions):
    call = predictions.StreamPredict()
    await call.write(prediction_pb2.StreamPredictRequest(name=f"{TASK}/models/m", id="1"))
    await call.read()
    await call.write(prediction_pb2.StreamPredictRequest(id="refused"))

    error = await failure(call.read())

    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_unavailable_with_details_is_the_backends_own(jobs):
    """Its storage may be down; to call the backend down instead would mislead."""
    error = await failure(jobs.GetJob(get("unavailable")))

    assert error_info(error).reason == "BECAUSE"


async def test_an_unknown_method_is_unimplemented(channel):
    for path in ("/nocode.vision.v1.JobService/Nothing", "/no.Service/Get", "/"):
        error = await failure(channel.unary_unary(path)(b""))

        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_method_that_the_backend_lacks_is_unimplemented(datasets):
    error = await failure(
        datasets.GetDataset(dataset_pb2.GetDatasetRequest(name=f"{TASK}/datasets/d"))
    )

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


# Metadata.


async def test_metadata_passes_both_ways(jobs, remote):
    call = jobs.GetJob(
        get("annotated"),
        metadata=[
            ("x-a", "1"),
            ("x-a", "2"),
            ("x-b-bin", b"\0\xff"),
        ],
    )
    await call

    assert remote.metadata["x-a"] == ["1", "2"]
    assert remote.metadata["x-b-bin"] == [b"\0\xff"]
    assert list((await call.initial_metadata()).get_all("x-initial")) == ["a", "b"]
    assert (await call.trailing_metadata())["x-trailing"] == "c"
    assert (await call.trailing_metadata())["x-trailing-bin"] == b"\0\xff"


async def test_a_streams_metadata_passes(jobs):
    call = jobs.WatchJob(watch("fine"))
    _ = [answer async for answer in call]

    assert (await call.trailing_metadata())["x-trailing"] == "of a stream"


async def test_the_first_metadata_of_a_stream_does_not_wait_for_a_message(jobs):
    call = jobs.WatchJob(watch("silent"))

    async with asyncio.timeout(5):
        metadata = await call.initial_metadata()

    assert metadata["x-initial"] == "early"
    call.cancel()


async def test_what_concerns_one_hop_is_not_forwarded(jobs, remote):
    await jobs.GetJob(get("fine"), metadata=[("user-agent", "theirs"), ("x-kept", "1")])

    assert remote.metadata["x-kept"] == ["1"]
    assert len(remote.metadata["user-agent"]) == 1
    assert "theirs" not in remote.metadata["user-agent"][0]
    assert not [key for key in remote.metadata if key.startswith("grpc-")]


async def test_a_request_id_is_kept_and_sent_back(jobs, remote):
    for kind in ("fine", "refused"):
        call = jobs.GetJob(get(kind), metadata=[("x-request-id", "mine")])
        await asyncio.wait([asyncio.ensure_future(_ended(call))])

        assert remote.metadata["x-request-id"] == ["mine"]
        assert (await call.trailing_metadata()).get_all("x-request-id") == ["mine"]


async def _ended(call):
    await call.code()


async def test_a_request_id_is_made_if_there_is_none(jobs, remote):
    call = jobs.GetJob(get("fine"))
    await call
    made = (await call.trailing_metadata())["x-request-id"]
    another = jobs.GetJob(get("fine"))
    await another

    assert re.fullmatch("[0-9a-f]{32}", made)
    assert (await another.trailing_metadata())["x-request-id"] != made


async def test_errors_of_the_gateway_have_a_request_id_too(jobs):
    error = await failure(jobs.GetJob(job_pb2.GetJobRequest(name="nonsense")))

    assert error.trailing_metadata()["x-request-id"]


# What is counted.


async def test_calls_are_counted_by_method_and_code(jobs, channel):
    await jobs.GetJob(get("fine"))
    await failure(jobs.GetJob(get("refused")))
    registry = channel.gateway.server.registry
    labels = {
        "grpc_type": "unary",
        "grpc_service": "nocode.vision.v1.JobService",
        "grpc_method": "GetJob",
    }

    def handled(code):
        return registry.get_sample_value("grpc_server_handled_total", labels | {"grpc_code": code})

    assert (handled("OK"), handled("FAILED_PRECONDITION")) == (1, 1)
    assert registry.get_sample_value("grpc_server_handling_seconds_count", labels) == 2
