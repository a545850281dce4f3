"""What is traced, over a real channel and to a real collector, and what it costs not to."""

import asyncio
import json
import logging
import socket
import subprocess
import sys
import time

import grpc
import pytest
from prometheus_client import CollectorRegistry

from common import logs, tracing
from common.errors import NotFound
from common.reasons import Reason
from common.rpc import handlers
from common.rpc.metrics import ServerMetrics
from nocode.vision.v1 import job_pb2, job_pb2_grpc

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Jobs(job_pb2_grpc.JobServiceServicer):
    """Does what the name of the job says."""

    def __init__(self):
        self.at_work = asyncio.Event()

    async def GetJob(self, request, context):
        logging.getLogger("test").warning("at work")
        self.at_work.set()
        match request.name:
            case "missing":
                raise NotFound(Reason.RESOURCE_NOT_FOUND, "There is no such job.")
            case "bug":
                raise ZeroDivisionError("secret")
            case "slow":
                await asyncio.sleep(30)
        return job_pb2.Job(name=tracing.traceparent())

    async def WatchJob(self, request, context):
        self.at_work.set()
        yield job_pb2.Job(name=tracing.traceparent())
        if request.name == "missing":
            raise NotFound(Reason.RESOURCE_NOT_FOUND, "There is no such job.")
        await asyncio.sleep(30 if request.name == "slow" else 0)
        yield job_pb2.Job(name=tracing.traceparent())

    async def ListJobs(self, request, context):
        raise NotImplementedError

    async def CancelJob(self, request, context):
        raise NotImplementedError

    async def DownloadArtifact(self, request, context):
        raise NotImplementedError
        yield


@pytest.fixture
async def servicer():
    return Jobs()


@pytest.fixture
async def jobs(traced, servicer):
    """A stub of a traced server."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers.register(server, [servicer], ServerMetrics(CollectorRegistry()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield job_pb2_grpc.JobServiceStub(channel)
    await server.stop(0)


async def one_span(collector):
    """Return the only span, once it is there."""
    (span,) = await asyncio.to_thread(collector.wait_for, lambda spans: spans)
    return span


# Off.


async def handler(request, context):
    return request


async def stream(request, context):
    yield request


def test_what_is_off_costs_nothing():
    """A handler is left as it is, and so is metadata."""
    metadata = (("traceparent", TRACEPARENT),)

    assert tracing.traced(handler, "/s/m") is handler
    assert tracing.traced(stream, "/s/m") is stream
    assert tracing.with_traceparent(metadata) is metadata
    assert tracing.traceparent() == ""
    assert tracing.ids() == {}
    with tracing.span("TRAIN", parent=TRACEPARENT, job="j"):
        assert tracing.ids() == {}


@pytest.mark.parametrize("on", [False, True])
def test_opentelemetry_is_imported_only_if_its_variable_is_set(on):
    """It takes time and memory."""
    program = (
        "import sys\n"
        "from common import logs, tracing\n"
        "from common.rpc import handlers\n"
        "tracing.set_up('x')\n"
        "print('opentelemetry.trace' in sys.modules)"
    )
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"} if on else {}
    path = {"PYTHONPATH": ":".join(filter(None, sys.path))}

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=path | environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == str(on)


def test_without_the_extra_the_process_runs_and_says_why_there_are_no_traces(monkeypatch, caplog):
    """A cluster may set the variable for everything in it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    tracing.set_up("test")

    assert tracing.traced(handler, "/s/m") is handler
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed" in caplog.text


# On.


async def test_a_call_is_a_span_of_the_trace_that_its_caller_names(jobs, collector):
    """And what it does knows its own place there."""
    answer = await jobs.GetJob(
        job_pb2.GetJobRequest(name="x"), metadata=(("traceparent", TRACEPARENT),)
    )
    span = await one_span(collector)

    assert (span.trace_id, span.parent_id) == (TRACE, PARENT)
    assert answer.name == f"00-{TRACE}-{span.span_id}-01"
    assert span.process == "nocode-vision-test"
    assert span.name == "nocode.vision.v1.JobService/GetJob"
    assert span.attributes["rpc.service"] == "nocode.vision.v1.JobService"
    assert span.attributes["rpc.method"] == "GetJob"
    assert span.attributes["rpc.grpc.status_code"] == 0
    assert not span.failed


async def test_a_call_without_a_trace_begins_one(jobs, collector):
    await jobs.GetJob(job_pb2.GetJobRequest(name="x"), metadata=(("traceparent", "nonsense"),))
    span = await one_span(collector)

    assert span.trace_id not in {TRACE, "0" * 32}
    assert span.parent_id == ""


async def test_a_trace_that_its_caller_does_not_record_is_not_recorded(jobs, collector):
    """The last two digits say so."""
    not_recorded = f"00-{'1' * 32}-{PARENT}-00"
    await jobs.GetJob(job_pb2.GetJobRequest(name="x"), metadata=(("traceparent", not_recorded),))
    await jobs.GetJob(job_pb2.GetJobRequest(name="x"), metadata=(("traceparent", TRACEPARENT),))
    span = await one_span(collector)

    assert span.trace_id == TRACE


async def test_a_stream_is_one_span_from_its_first_answer_to_its_last(jobs, collector):
    watch = jobs.WatchJob(job_pb2.WatchJobRequest(name="x"))
    # The flags at the end say, among other things, that the id was drawn at random.
    answers = [job.name.rpartition("-")[0] async for job in watch]
    span = await one_span(collector)

    assert answers == [f"00-{span.trace_id}-{span.span_id}"] * 2


async def get(jobs, name):
    await jobs.GetJob(job_pb2.GetJobRequest(name=name))


async def watch(jobs, name):
    async for _ in jobs.WatchJob(job_pb2.WatchJobRequest(name=name)):
        pass


@pytest.mark.parametrize("call", [get, watch])
async def test_not_found_is_no_fault_of_the_server(jobs, collector, call):
    """A call may end badly and well."""
    with pytest.raises(grpc.aio.AioRpcError):
        await call(jobs, "missing")
    span = await one_span(collector)

    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert not span.failed


@pytest.mark.parametrize("call", [get, watch])
async def test_a_caller_that_hangs_up_ends_the_span(jobs, servicer, collector, caplog, call):
    """And leaves nothing behind that is complained of later."""
    calling = asyncio.create_task(call(jobs, "slow"))
    await servicer.at_work.wait()
    calling.cancel()
    span = await one_span(collector)

    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.CANCELLED.value[0]
    assert not span.failed
    assert "detach" not in caplog.text


async def test_a_bug_is_a_failed_span_that_does_not_tell_what_the_caller_is_not_told(
    jobs, collector
):
    """Its text may hold what is nobody's business; the log has it, with the trace's id."""
    with pytest.raises(grpc.aio.AioRpcError):
        await jobs.GetJob(job_pb2.GetJobRequest(name="bug"))
    span = await one_span(collector)

    assert span.failed
    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.INTERNAL.value[0]
    assert "secret" not in str(span)


async def test_a_line_of_the_log_has_the_ids_of_the_span_that_it_was_written_in(
    jobs, collector, caplog
):
    lines = []
    listener = logging.Handler()
    listener.emit = lambda record: lines.append(json.loads(logs.JsonFormatter().format(record)))
    logging.getLogger("test").addHandler(listener)
    await jobs.GetJob(job_pb2.GetJobRequest(name="x"))
    logging.getLogger("test").removeHandler(listener)
    span = await one_span(collector)

    (line,) = [line for line in lines if line["message"] == "at work"]
    assert (line["trace_id"], line["span_id"]) == (span.trace_id, span.span_id)


def test_metadata_that_goes_on_names_this_process_instead_of_the_caller(traced):
    """All else is kept."""
    before = (("traceparent", TRACEPARENT), ("tracestate", "a=b"), ("x-request-id", "r"))
    with tracing.span("outer", parent=TRACEPARENT):
        after = tracing.with_traceparent(before)
        here = tracing.traceparent()

    assert after == (("x-request-id", "r"), ("traceparent", here))
    assert here.startswith(f"00-{TRACE}-")
    assert PARENT not in here


def test_a_job_goes_on_with_the_trace_that_it_kept(traced, collector):
    """Even if the worker has none itself."""
    with tracing.span("IMPORT", parent=TRACEPARENT, job="tasks/t/jobs/j", attempt=2):
        pass
    (span,) = collector.wait_for(lambda spans: spans)

    assert (span.name, span.trace_id, span.parent_id) == ("IMPORT", TRACE, PARENT)
    assert span.attributes == {"job": "tasks/t/jobs/j", "attempt": 2}


def test_a_collector_that_is_away_holds_nobody_up(monkeypatch):
    """Neither those who make spans nor the end of the process."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # accepts, and says nothing
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        tracing.set_up("test")
        began = time.perf_counter()
        for _ in range(3000):
            with tracing.span("IMPORT"):
                pass
        made_s = time.perf_counter() - began
        tracing.shut_down(timeout_s=0.5)
        took_s = time.perf_counter() - began - made_s

    assert made_s < 5.0
    assert took_s < 2.0
