"""Whatever bytes a client sends, the answer is a refusal that it can act on, and life goes on."""

import random

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.rpc.contract import METHODS
from nocode.vision.v1 import job_pb2, job_pb2_grpc, prediction_pb2
from tests.gateway.remote import SERVING

EXPECTED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED}


def mutate(rng, good):
    """Damage a request: bits flipped, cut off, pieces repeated, noise put in."""
    data = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = data[: rng.randrange(len(data) + 1)]
            case 3:
                data[at:at] = rng.randbytes(rng.randint(1, 20))
            case 4:
                data[at:at] = b"\xff" * rng.randint(1, 12)
    return bytes(data)


@pytest.fixture
async def nowhere(start_gateway):
    """A gateway whose backends answer nothing: what gets through to them is UNAVAILABLE."""
    return await start_gateway(detection="127.0.0.1:1", ready=False)


async def test_damaged_requests_are_refused_and_the_gateway_stays_healthy(channel, nowhere):
    rng = random.Random(1)
    good = prediction_pb2.PredictRequest(
        name="tasks/detection/models/m",
        images=[prediction_pb2.Image(content=rng.randbytes(50))],
    ).SerializeToString()
    codes = set()
    paths = [path for path, method in METHODS.items() if not method.client_streaming]
    for _ in range(1000):
        path = rng.choice(paths)
        call = nowhere.unary_stream(path)(mutate(rng, good))
        codes.add(await call.code())

    assert codes <= EXPECTED | {grpc.StatusCode.UNAVAILABLE}
    assert grpc.StatusCode.INVALID_ARGUMENT in codes
    check = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert check.status == SERVING


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (path, method.input_type.fields_by_number[1].name)
        for path, method in sorted(METHODS.items())
    ],
)
async def test_a_request_without_its_first_field_is_told_which(channel, path, field):
    """For every method of the contract."""
    shape = channel.stream_stream if METHODS[path].client_streaming else channel.unary_stream
    request = iter([b""]) if METHODS[path].client_streaming else b""

    call = shape(path)(request)

    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await call.details()
    assert field in await call.details()


async def test_a_stream_without_a_message_is_told_what_is_missing(channel):
    call = channel.stream_unary("/nocode.vision.v1.DatasetService/UploadArchive")(iter([]))

    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "parent" in await call.details()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("x-empty", ""),
        ("x-spaces", "  a  "),
        ("x-request-id", ""),
        ("x-request-id", "y" * 4000),
        ("x_under.score-1", "~!@#$%^&*()"),
        ("x-nothing-bin", b""),
        ("x-all-bin", bytes(range(256))),
        ("grpc-previous-rpc-attempts", "3"),
    ],
)
async def test_metadata_that_grpc_allows_does_not_break_a_call(channel, key, value):
    job = await job_pb2_grpc.JobServiceStub(channel).GetJob(
        job_pb2.GetJobRequest(name="tasks/classification/jobs/fine"), metadata=[(key, value)]
    )

    assert job.name
