"""What Prometheus is told about the S3 server: the requests that this process sends it.

A request is one of HTTP, as the server sees it: an upload of many parts is many requests.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import urllib3
from prometheus_client import Counter, Histogram
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from urllib3.response import BaseHTTPResponse

TRANSIENT: Final = frozenset({429, 500, 502, 503, 504})
"""Statuses of a server that is too busy or unwell; a request that gets one is sent again."""

_OPERATIONS = ("get", "head", "list", "put", "delete")
_REFUSED = frozenset({401, 403})
_BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# One process has one storage, whoever uses it, so these are not made anew for each client.
_seconds = Histogram(
    "nocode_vision_storage_call_seconds",
    "Time from an S3 request to the beginning of its answer, with all repetitions.",
    ("operation",),
    buckets=_BUCKETS_S,
    registry=None,
)
_errors = Counter(
    "nocode_vision_storage_errors_total",
    "S3 requests given up: no answer, broken off, refused, or the server failed.",
    ("operation",),
    registry=None,
)
_retries = Counter(
    "nocode_vision_storage_retries_total",
    "S3 requests sent once more after a passing fault.",
    ("operation",),
    registry=None,
)
_seconds_of = {operation: _seconds.labels(operation) for operation in _OPERATIONS}
_errors_of = {operation: _errors.labels(operation) for operation in _OPERATIONS}
_retries_of = {operation: _retries.labels(operation) for operation in _OPERATIONS}


def show(registry: CollectorRegistry) -> None:
    """Show the requests of this process in a registry."""
    for metric in (_seconds, _errors, _retries):
        registry.register(metric)


def operation_of(method: str, url: str) -> str:
    """Return what a request does: `get`, `head`, `list`, `put` or `delete`."""
    query = parse_qs(urlsplit(url).query, keep_blank_values=True)
    match method:
        case "GET" if "list-type" in query:
            return "list"
        case "POST":  # either deletes many objects, or begins or ends an upload of many parts
            return "delete" if "delete" in query else "put"
        case "HEAD" | "PUT" | "DELETE":
            return method.lower()
        case _:
            return "get"


def count_retry(method: str, url: str) -> None:
    """Count a request that is about to be sent once more."""
    _retries_of[operation_of(method, url)].inc()


def count_broken_read() -> None:
    """Count an object whose content was given up after its answer had begun."""
    _errors_of["get"].inc()


class CountingPool(urllib3.PoolManager):
    """Connections to the S3 server that count and time what goes over them."""

    def urlopen(  # type: ignore[override] # as in the class above it
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> BaseHTTPResponse:
        """See `urllib3.PoolManager`."""
        operation = operation_of(method, url)
        started = time.perf_counter()
        try:
            response = super().urlopen(method, url, redirect=redirect, **options)
        except HTTPError:
            _errors_of[operation].inc()
            raise
        finally:
            _seconds_of[operation].observe(time.perf_counter() - started)
        if response.status in TRANSIENT or response.status in _REFUSED:
            _errors_of[operation].inc()
        return response
