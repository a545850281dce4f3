"""What the gateway adds to a caller's trace."""

import asyncio

import pytest

from nocode.vision.v1 import job_pb2_grpc
from tests.gateway.calls import get, watch

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
METADATA = (("traceparent", f"00-{TRACE}-{CALLER}-01"), ("tracestate", "a=b"))


async def ask(stub):
    await stub.GetJob(get("x"), metadata=METADATA)


async def follow(stub):
    async for _ in stub.WatchJob(watch("x"), metadata=METADATA):
        pass


@pytest.mark.parametrize("call", [ask, follow])
async def test_the_gateway_is_a_span_between_caller_and_service(
    traced, collector, channel, remote, call
):
    """What the caller says of its trace beside its place goes on."""
    await call(job_pb2_grpc.JobServiceStub(channel))
    (span,) = await asyncio.to_thread(collector.wait_for, lambda spans: spans)

    assert (span.trace_id, span.parent_id) == (TRACE, CALLER)
    (seen,) = remote.metadata["traceparent"]
    assert seen.split("-")[1:3] == [TRACE, span.span_id]
    assert remote.metadata["tracestate"] == ["a=b"]


@pytest.mark.parametrize("call", [ask, follow])
async def test_without_traces_of_its_own_the_gateway_passes_the_caller_s_on(channel, remote, call):
    """A service may trace all the same."""
    await call(job_pb2_grpc.JobServiceStub(channel))

    assert remote.metadata["traceparent"] == [METADATA[0][1]]
    assert remote.metadata["tracestate"] == ["a=b"]
