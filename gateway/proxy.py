"""Calls, passed on as they are: bytes, metadata, deadline, cancellation, status and details."""

from __future__ import annotations

import asyncio
import logging
from random import getrandbits
from typing import TYPE_CHECKING, Any

import grpc
from grpc_status import rpc_status

from common import logs
from common.errors import DomainError, InvalidInput
from common.reasons import Reason
from common.rpc import contract, errors
from common.rpc.handlers import REQUEST_ID_HEADER
from common.rpc.streams import until_end
from gateway import lists
from gateway.routing import ALL_TASKS, Router, first_field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from google.protobuf.descriptor import MethodDescriptor

    from common.rpc.metrics import MethodMetrics, ServerMetrics
    from gateway.backends import Backend

    Context = grpc.aio.ServicerContext[bytes, bytes]
    Metadata = tuple[tuple[str, str | bytes], ...]

_log = logging.getLogger(__name__)


def register(server: grpc.aio.Server, router: Router, metrics: ServerMetrics) -> None:
    """Answer every method of the contract by passing the call on."""
    for service in contract.SERVICES:
        server.add_registered_method_handlers(
            service.full_name,
            {
                method.name: _handler(
                    _Method(f"/{service.full_name}/{method.name}", method, router),
                    metrics.method(contract.shape(method), service.full_name, method.name),
                )
                for method in service.methods
            },
        )


def _handler(method: _Method, metrics: MethodMetrics) -> grpc.RpcMethodHandler[bytes, bytes]:
    request = "stream" if method.streams_requests else "unary"
    response = "stream" if method.streams_responses else "unary"
    make = getattr(grpc, f"{request}_{response}_rpc_method_handler")
    handler: grpc.RpcMethodHandler[bytes, bytes] = make(_guard(method, metrics))
    return handler


class _Visit:
    """What of a caller's metadata goes on to a backend, and the id of the request."""

    __slots__ = ("metadata", "request_id")

    def __init__(self, context: Context) -> None:
        metadata: list[tuple[str, str | bytes]] = []
        request_id: str | bytes = ""
        for key, value in context.invocation_metadata() or ():
            if key == REQUEST_ID_HEADER:
                request_id = value
            # What concerns one hop is said anew on the next: encodings, timeouts, the agent.
            elif key != "user-agent" and not key.startswith("grpc-"):
                metadata.append((key, value))
        self.request_id = str(request_id) or f"{getrandbits(128):032x}"
        metadata.append((REQUEST_ID_HEADER, self.request_id))
        self.metadata = tuple(metadata)

    def trailers(self, of_backend: Iterable[tuple[str, str | bytes]] | None = None) -> Metadata:
        """Return the metadata that ends the call, with the request's id.

        The id is there, and not in the first metadata, because it is in one place then whether
        the call succeeds or fails.
        """
        kept = [(key, value) for key, value in of_backend or () if key != REQUEST_ID_HEADER]
        return (*kept, (REQUEST_ID_HEADER, self.request_id))


def _guard(
    method: _Method, metrics: MethodMetrics
) -> Callable[[Any, Context], Awaitable[bytes | None]]:
    """Wrap a method: whatever happens to a call ends as a status, is counted and is logged."""

    async def call(request: Any, context: Context) -> bytes | None:
        started = metrics.start()
        code = grpc.StatusCode.OK
        visit = _Visit(context)
        logs.request_id.set(visit.request_id)
        try:
            return await method.answer(request, context, visit)
        except grpc.aio.AioRpcError as error:
            code = error.code()
            await context.abort(
                code, error.details() or "", visit.trailers(error.trailing_metadata())
            )
        except asyncio.CancelledError:
            # gRPC cancels the handler when the caller hangs up, and when the deadline has passed.
            remaining_s = context.time_remaining()
            expired = remaining_s is not None and remaining_s <= 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.InternalError:
            # An answer could not be written: the caller has vanished, and nobody is told so.
            code = grpc.StatusCode.CANCELLED
            raise asyncio.CancelledError from None
        except Exception as error:  # noqa: BLE001 - a caller is told, whatever it is
            if isinstance(error, DomainError):
                status = rpc_status.to_status(errors.to_status(error))
            else:
                status = rpc_status.to_status(errors.unexpected(error, doing=method.path))
            code = status.code
            await context.abort(code, status.details, visit.trailers(status.trailing_metadata))
        finally:
            took_s = metrics.end(started, code)
            # A line costs more than all else that happens here, so good calls are only counted.
            level = logging.DEBUG if code is grpc.StatusCode.OK else logging.INFO
            if _log.isEnabledFor(level):
                ms = round(took_s * 1000, 2)
                _log.log(level, "%s %s", method.path, code.name, extra={"ms": ms})

    return call


class _Method:
    """A method of the contract."""

    def __init__(self, path: str, method: MethodDescriptor, router: Router) -> None:
        self.path = path
        self.streams_requests = method.client_streaming
        self.streams_responses = method.server_streaming
        self._field = method.input_type.fields_by_number[1].name
        self._router = router
        self._list = lists.List(method, router.backends) if lists.is_list(method) else None

    async def answer(self, request: Any, context: Context, visit: _Visit) -> bytes | None:
        """Pass a call on to the backend that its first message names, and its answers back."""
        if self.streams_requests:
            messages = until_end(request)
            first = await anext(messages, None)
            if first is None:
                raise InvalidInput(
                    Reason.FIELD_REQUIRED,
                    f"The stream ended before its first message, which must have {self._field}.",
                    field=self._field,
                )
        else:
            first = request
        name = first_field(first)
        if self._list and name == ALL_TASKS:
            return await self._list_all(self._list, first, context, visit)
        backend = self._router.backend(name, field=self._field, wildcard=bool(self._list))
        call = self._begin(backend, None if self.streams_requests else first, context, visit)
        sending = None
        if self.streams_requests:
            sending = asyncio.create_task(_send_all(call, first, messages))
        try:
            if not self.streams_responses:
                return await _pass_response(call, context, visit)
            await _pass_stream(call, context, visit)
            return None  # all has been written
        except grpc.aio.AioRpcError as error:
            raise backend.explain(error) from None
        except asyncio.CancelledError:
            # Unless the caller did it, the failure of the other direction did; say that instead,
            # because a handler that ends as cancelled leaves a caller without an answer.
            if sending and sending.done() and not sending.cancelled():
                sending.result()
            raise
        finally:
            call.cancel()  # does nothing to one that has ended
            if sending:
                sending.cancel()

    def _begin(
        self, backend: Backend, request: bytes | None, context: Context, visit: _Visit
    ) -> Any:
        return backend.calls[self.path](
            *(() if request is None else (request,)),
            timeout=context.time_remaining(),
            metadata=visit.metadata,
        )

    async def _list_all(
        self, of_all: lists.List, request: bytes, context: Context, visit: _Visit
    ) -> bytes:
        async def ask(backend: Backend, page: bytes) -> bytes:
            try:
                answer: bytes = await self._begin(backend, page, context, visit)
            except grpc.aio.AioRpcError as error:
                raise backend.explain(error) from None
            return answer

        page = await of_all.page(request, ask)
        context.set_trailing_metadata(visit.trailers())
        return page


async def _send_all(call: Any, first: bytes, rest: AsyncIterator[bytes]) -> None:
    """Send a caller's messages on; a stream that breaks off breaks off at the backend too.

    `call.write` would do, if it did not, when the backend has ended the call meanwhile, sometimes
    put an INTERNAL of its own in the place of the backend's status. What it wraps does not.
    """
    try:
        await call.wait_for_connection()
        await call._cython_call.send_serialized_message(first)
        async for message in rest:
            await call._cython_call.send_serialized_message(message)
        await call.done_writing()
    except (grpc.aio.AioRpcError, grpc.aio.InternalError):
        pass  # The call has ended; whoever reads its answers learns why.
    except BaseException:
        call.cancel()
        raise


async def _pass_response(call: Any, context: Context, visit: _Visit) -> bytes:
    try:
        response: bytes = await call
    except grpc.aio.AioRpcError as error:
        if headers := error.initial_metadata():
            await context.send_initial_metadata(tuple(headers))
        raise
    if headers := await call.initial_metadata():
        await context.send_initial_metadata(tuple(headers))
    context.set_trailing_metadata(visit.trailers(await call.trailing_metadata()))
    return response


async def _pass_stream(call: Any, context: Context, visit: _Visit) -> None:
    headers = await call.initial_metadata()
    # Sent even if empty: a caller may wait for it before it sends more. A call that failed at
    # once has none, and may be tried again only if the caller sees none.
    if headers or not call.done():
        await context.send_initial_metadata(tuple(headers))
    async for message in call:
        await context.write(message)
    context.set_trailing_metadata(visit.trailers(await call.trailing_metadata()))
