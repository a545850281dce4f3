"""What tests of servicers share: calls, and how they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from nocode.vision.v1 import pipeline_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable


PARENT = "tasks/classification"


class Failure(NamedTuple):
    """What a caller sees of an error."""

    code: grpc.StatusCode
    reason: str
    field: str
    message: str
    metadata: dict[str, str]


async def failure(call: Awaitable[object]) -> Failure:
    """Return how a call fails, which it must."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert status is not None, caught.value
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(request)
    assert info.domain == "nocode.vision"
    field = request.field_violations[0].field if request.field_violations else ""
    return Failure(caught.value.code(), info.reason, field, status.message, dict(info.metadata))


def keys(bucket):
    """Return all keys of a bucket."""
    return [stat.key for stat in bucket.list("")]


def create(service, dataset, *, parent=PARENT, pipeline_id="", request_id="", **fields):
    """Create a pipeline."""
    pipeline = pb.Pipeline(**{"architecture": "mobilenet_v3_small", "dataset": dataset} | fields)
    return service.pipelines.CreatePipeline(
        pb.CreatePipelineRequest(
            parent=parent, pipeline=pipeline, pipeline_id=pipeline_id, request_id=request_id
        )
    )
