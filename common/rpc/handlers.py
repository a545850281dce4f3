"""Puts our servicers on a server, each method wrapped once: errors, metrics, the request's id.

A wrapper costs a few microseconds a call, where an interceptor of grpc.aio costs tens.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

import grpc
from grpc_status import rpc_status

from common import logs
from common.errors import DomainError
from common.rpc import contract, errors
from nocode.vision.v1 import (
    dataset_pb2_grpc,
    job_pb2_grpc,
    model_pb2_grpc,
    pipeline_pb2_grpc,
    prediction_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

    from common.rpc.metrics import MethodMetrics, ServerMetrics

    Context = grpc.aio.ServicerContext[Any, Any]
    Unary = Callable[[Any, Context], Any]
    Stream = Callable[[Any, Context], AsyncIterator[Any]]

REQUEST_ID_HEADER = "x-request-id"

_ADD: dict[type, Callable[[Any, grpc.aio.Server], None]] = {
    dataset_pb2_grpc.DatasetServiceServicer: dataset_pb2_grpc.add_DatasetServiceServicer_to_server,
    pipeline_pb2_grpc.PipelineServiceServicer: (
        pipeline_pb2_grpc.add_PipelineServiceServicer_to_server
    ),
    model_pb2_grpc.ModelServiceServicer: model_pb2_grpc.add_ModelServiceServicer_to_server,
    job_pb2_grpc.JobServiceServicer: job_pb2_grpc.add_JobServiceServicer_to_server,
    prediction_pb2_grpc.PredictionServiceServicer: (
        prediction_pb2_grpc.add_PredictionServiceServicer_to_server
    ),
}
_SERVICES: dict[str, ServiceDescriptor] = {
    f"{service.name}Servicer": service for service in contract.SERVICES
}

_log = logging.getLogger(__name__)


def register(server: grpc.aio.Server, servicers: Iterable[object], metrics: ServerMetrics) -> None:
    """Put servicers on a server.

    A method that answers once is an `async def`; one that answers with a stream is an async
    generator. Whatever it raises reaches the caller as a status with details.

    Args:
        server: Not yet started.
        servicers: Subclasses of the generated servicer classes.
        metrics: Where calls are counted.

    Raises:
        TypeError: An object is no servicer of ours, or a method is not of the kind above.
    """
    for servicer in servicers:
        base = next((kind for kind in type(servicer).__mro__ if kind in _ADD), None)
        if base is None:
            raise TypeError(f"{type(servicer).__name__} is no servicer of the contract")
        _ADD[base](_Wrapped(servicer, _SERVICES[base.__name__], metrics), server)


class _Wrapped:
    """Has the methods of a servicer, wrapped, under the same names."""

    def __init__(
        self, servicer: object, service: ServiceDescriptor, metrics: ServerMetrics
    ) -> None:
        for method in service.methods:
            implementation = getattr(servicer, method.name)
            counts = metrics.method(contract.shape(method), service.full_name, method.name)
            wrapped: Unary | Stream
            if method.server_streaming:
                _require(inspect.isasyncgenfunction(implementation), method, "async generator")
                wrapped = _wrap_stream(implementation, method.name, counts)
            else:
                _require(inspect.iscoroutinefunction(implementation), method, "async def")
                wrapped = _wrap_unary(implementation, method.name, counts)
            setattr(self, method.name, wrapped)


def _require(is_right: bool, method: MethodDescriptor, kind: str) -> None:
    if not is_right:
        raise TypeError(f"{method.full_name} must be implemented as an {kind}")


def _wrap_unary(implementation: Unary, name: str, metrics: MethodMetrics) -> Unary:
    async def call(request: Any, context: Context) -> Any:
        started = metrics.start()
        code = grpc.StatusCode.OK
        try:
            _note_request_id(context)
            return await implementation(request, context)
        except BaseException as error:
            code, status = _outcome(error, context, name)
            if status is None:
                raise
            await context.abort_with_status(status)
        finally:
            metrics.end(started, code)

    return call


def _wrap_stream(implementation: Stream, name: str, metrics: MethodMetrics) -> Stream:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        started = metrics.start()
        code = grpc.StatusCode.OK
        answers = implementation(request, context)
        try:
            _note_request_id(context)
            async for answer in answers:
                yield answer
        except BaseException as error:
            code, status = _outcome(error, context, name)
            if status is None:
                raise
            await context.abort_with_status(status)
        finally:
            metrics.end(started, code)
            await answers.aclose()  # type: ignore[attr-defined]  # it is an async generator

    return call


def _note_request_id(context: Context) -> None:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_HEADER:
            logs.request_id.set(str(value))


def _outcome(
    error: BaseException, context: Context, name: str
) -> tuple[grpc.StatusCode, grpc.Status | None]:
    """Return the code that a call ends with and its status; none if gRPC itself ends the call."""
    if isinstance(error, grpc.aio.AbortError):
        return context.code(), None
    if not isinstance(error, Exception):
        # gRPC cancels the handler when the caller hangs up, and when the deadline has passed.
        remaining_s = context.time_remaining()
        if remaining_s is not None and remaining_s <= 0:
            return grpc.StatusCode.DEADLINE_EXCEEDED, None
        return grpc.StatusCode.CANCELLED, None
    if isinstance(error, DomainError):
        code, status = errors.code_of(error), errors.to_status(error)
        is_ours = code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
        level = logging.WARNING if is_ours else logging.DEBUG
        _log.log(level, "%s: %s: %s", name, error.reason, error.message)
    else:
        code, status = grpc.StatusCode.INTERNAL, errors.unexpected(error, doing=name)
    return code, rpc_status.to_status(status)
