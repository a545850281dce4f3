"""Prometheus: what a server counts about its calls, and the HTTP port where it shows it.

Names and labels are those of go-grpc-prometheus, so that published dashboards fit.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

_METHOD_LABELS = ("grpc_type", "grpc_service", "grpc_method")
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ServerMetrics:
    """Counts the calls of a server, one `MethodMetrics` a method."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._started = Counter(
            "grpc_server_started_total", "Calls begun.", _METHOD_LABELS, registry=registry
        )
        self._handled = Counter(
            "grpc_server_handled_total",
            "Calls ended, by status code.",
            (*_METHOD_LABELS, "grpc_code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "grpc_server_handling_seconds",
            "Time from the start of a call to its end.",
            _METHOD_LABELS,
            buckets=_BUCKETS_S,
            registry=registry,
        )

    def method(self, grpc_type: str, service: str, method: str) -> MethodMetrics:
        """Return the counters of one method, e.g. `unary`, `nocode.vision.v1.JobService`, `GetJob`.

        Call it once a method, at registration: it looks up labels, which a call should not.
        """
        labels = (grpc_type, service, method)
        return MethodMetrics(
            self._started.labels(*labels), self._handled, self._seconds.labels(*labels), labels
        )


class MethodMetrics:
    """Counts the calls of one method."""

    __slots__ = ("_by_code", "_handled", "_labels", "_seconds", "_started")

    def __init__(
        self,
        started: Counter,
        handled: Counter,
        seconds: Histogram,
        labels: tuple[str, str, str],
    ) -> None:
        self._started = started
        self._handled = handled
        self._seconds = seconds
        self._labels = labels
        self._by_code: dict[grpc.StatusCode, Counter] = {}

    def start(self) -> float:
        """Count a call that begins; pass what this returns to `end`."""
        self._started.inc()
        return time.perf_counter()

    def end(self, started: float, code: grpc.StatusCode) -> float:
        """Count a call that has ended, and return how many seconds it took."""
        took_s = time.perf_counter() - started
        counter = self._by_code.get(code)
        if counter is None:
            counter = self._by_code[code] = self._handled.labels(*self._labels, code.name)
        counter.inc()
        self._seconds.observe(took_s)
        return took_s


def new_registry() -> CollectorRegistry:
    """Make a registry that has the figures of the process: memory, CPU, open files, collections."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class MetricsEndpoint(NamedTuple):
    """A running HTTP server that shows a registry."""

    port: int
    close: Callable[[], None]


def serve_http(registry: CollectorRegistry, host: str, port: int) -> MetricsEndpoint:
    """Show `registry` on an HTTP port, from a thread; port 0 takes any free one.

    Raises:
        OSError: The port is taken, or the host is not an address of this machine.
    """
    server, thread = start_http_server(port, addr=host, registry=registry)

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return MetricsEndpoint(server.server_port, close)
