"""The gateway, put together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from common.rpc.health import SERVER
from common.rpc.server import Server
from gateway import proxy
from gateway.backends import Backend
from gateway.routing import Router

if TYPE_CHECKING:
    from gateway.settings import GatewaySettings


class Gateway:
    """A server that passes calls on to the backends. Made inside the running event loop."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.server = Server(settings)
        self._backends = [
            Backend(name, address, settings.max_message_bytes)
            for name, address in settings.backends.items()
        ]
        self._watches: list[asyncio.Task[None]] = []
        proxy.register(self.server.grpc, Router(self._backends), self.server.metrics)
        self._tell_health()

    async def start(self) -> None:
        """Listen, and connect to the backends; does not wait for them."""
        await self.server.start()
        self._watches = [
            asyncio.create_task(backend.watch(self._tell_health)) for backend in self._backends
        ]

    async def drain(self) -> None:
        """Let the calls under way end, then close everything."""
        await self.server.drain()
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*(backend.close() for backend in self._backends))

    def _tell_health(self) -> None:
        """Report each backend under its name; the gateway serves while one of them does."""
        for backend in self._backends:
            self.server.health.set(backend.name, serving=backend.serving)
        self.server.health.set(SERVER, serving=any(b.serving for b in self._backends))
