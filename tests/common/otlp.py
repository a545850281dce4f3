"""A collector of traces: a real receiver of OTLP over gRPC, that keeps what it is sent."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True)
class Received:
    """A span as it was received; ids as they are written in a `traceparent`."""

    process: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    failed: bool


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """While entered, listens on a port of the loopback."""

    def __init__(self) -> None:
        self._spans: list[Received] = []
        self._arrived = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()

    @property
    def environment(self) -> dict[str, str]:
        """What a process must be started with to send its spans here, and soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    def Export(self, request: Any, context: Any) -> Any:
        """Keep spans."""
        spans = [
            _received(resource, span)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._arrived:
            self._spans.extend(spans)
            self._arrived.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def wait_for(
        self, is_there: Callable[[list[Received]], object], timeout_s: float = 30.0
    ) -> list[Received]:
        """Return all spans as soon as they are what is waited for."""
        end = time.monotonic() + timeout_s
        with self._arrived:
            while not is_there(self._spans):
                assert self._arrived.wait(end - time.monotonic()), f"only {self._spans}"
            return list(self._spans)


def _received(resource: Any, span: Any) -> Received:
    return Received(
        process=_attributes(resource.resource.attributes)["service.name"],
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        failed=span.status.code == 2,
    )


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
