"""Traces: one call across gateway, service and worker, by OpenTelemetry.

On if OTEL_EXPORTER_OTLP_ENDPOINT is set, and set up by the other standard variables, e.g.
OTEL_TRACES_SAMPLER. Else nothing of OpenTelemetry is imported, and handlers are left as they are.
A caller's own trace goes on here if it sends `traceparent`, as W3C Trace Context has it.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence

    from opentelemetry.context import Context as TraceContext
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = Callable[[Any, Context], Any]
    Metadata = Sequence[tuple[str, str | bytes]]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_HEADERS = frozenset({"traceparent", "tracestate"})
# What is a server's fault, as OpenTelemetry's conventions for RPC have it.
_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

_provider: TracerProvider | None = None
_tracer: Tracer | None = None

_log = logging.getLogger(__name__)


def set_up(process: str) -> None:
    """Begin to trace, if the environment says where traces go. Before handlers are registered.

    Args:
        process: What this process is, e.g. `gateway`; OTEL_SERVICE_NAME overrides it.
    """
    global _provider, _tracer
    if not any(os.environ.get(variable) for variable in _ENDPOINTS):
        return
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        # A cluster may set the variable for everything that runs in it.
        _log.warning(
            "%s is set, but OpenTelemetry is not installed, so there are no traces. Install the "
            "extra `tracing`, or unset the variable.",
            _ENDPOINTS[0],
        )
        return
    name = os.environ.get("OTEL_SERVICE_NAME") or f"nocode-vision-{process}"
    # Ended by `shut_down`: what would be done at exit waits half a minute for a collector that is
    # away.
    provider = TracerProvider(
        resource=Resource.create({"service.name": name}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _provider, _tracer = provider, provider.get_tracer("nocode.vision")


def shut_down(timeout_s: float = 3.0) -> None:
    """Send the spans that have ended and trace no more; gives up after `timeout_s`."""
    global _provider, _tracer  # noqa: PLW0603
    if _provider is not None:
        # If the collector is away, its own timeout is that of several attempts.
        sending = threading.Thread(target=_provider.shutdown, name="last-spans", daemon=True)
        sending.start()
        sending.join(timeout_s)
    _provider = _tracer = None


def ids() -> dict[str, str]:
    """Return `trace_id` and `span_id` of the running code; empty outside of a span."""
    if _tracer is None:
        return {}
    from opentelemetry import trace  # noqa: PLC0415

    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}


def traceparent() -> str:
    """Return the running code's place in its trace, to be kept; empty outside of a span."""
    return dict(_headers()).get("traceparent", "")


def with_traceparent(metadata: Metadata) -> Metadata:
    """Return a call's metadata with this process's place in the trace instead of its caller's."""
    if _tracer is None:
        return metadata
    kept = tuple((key, value) for key, value in metadata if key not in _HEADERS)
    return (*kept, *_headers())


@contextlib.contextmanager
def span(name: str, *, parent: str = "", **attributes: str | int) -> Iterator[None]:
    """Make what is done inside a span.

    Args:
        name: What is done, of few kinds, e.g. `TRAIN`.
        parent: A `traceparent` that was kept; without one, the span of the running code.
        **attributes: More about it.
    """
    if _tracer is None:
        yield
        return
    context = _extract([("traceparent", parent)]) if parent else None
    with _tracer.start_as_current_span(name, context, attributes=attributes):
        yield


def traced(handler: Handler, path: str) -> Handler:
    """Return a handler that makes each call a span; if this process traces nothing, the same one.

    Args:
        handler: An `async def` or an async generator.
        path: Of the method, e.g. `/nocode.vision.v1.JobService/GetJob`.
    """
    if _tracer is None:
        return handler
    if inspect.isasyncgenfunction(handler):

        async def stream(request: Any, context: Context) -> AsyncGenerator[Any]:
            with _call(path, context):
                answers = handler(request, context)
                async with contextlib.aclosing(answers):
                    async for answer in answers:
                        yield answer

        return stream

    async def call(request: Any, context: Context) -> Any:
        with _call(path, context):
            return await handler(request, context)

    return call


@contextlib.contextmanager
def _call(path: str, context: Context) -> Iterator[None]:
    """Make a call a span, with the code that it ends with."""
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    assert _tracer is not None  # noqa: S101 - for mypy: set before handlers are registered
    name = path.removeprefix("/")
    service, _, method = name.partition("/")
    with _tracer.start_as_current_span(
        name,
        _extract(context.invocation_metadata() or ()),
        kind=SpanKind.SERVER,
        attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        code = grpc.StatusCode.OK
        try:
            yield
        except grpc.aio.AbortError:
            code = _code(context)
            raise
        except BaseException:
            # gRPC cancels the handler when the caller hangs up, and when the deadline has passed.
            remaining_s = context.time_remaining()
            expired = remaining_s is not None and remaining_s <= 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
            raise
        finally:
            _set_code(span, code)


def _code(context: Context) -> grpc.StatusCode:
    code = context.code()
    return _CODES[code] if isinstance(code, int) else code


def _set_code(span: Span, code: grpc.StatusCode) -> None:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415

    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code in _FAULTS:
        span.set_status(StatusCode.ERROR, code.name)


def _extract(headers: Iterable[tuple[str, str | bytes]]) -> TraceContext:
    """Return the place in a trace that headers name; outside of any if they name none."""
    from opentelemetry.context import Context as TraceContext  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
        TraceContextTextMapPropagator,
    )

    carrier = {key: value for key, value in headers if key in _HEADERS}
    return TraceContextTextMapPropagator().extract(carrier, TraceContext())


def _headers() -> tuple[tuple[str, str], ...]:
    """Return the headers that name the running code's place in its trace."""
    if _tracer is None:
        return ()
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
        TraceContextTextMapPropagator,
    )

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return tuple(carrier.items())
