"""Calls, passed on as they are: bytes, metadata, deadline, cancellation, status and details."""

from __future__ import annotations

import asyncio
import logging
from random import getrandbits
from typing import TYPE_CHECKING, Any

import grpc
from grpc_status import rpc_status

from common import logs, names, tracing
from common.errors import DomainError, InvalidInput
from common.reasons import Reason
from common.rpc import contract, errors
from common.rpc.handlers import REQUEST_ID_HEADER
from common.rpc.streams import until_end
from gateway import audit, lists
from gateway.access import AUTHORIZATION_HEADER, CALLER_HEADER, authorization_of, denied
from gateway.roles import CHANGING, LEAST
from gateway.routing import ALL_TASKS, Router, first_field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from google.protobuf.descriptor import MethodDescriptor

    from common.rpc.metrics import MethodMetrics, ServerMetrics
    from gateway.access import Access
    from gateway.backends import Backend
    from gateway.roles import Caller

    Context = grpc.aio.ServicerContext[bytes, bytes]
    Metadata = tuple[tuple[str, str | bytes], ...]

_OF_ONE_HOP = frozenset({"user-agent", AUTHORIZATION_HEADER, CALLER_HEADER})
_MAX_REQUEST_ID_LENGTH = 128
"""A longer one, which every line of the log would repeat, gives way to one of ours."""

_log = logging.getLogger(__name__)


def register(
    server: grpc.aio.Server,
    router: Router,
    access: Access,
    metrics: ServerMetrics,
) -> None:
    """Answer every method of the contract by passing the call on, if its caller may make it."""
    for service in contract.SERVICES:
        server.add_registered_method_handlers(
            service.full_name,
            {
                method.name: _handler(
                    _Method(f"/{service.full_name}/{method.name}", method, router),
                    access,
                    metrics.method(contract.shape(method), service.full_name, method.name),
                )
                for method in service.methods
            },
        )


def _handler(
    method: _Method, access: Access, metrics: MethodMetrics
) -> grpc.RpcMethodHandler[bytes, bytes]:
    request = "stream" if method.streams_requests else "unary"
    response = "stream" if method.streams_responses else "unary"
    make = getattr(grpc, f"{request}_{response}_rpc_method_handler")
    handler: grpc.RpcMethodHandler[bytes, bytes] = make(
        tracing.traced(_guard(method, access, metrics), method.path)
    )
    return handler


class _Visit:
    """A call: who makes it, what it names, and what of its metadata goes on to a backend."""

    __slots__ = ("authorization", "caller", "metadata", "request_id", "resource", "result")

    def __init__(self, context: Context) -> None:
        metadata: list[tuple[str, str | bytes]] = []
        request_id: str | bytes = ""
        self.authorization = authorization_of(context)
        self.resource = self.result = ""
        self.caller: Caller | None = None
        for key, value in context.invocation_metadata() or ():
            if key == REQUEST_ID_HEADER:
                request_id = value
            # What concerns one hop is said anew on the next: encodings, timeouts, the agent, the
            # caller. Its token ends here: a service has no use for it.
            elif key not in _OF_ONE_HOP and not key.startswith("grpc-"):
                metadata.append((key, value))
        self.request_id = str(request_id)
        if not 0 < len(self.request_id) <= _MAX_REQUEST_ID_LENGTH:
            self.request_id = f"{getrandbits(128):032x}"
        metadata.append((REQUEST_ID_HEADER, self.request_id))
        self.metadata = metadata

    def by(self, caller: Caller) -> None:
        """Note who calls, also for the backend."""
        self.caller = caller
        self.metadata.append((CALLER_HEADER, caller.name))

    def trailers(self, of_backend: Iterable[tuple[str, str | bytes]] | None = None) -> Metadata:
        """Return the metadata that ends the call, with the request's id.

        The id is there, and not in the first metadata, because it is in one place then whether
        the call succeeds or fails.
        """
        kept = [(key, value) for key, value in of_backend or () if key != REQUEST_ID_HEADER]
        return (*kept, (REQUEST_ID_HEADER, self.request_id))


def _guard(
    method: _Method, access: Access, metrics: MethodMetrics
) -> Callable[[Any, Context], Awaitable[bytes | None]]:
    """Wrap a method: who calls is found out; whatever happens ends as a status, is counted, logged.

    Who calls is known before a stream is read, and what it may do before a backend hears of it.
    """
    is_change = method.path in CHANGING

    async def call(request: Any, context: Context) -> bytes | None:
        started = metrics.start()
        code = grpc.StatusCode.OK
        visit = _Visit(context)
        logs.request_id.set(visit.request_id)
        try:
            caller = await access.caller(visit.authorization)
            visit.by(caller)
            with access.share(caller, context):
                return await method.answer(request, context, visit, caller)
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
            if is_change:
                audit.record(
                    caller=visit.caller.name if visit.caller else "",
                    peer=context.peer(),
                    path=method.path,
                    resource=visit.resource or method.named(request),
                    result=visit.result,
                    code=code.name,
                )
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
        self._list = lists.List(method) if lists.is_list(method) else None
        self._role = LEAST[path]
        self._names_result = path in CHANGING and _answers_with_a_name(method)

    def named(self, request: Any) -> str:
        """Return what a request names; empty if that cannot be told, as before a stream is read."""
        try:
            return "" if self.streams_requests else first_field(request)
        except InvalidInput:
            return ""

    async def answer(
        self, request: Any, context: Context, visit: _Visit, caller: Caller
    ) -> bytes | None:
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
        name = visit.resource = first_field(first)
        if self._list and name == ALL_TASKS:
            return await self._list_all(self._list, first, context, visit, caller)
        task = self._router.task(name, field=self._field, wildcard=bool(self._list))
        if not caller.has(self._role, task):
            raise denied(self._role, f"tasks/{task}")
        backend = self._router.backend(task)
        call = self._begin(backend, None if self.streams_requests else first, context, visit)
        sending = None
        if self.streams_requests:
            if not all(caller.has(self._role, other) for other in backend.tasks):
                messages = self._checked(messages, task)
            sending = asyncio.create_task(_send_all(call, first, messages))
        try:
            if not self.streams_responses:
                response = await _pass_response(call, context, visit)
                if self._names_result:
                    visit.result = first_field(response)
                return response
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
        return backend.begin(
            self.path,
            *(() if request is None else (request,)),
            timeout=context.time_remaining(),
            metadata=tracing.with_traceparent(visit.metadata),
        )

    async def _checked(self, messages: AsyncIterator[bytes], task: str) -> AsyncIterator[bytes]:
        """Pass on what stays in a task, where the caller may not use all that its backend serves.

        A message of a stream may name another resource than the first, and a service cannot know
        what its caller may do.
        """
        async for message in messages:
            name = first_field(message)
            if name and self._router.task(name, field=self._field) != task:
                raise denied(self._role, f"the task of {names.shorten(name)}")
            yield message

    async def _list_all(
        self, of_all: lists.List, request: bytes, context: Context, visit: _Visit, caller: Caller
    ) -> bytes:
        """List all tasks in which the caller may; the others are as if they did not exist."""
        sources = []
        for backend in self._router.backends:
            tasks = [task for task in backend.tasks if caller.has(self._role, task)]
            if len(tasks) == len(backend.tasks):
                sources.append(lists.Source(backend))
            else:
                sources += [lists.Source(backend, task) for task in tasks]
        if not sources:
            raise denied(self._role, "a task")

        async def ask(backend: Backend, page: bytes) -> bytes:
            try:
                answer: bytes = await self._begin(backend, page, context, visit)
            except grpc.aio.AioRpcError as error:
                raise backend.explain(error) from None
            return answer

        page = await of_all.page(request, sources, ask)
        context.set_trailing_metadata(visit.trailers())
        return page


def _answers_with_a_name(method: MethodDescriptor) -> bool:
    """Return whether field 1 of the answer names what was made, or the job that makes it."""
    field = method.output_type.fields_by_number.get(1)
    return field is not None and field.name in {"name", "upload"}


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
