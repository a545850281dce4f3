"""Puts our servicers on a server, each method wrapped once: errors, metrics, the request's id.

A wrapper costs a few microseconds a call, where an interceptor of grpc.aio costs tens.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import message, message_factory
from grpc_status import rpc_status

from common import logs, tracing
from common.errors import DomainError, Internal, InvalidInput, StorageUnavailable
from common.reasons import Reason
from common.rpc import contract, errors
from common.rpc.streams import until_end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable

    from google.protobuf.descriptor import MethodDescriptor

    from common.rpc.metrics import MethodMetrics, ServerMetrics

    Context = grpc.aio.ServicerContext[Any, Any]
    # From what grpc.aio has received to what the servicer is given.
    Parse = Callable[[Any], Any]
    Unary = Callable[[Any, Context], Any]
    Stream = Callable[[Any, Context], AsyncGenerator[Any]]

REQUEST_ID_HEADER = "x-request-id"

_SERVICES = {f"{service.name}Servicer": service for service in contract.SERVICES}

_OUR_FAULT = (Internal, StorageUnavailable)

_log = logging.getLogger(__name__)


def register(server: grpc.aio.Server, servicers: Iterable[object], metrics: ServerMetrics) -> None:
    """Put servicers on a server.

    A method that answers once is an `async def`; one that answers with a stream is an async
    generator. Whatever it raises reaches the caller as a status with details. A stream of requests
    ends, for the method, only if the caller has ended it.

    Args:
        server: Not yet started.
        servicers: Subclasses of the generated servicer classes.
        metrics: Where calls are counted.

    Raises:
        TypeError: An object is no servicer of ours, or a method is not of the kind above.
    """
    for servicer in servicers:
        bases = [kind.__name__ for kind in type(servicer).__mro__]
        service = next((_SERVICES[name] for name in bases if name in _SERVICES), None)
        if service is None:
            raise TypeError(f"{type(servicer).__name__} is no servicer of the contract")
        handlers = {
            method.name: _handler(
                getattr(servicer, method.name),
                method,
                metrics.method(contract.shape(method), service.full_name, method.name),
            )
            for method in service.methods
        }
        generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
        server.add_generic_rpc_handlers((generic,))
        server.add_registered_method_handlers(service.full_name, handlers)


def _handler(
    implementation: Any, method: MethodDescriptor, metrics: MethodMetrics
) -> grpc.RpcMethodHandler[Any, Any]:
    # Requests are parsed here: what grpc.aio cannot parse itself, it answers with INTERNAL.
    parse: Parse = message_factory.GetMessageClass(method.input_type).FromString
    if method.client_streaming:
        parse = _parse_each(parse)
    make = _MAKE[method.client_streaming, method.server_streaming]
    wrapped: Unary | Stream
    if method.server_streaming:
        if not inspect.isasyncgenfunction(implementation):
            raise TypeError(f"{method.full_name} must be implemented as an async generator")
        wrapped = _wrap_stream(implementation, parse, method.name, metrics)
    else:
        if not inspect.iscoroutinefunction(implementation):
            raise TypeError(f"{method.full_name} must be implemented as an async def")
        wrapped = _wrap_unary(implementation, parse, method.name, metrics)
    serialize = message_factory.GetMessageClass(method.output_type).SerializeToString
    wrapped = tracing.traced(wrapped, f"/{method.containing_service.full_name}/{method.name}")
    handler: grpc.RpcMethodHandler[Any, Any] = make(wrapped, response_serializer=serialize)
    return handler


_MAKE: dict[tuple[bool, bool], Any] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _parse_each(parse: Parse) -> Parse:
    async def parsed(requests: AsyncIterable[bytes]) -> AsyncIterator[Any]:
        async for request in until_end(requests):
            yield parse(request)

    return parsed


def _wrap_unary(implementation: Unary, parse: Parse, name: str, metrics: MethodMetrics) -> Unary:
    async def call(request: Any, context: Context) -> Any:
        started = metrics.start()
        code = grpc.StatusCode.OK
        try:
            _note_request_id(context)
            return await implementation(parse(request), context)
        except BaseException as error:
            code, status = _outcome(error, context, name)
            if status is None:
                raise
            await context.abort_with_status(status)
        finally:
            metrics.end(started, code)

    return call


def _wrap_stream(implementation: Stream, parse: Parse, name: str, metrics: MethodMetrics) -> Stream:
    async def call(request: Any, context: Context) -> AsyncGenerator[Any]:
        started = metrics.start()
        code = grpc.StatusCode.OK
        answers = None
        try:
            _note_request_id(context)
            answers = implementation(parse(request), context)
            async for answer in answers:
                yield answer
        except BaseException as error:
            code, status = _outcome(error, context, name)
            if status is None:
                raise
            await context.abort_with_status(status)
        finally:
            metrics.end(started, code)
            if answers is not None:
                await answers.aclose()

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
    if isinstance(error, message.DecodeError):
        error = InvalidInput(
            Reason.REQUEST_UNREADABLE,
            f"The request's bytes are no message of {name}. Send one made from the same protos.",
        )
    if isinstance(error, DomainError):
        code, status = errors.code_of(error), errors.to_status(error)
        level = logging.WARNING if isinstance(error, _OUR_FAULT) else logging.DEBUG
        _log.log(level, "%s: %s: %s", name, error.reason, error.message)
    else:
        code, status = grpc.StatusCode.INTERNAL, errors.unexpected(error, doing=name)
    return code, rpc_status.to_status(status)
