"""The services behind the gateway: a channel to each, and whether it can be called."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import grpc

from common.errors import BackendUnavailable
from common.reasons import Reason
from common.rpc import contract
from common.rpc.server import METADATA_LIMITS, message_limits
from gateway.settings import TASKS_OF

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import MethodDescriptor

_log = logging.getLogger(__name__)

_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        # A replica gets calls while its own health is SERVING; one that drains gets none.
        "healthCheckConfig": {"serviceName": ""},
    }
)
_RETRY_AFTER_S = 2.0
DETAILS_KEY = "grpc-status-details-bin"


def channel_options(max_message_bytes: int) -> tuple[tuple[str, Any], ...]:
    """Return the channel arguments towards a backend. They bound how long a call can hang."""
    return (
        *message_limits(max_message_bytes),
        *METADATA_LIMITS,
        ("grpc.service_config", _SERVICE_CONFIG),
        # A backend is near. The proxy of the variable `http_proxy`, which may be set for downloads,
        # leads elsewhere.
        ("grpc.enable_http_proxy", 0),
        # A connection attempt that is not answered is given up after the least back-off.
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.dns_ares_query_timeout", 2_000),
        # New replicas are looked for this often when a connection ends; the default is 30 s.
        ("grpc.dns_min_time_between_resolutions_ms", 1_000),
        # A machine that vanished without a word is noticed. The ping's timeout decides;
        # `grpc.keepalive_timeout_ms` does nothing in this version of gRPC.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
    )


class _Link:
    """A channel, and how many calls are under way on it."""

    def __init__(
        self, target: str, max_message_bytes: int, credentials: grpc.ChannelCredentials | None
    ) -> None:
        options = channel_options(max_message_bytes)
        self.channel = (
            grpc.aio.secure_channel(target, credentials, options=options)
            if credentials
            else grpc.aio.insecure_channel(target, options=options)
        )
        self.calls: dict[str, Any] = {
            path: self._call(path, method) for path, method in contract.METHODS.items()
        }
        self.idle = asyncio.Event()
        self.idle.set()
        self._running = 0

    def _call(self, path: str, method: MethodDescriptor) -> Any:
        request = "stream" if method.client_streaming else "unary"
        response = "stream" if method.server_streaming else "unary"
        return getattr(self.channel, f"{request}_{response}")(path)

    def begin(self, path: str, *request: bytes, **options: Any) -> Any:
        """Begin a call and count it until it ends."""
        call = self.calls[path](*request, **options)
        self._running += 1
        self.idle.clear()
        call.add_done_callback(self._ended)
        return call

    def _ended(self, _call: object) -> None:
        self._running -= 1
        if not self._running:
            self.idle.set()


class Backend:
    """A service behind the gateway. Made inside the running event loop."""

    def __init__(
        self,
        name: str,
        address: str,
        max_message_bytes: int,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.name = name
        self.tasks = TASKS_OF[name]
        self.address = address
        self.serving = False
        self._max_message_bytes = max_message_bytes
        self._link = self._connect(credentials)
        self._retiring: dict[_Link, asyncio.Task[None]] = {}

    def begin(self, path: str, *request: bytes, **options: Any) -> Any:
        """Begin a call of a method with raw bytes."""
        return self._link.begin(path, *request, **options)

    def reconnect(self, credentials: grpc.ChannelCredentials) -> None:
        """Make the next calls on a new channel; `watch` must be called anew.

        Calls under way go on, and the channel that they are on is closed after them.
        """
        old, self._link = self._link, self._connect(credentials)
        self._retiring[old] = asyncio.create_task(self._retire(old))

    def _connect(self, credentials: grpc.ChannelCredentials | None) -> _Link:
        return _Link(f"dns:///{self.address}", self._max_message_bytes, credentials)

    async def _retire(self, link: _Link) -> None:
        await link.idle.wait()
        await link.channel.close()
        del self._retiring[link]

    async def watch(self, changed: Callable[[], None]) -> None:
        """Keep the channel connected and `serving` true to it; never returns.

        With the service configuration above, a channel is ready while a replica says SERVING.
        """
        channel = self._link.channel
        while True:
            state = channel.get_state(try_to_connect=True)
            # In other states it looks for a replica, and what was so before is the best guess.
            if state in {
                grpc.ChannelConnectivity.READY,
                grpc.ChannelConnectivity.TRANSIENT_FAILURE,
            }:
                serving = state is grpc.ChannelConnectivity.READY
                if serving != self.serving:
                    _log.log(
                        logging.INFO if serving else logging.WARNING,
                        "backend %s at %s is %s",
                        self.name,
                        self.address,
                        "serving" if serving else "not serving",
                    )
                self.serving = serving
                changed()
            await channel.wait_for_state_change(state)

    def unavailable(self) -> BackendUnavailable:
        """Return the error that a caller sees while the backend does not answer."""
        return BackendUnavailable(
            Reason.BACKEND_UNAVAILABLE,
            f"The backend {self.name} does not answer. Try again in a few seconds; if it stays "
            "so, its operator must look at it.",
            retry_after_s=_RETRY_AFTER_S,
            backend=self.name,
        )

    def explain(self, error: grpc.aio.AioRpcError) -> Exception:
        """Return what a caller sees of a call that failed: what the backend said, if it did.

        A status without details was made on this side of the connection, or by a backend that
        is going down; its text names addresses that are nobody's business.
        """
        trailers = error.trailing_metadata() or ()
        if error.code() is grpc.StatusCode.UNAVAILABLE and DETAILS_KEY not in trailers:
            _log.warning("backend %s at %s: %s", self.name, self.address, error.details())
            return self.unavailable()
        return error

    async def close(self) -> None:
        """End the calls under way and close the channels."""
        for link, task in self._retiring.items():
            task.cancel()
            await link.channel.close()
        await self._link.channel.close()
