"""`grpc.health.v1.Health` of a server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.names import shorten

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    _Context = grpc.aio.ServicerContext[
        health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    ]

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

SERVER = ""
"""The name that stands for the server as a whole."""


class Health(health_pb2_grpc.HealthServicer):
    """Says which services can be called. Used from the event loop's thread only.

    Differs from grpcio's own servicer: `Watch` ends at a drain. There it goes on, so that one
    watcher makes every stop take the whole grace period.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {SERVER: NOT_SERVING}
        self._draining = False
        self._changed = asyncio.Event()

    def set(self, service: str, *, serving: bool) -> None:
        """Tell what `service` is from now on; during a drain it stays NOT_SERVING."""
        status = SERVING if serving and not self._draining else NOT_SERVING
        if self._statuses.get(service) != status:
            self._statuses[service] = status
            self._wake()

    def drain(self) -> None:
        """Tell that everything is NOT_SERVING, for good, and end the watches."""
        self._draining = True
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._wake()

    async def Check(
        self,
        request: health_pb2.HealthCheckRequest,
        context: _Context,
    ) -> health_pb2.HealthCheckResponse:
        """Return a service's status."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"service is {shorten(request.service)!r}. This server knows "
                f"{', '.join(repr(name) for name in self._statuses)}.",
            )
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: _Context,  # noqa: ARG002 - the signature is gRPC's
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Send a service's status now and whenever it has changed."""
        sent = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, _UNKNOWN)
            if status != sent:
                # It may change meanwhile, so it is looked at again afterwards.
                yield health_pb2.HealthCheckResponse(status=status)
                sent = status
            elif self._draining:
                return
            else:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
