"""What the wrapping of servicers promises, over a real channel."""

import asyncio
import json
import logging

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from common import logs
from common.errors import NotFound
from common.reasons import Reason
from common.rpc import contract, handlers
from common.rpc.metrics import ServerMetrics
from nocode.vision.v1 import (
    dataset_pb2,
    dataset_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    prediction_pb2,
    prediction_pb2_grpc,
)

MISSING = NotFound(Reason.RESOURCE_NOT_FOUND, "There is no such job.", name="x")


def complete(servicer_class):
    """Implement the methods that a test servicer leaves out, so that it can be registered."""

    async def once(self, request, context):
        raise MISSING

    async def stream(self, request, context):
        raise MISSING
        yield

    for service in contract.SERVICES:
        if servicer_class.__mro__[1].__name__ == f"{service.name}Servicer":
            for method in service.methods:
                if method.name not in vars(servicer_class):
                    setattr(
                        servicer_class, method.name, stream if method.server_streaming else once
                    )
    return servicer_class


@complete
class Jobs(job_pb2_grpc.JobServiceServicer):
    """Does what the name of the job says."""

    def __init__(self):
        self.ended = asyncio.Event()

    async def GetJob(self, request, context):
        match request.name:
            case "missing":
                raise MISSING
            case "bug":
                raise ZeroDivisionError("secret")
            case "abort":
                await context.abort(grpc.StatusCode.DATA_LOSS, "own words")
            case "slow":
                await asyncio.sleep(30)
        return job_pb2.Job(name=request.name)

    async def WatchJob(self, request, context):
        try:
            yield job_pb2.Job(name="first")
            match request.name:
                case "missing":
                    raise MISSING
                case "bug":
                    raise ZeroDivisionError("secret")
                case "slow":
                    await asyncio.sleep(30)
            yield job_pb2.Job(name="last")
        finally:
            self.ended.set()


@complete
class Datasets(dataset_pb2_grpc.DatasetServiceServicer):
    """Counts what is uploaded, and how uploads end."""

    def __init__(self):
        self.completed = self.broken_off = 0

    async def UploadArchive(self, request_iterator, context):
        size = 0
        try:
            async for request in request_iterator:
                if request.chunk == b"bad":
                    raise MISSING
                size += len(request.chunk)
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        self.completed += 1
        return dataset_pb2.UploadArchiveResponse(size_bytes=size)


@complete
class Predictions(prediction_pb2_grpc.PredictionServiceServicer):
    """Echoes ids."""

    async def StreamPredict(self, request_iterator, context):
        async for request in request_iterator:
            if request.id == "bad":
                raise MISSING
            yield prediction_pb2.StreamPredictResponse(id=request.id)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def jobs():
    return Jobs()


@pytest.fixture
def datasets():
    return Datasets()


@pytest.fixture
async def channel(registry, jobs, datasets):
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))

    handlers.register(server, [jobs, datasets, Predictions()], ServerMetrics(registry))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


def assert_is_missing(error: grpc.aio.AioRpcError):
    """The error is `MISSING`, details and all."""
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert error.details() == MISSING.message
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(error).details[0].Unpack(info)
    assert info.reason == "RESOURCE_NOT_FOUND"
    assert dict(info.metadata) == {"name": "x"}


def assert_is_internal(error: grpc.aio.AioRpcError, caplog):
    """The error tells the caller an incident, and the log everything."""
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in str(error.details()) + str(error.trailing_metadata())
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(error).details[0].Unpack(info)
    (record,) = [r for r in caplog.records if info.metadata["incident"] in r.getMessage()]
    assert isinstance(record.exc_info[1], ZeroDivisionError)


def handled(registry, method, code):
    return registry.get_sample_value(
        "grpc_server_handled_total",
        {
            "grpc_type": contract.shape(contract.METHODS[method]),
            "grpc_service": method.split("/")[1],
            "grpc_method": method.split("/")[2],
            "grpc_code": code,
        },
    )


GET = "/nocode.vision.v1.JobService/GetJob"
WATCH = "/nocode.vision.v1.JobService/WatchJob"


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - counters tell nobody when they change
            await asyncio.sleep(0.01)


async def get(stub, name):
    await stub.GetJob(job_pb2.GetJobRequest(name=name))


async def watch(stub, name):
    assert [job.name async for job in stub.WatchJob(job_pb2.WatchJobRequest(name=name))] == [
        "first"
    ]


CALLS = {"GetJob": get, "WatchJob": watch}


async def test_a_unary_call_is_answered_and_counted(channel, registry):
    stub = job_pb2_grpc.JobServiceStub(channel)

    answer = await stub.GetJob(job_pb2.GetJobRequest(name="a"))

    assert answer.name == "a"
    await until(lambda: handled(registry, GET, "OK") == 1)


@pytest.mark.parametrize("rpc", CALLS)
async def test_a_domain_error_is_a_status_with_details(channel, registry, rpc):
    stub = job_pb2_grpc.JobServiceStub(channel)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await CALLS[rpc](stub, "missing")

    assert_is_missing(caught.value)
    await until(lambda: handled(registry, f"/nocode.vision.v1.JobService/{rpc}", "NOT_FOUND") == 1)


@pytest.mark.parametrize("rpc", CALLS)
async def test_a_bug_is_told_to_the_log_and_not_to_the_caller(channel, registry, caplog, rpc):
    stub = job_pb2_grpc.JobServiceStub(channel)

    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as caught:
        await CALLS[rpc](stub, "bug")

    assert_is_internal(caught.value, caplog)
    await until(lambda: handled(registry, f"/nocode.vision.v1.JobService/{rpc}", "INTERNAL") == 1)


async def test_errors_of_streams_of_requests_have_details_too(channel):
    datasets = dataset_pb2_grpc.DatasetServiceStub(channel)
    predictions = prediction_pb2_grpc.PredictionServiceStub(channel)

    uploaded = await datasets.UploadArchive(
        iter(
            [
                dataset_pb2.UploadArchiveRequest(chunk=b"12"),
                dataset_pb2.UploadArchiveRequest(chunk=b"3"),
            ]
        )
    )
    with pytest.raises(grpc.aio.AioRpcError) as upload_error:
        await datasets.UploadArchive(iter([dataset_pb2.UploadArchiveRequest(chunk=b"bad")]))
    call = predictions.StreamPredict(
        iter([prediction_pb2.StreamPredictRequest(id=i) for i in ("1", "2", "bad", "3")])
    )
    answered = [(await call.read()).id, (await call.read()).id]
    with pytest.raises(grpc.aio.AioRpcError) as stream_error:
        await call.read()

    assert uploaded.size_bytes == 3
    assert_is_missing(upload_error.value)
    assert_is_missing(stream_error.value)
    assert answered == ["1", "2"]


async def test_a_method_may_abort_in_its_own_words(channel, registry, caplog):
    """The way that gRPC offers to end a call is left alone, and is no bug to log."""
    stub = job_pb2_grpc.JobServiceStub(channel)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetJob(job_pb2.GetJobRequest(name="abort"))

    assert caught.value.code() == grpc.StatusCode.DATA_LOSS
    assert caught.value.details() == "own words"
    await until(lambda: handled(registry, GET, "DATA_LOSS") == 1)
    assert "incident" not in caplog.text


async def test_a_passed_deadline_and_a_hang_up_are_told_apart(channel, registry):
    stub = job_pb2_grpc.JobServiceStub(channel)

    with pytest.raises(grpc.aio.AioRpcError):
        await stub.GetJob(job_pb2.GetJobRequest(name="slow"), timeout=0.2)
    call = stub.GetJob(job_pb2.GetJobRequest(name="slow"), timeout=30)
    await asyncio.sleep(0.2)
    call.cancel()

    await until(lambda: handled(registry, GET, "DEADLINE_EXCEEDED") == 1)
    await until(lambda: handled(registry, GET, "CANCELLED") == 1)
    assert handled(registry, GET, "INTERNAL") is None


async def test_a_stream_that_nobody_reads_any_more_is_closed(channel, registry, jobs, caplog):
    """What the servicer holds for a stream is given back when the client is gone."""
    stub = job_pb2_grpc.JobServiceStub(channel)

    call = stub.WatchJob(job_pb2.WatchJobRequest(name="slow"))
    first = await call.read()
    call.cancel()

    assert first.name == "first"
    async with asyncio.timeout(5):
        await jobs.ended.wait()
    await until(lambda: handled(registry, WATCH, "CANCELLED") == 1)
    assert "incident" not in caplog.text


async def test_logs_of_a_call_carry_its_request_id(channel, caplog):
    """One id finds a call in the gateway's log and in the service's."""
    formatter = logs.JsonFormatter()
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(json.loads(formatter.format(record)))
    logging.getLogger("common.rpc.errors").addHandler(handler)
    stub = job_pb2_grpc.JobServiceStub(channel)

    try:
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetJob(
                job_pb2.GetJobRequest(name="bug"), metadata=((handlers.REQUEST_ID_HEADER, "req-1"),)
            )
    finally:
        logging.getLogger("common.rpc.errors").removeHandler(handler)

    (line,) = lines
    assert line["request_id"] == "req-1"
    assert "ZeroDivisionError" in line["exception"]
    assert logs.request_id.get() == ""


def test_a_servicer_that_lacks_a_method_is_refused_at_start(registry):
    """Not at the first call."""

    class Half(job_pb2_grpc.JobServiceServicer):
        async def GetJob(self, request, context):
            return job_pb2.Job()

    metrics = ServerMetrics(registry)

    with pytest.raises(
        TypeError, match=r"JobService\.ListJobs must be implemented as an async def"
    ):
        handlers.register(None, [Half()], metrics)
    with pytest.raises(TypeError, match="no servicer"):
        handlers.register(None, [object()], metrics)


@pytest.mark.parametrize("rpc", ["GetJob", "WatchJob", "UploadArchive", "StreamPredict"])
async def test_a_request_that_is_no_message_is_the_callers_fault(channel, rpc):
    """In all four call shapes."""
    (path,) = [path for path in contract.METHODS if path.endswith(f"/{rpc}")]
    garbage = b"\xff\xff\xff\xff"
    shape = contract.shape(contract.METHODS[path])

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await {
            "unary": lambda: channel.unary_unary(path)(garbage),
            "server_stream": lambda: channel.unary_stream(path)(garbage).read(),
            "client_stream": lambda: channel.stream_unary(path)(iter([garbage])),
            "bidi_stream": lambda: channel.stream_stream(path)(iter([garbage])).read(),
        }[shape]()

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert info.reason == "REQUEST_UNREADABLE"


async def test_a_stream_that_breaks_off_does_not_look_complete(channel, datasets):
    """Ten uploads that are cancelled after their first piece, and none is taken for whole."""
    stub = dataset_pb2_grpc.DatasetServiceStub(channel)
    for _ in range(10):
        call = stub.UploadArchive()
        await call.write(dataset_pb2.UploadArchiveRequest(chunk=b"1"))
        await asyncio.sleep(0.02)
        call.cancel()

    await until(lambda: datasets.broken_off == 10)
    assert datasets.completed == 0
