"""The gRPC server that every process of ours runs: limits, health, reflection, metrics, drain."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from common.rpc import contract, tls
from common.rpc.health import Health
from common.rpc.metrics import MetricsEndpoint, ServerMetrics, new_registry, serve_http

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from prometheus_client import CollectorRegistry

    from common.settings import ServerSettings

    Admit = Callable[[str, grpc.aio.ServicerContext[Any, Any]], AbstractAsyncContextManager[None]]
    """Surrounds a call of a path, e.g. `/grpc.channelz.v1.Channelz/GetServers`, and ends it at once
    if it is not allowed."""

log = logging.getLogger(__name__)

# Error details travel in trailers; the default of 8 KiB is too little for a log's last lines.
METADATA_LIMITS = (
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.absolute_max_metadata_size", 64 * 1024),
)
# A watch of a training may last for hours; a connection that has aged only takes no new calls.
_AGED_CONNECTION_GRACE_S = 24 * 3600


def message_limits(max_message_bytes: int) -> tuple[tuple[str, int], ...]:
    """Return the channel arguments for the largest message; every hop needs them, both ways."""
    return (
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
    )


def server_options(settings: ServerSettings) -> tuple[tuple[str, int], ...]:
    """Return the channel arguments of a server."""
    return (
        *message_limits(settings.max_message_bytes),
        *METADATA_LIMITS,
        # Otherwise a second server binds the same port, and each gets some of the calls.
        ("grpc.so_reuseport", 0),
        # Clients behind load balancers ping often; the default answers them with GOAWAY.
        ("grpc.http2.min_ping_interval_without_data_ms", 500),
        ("grpc.keepalive_permit_without_calls", 1),
        # Notices clients that vanished without a word.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.http2.ping_timeout_ms", 20_000),
        # Clients reconnect now and then, and so find replicas that were added.
        ("grpc.max_connection_age_ms", round(settings.max_connection_age_s * 1000)),
        ("grpc.max_connection_age_grace_ms", _AGED_CONNECTION_GRACE_S * 1000),
    )


class Server:
    """A gRPC server with everything but its own servicers.

    Register those on `grpc`, then `start`, then set `health` to serving; at a stop, `drain`.
    Made inside the running event loop.

    Args:
        settings: The settings.
        registry: Where metrics are kept; a new one if not given.
        admit: Surrounds the calls of reflection and channelz, which tell of the server's inside;
            anybody may make them if not given. Health is open to all.
    """

    def __init__(
        self,
        settings: ServerSettings,
        registry: CollectorRegistry | None = None,
        admit: Admit | None = None,
    ) -> None:
        self.registry = new_registry() if registry is None else registry
        self.metrics = ServerMetrics(self.registry)
        self.health = Health()
        self.grpc = grpc.aio.server(options=server_options(settings))
        self.port = 0
        self.health_port = 0
        self._settings = settings
        self._metrics_endpoint: MetricsEndpoint | None = None
        self._health_server: grpc.aio.Server | None = None

        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.grpc)
        names = [
            *(service.full_name for service in contract.SERVICES),
            health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name,
            reflection.SERVICE_NAME,
        ]
        inside: Any = _Guarded(self.grpc, admit) if admit else self.grpc
        channelz_pb2_grpc.add_ChannelzServicer_to_server(channelz.aio.ChannelzServicer(), inside)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
            reflection.aio.ReflectionServicer(names), inside
        )

    @property
    def metrics_port(self) -> int:
        """The port of the metrics, once started."""
        return self._metrics_endpoint.port if self._metrics_endpoint else 0

    async def start(self) -> None:
        """Listen on all ports, then write the ready file.

        Raises:
            SystemExit: A port cannot be had, a certificate cannot be used, or the server would be
                open to other machines; carries one line that says which and what to do.
        """
        _refuse_to_be_open(self._settings)
        host = self._settings.host
        self.port = self._listen(self.grpc, "NOCODE_PORT", self._settings.port, is_secure=True)
        ports = {"port": self.port}
        if self._settings.health_port is not None:
            self._health_server = grpc.aio.server(options=server_options(self._settings))
            health_pb2_grpc.add_HealthServicer_to_server(self.health, self._health_server)
            self.health_port = ports["health_port"] = self._listen(
                self._health_server, "NOCODE_HEALTH_PORT", self._settings.health_port
            )
            await self._health_server.start()
        try:
            self._metrics_endpoint = serve_http(self.registry, host, self._settings.metrics_port)
        except OSError:
            raise _cannot_listen("NOCODE_METRICS_PORT", host, self._settings.metrics_port) from None
        ports["metrics_port"] = self.metrics_port
        await self.grpc.start()
        if self._settings.ready_file:
            await asyncio.to_thread(write_atomically, self._settings.ready_file, json.dumps(ports))
        log.info("listening on %s, metrics on %s", _address(host, self.port), self.metrics_port)

    def _listen(
        self, server: grpc.aio.Server, variable: str, port: int, *, is_secure: bool = False
    ) -> int:
        host = self._settings.host
        try:
            credentials = tls.server_credentials(self._settings) if is_secure else None
        except (OSError, ValueError) as error:
            raise SystemExit(f"The files of NOCODE_TLS_* cannot be used: {error}.") from None
        try:
            if credentials:
                return server.add_secure_port(_address(host, port), credentials)
            return server.add_insecure_port(_address(host, port))
        except RuntimeError:
            raise _cannot_listen(variable, host, port) from None

    async def drain(self) -> None:
        """Say NOT_SERVING, take no more calls, give those under way `drain_s` to end, and close."""
        self.health.drain()
        if self._settings.ready_file:
            await asyncio.to_thread(self._settings.ready_file.unlink, missing_ok=True)
        await self.grpc.stop(self._settings.drain_s)
        if self._health_server:
            await self._health_server.stop(None)
        if self._metrics_endpoint:
            # Takes half a second, for which nobody has to wait.
            threading.Thread(target=self._metrics_endpoint.close, daemon=True).start()


class _Guarded:
    """Puts methods on a server whose calls `admit` surrounds."""

    def __init__(self, server: grpc.aio.Server, admit: Admit) -> None:
        self._server = server
        self._admit = admit

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Do nothing: what is registered below is enough."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Put a service on the server."""
        guarded = {
            name: self._guard(f"/{service}/{name}", handler) for name, handler in handlers.items()
        }
        self._server.add_registered_method_handlers(service, guarded)

    def _guard(self, path: str, handler: Any) -> Any:
        if handler.response_streaming:

            async def answer_all(request: Any, context: Any) -> Any:
                async with self._admit(path, context):
                    async for response in handler.stream_stream(request, context):
                        yield response

            return handler._replace(stream_stream=answer_all)

        async def answer(request: Any, context: Any) -> Any:
            async with self._admit(path, context):
                return await handler.unary_unary(request, context)

        return handler._replace(unary_unary=answer)


async def wait_for_stop() -> None:
    """Return at the first SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        await stop.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
    log.info("stopping")


def write_atomically(path: Path, text: str) -> None:
    """Write a file that a reader sees whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _refuse_to_be_open(settings: ServerSettings) -> None:
    missing = settings.missing_protection()
    if not settings.is_public or settings.allow_open or not missing:
        return
    raise SystemExit(
        f"NOCODE_HOST is {settings.host}, which other machines may reach, but calls would not be "
        f"protected. Set {', and '.join(missing)}. If something else protects the port, set "
        "NOCODE_ALLOW_OPEN=true."
    )


def _cannot_listen(variable: str, host: str, port: int) -> SystemExit:
    return SystemExit(
        f"Cannot listen on {_address(host, port)}: the port is taken, or {host} is no address of "
        f"this machine. Set {variable} to a free port (0 takes any), or NOCODE_HOST."
    )
