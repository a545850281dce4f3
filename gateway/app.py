"""The gateway, put together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from common.rpc.health import SERVER
from common.rpc.server import Server
from common.rpc.tls import channel_credentials
from gateway import proxy
from gateway.access import Access
from gateway.backends import Backend
from gateway.routing import Router

if TYPE_CHECKING:
    from gateway.settings import GatewaySettings


_FILES_EVERY_S = 1.0


class Gateway:
    """A server that passes calls on to the backends. Made inside the running event loop.

    Raises:
        SystemExit: A file that the settings name cannot be used; carries a line that says why.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        try:
            self._access = Access(settings)
            self._credentials = (
                channel_credentials(
                    settings.backend_ca_file, settings.backend_cert_file, settings.backend_key_file
                )
                if settings.backend_ca_file
                else None
            )
        except (OSError, ValueError) as error:
            raise SystemExit(f"A file of the settings cannot be used: {error}.") from None
        self.server = Server(settings, admit=self._access.admit)
        self._backends = [
            Backend(
                name,
                address,
                settings.max_message_bytes,
                self._credentials.value if self._credentials else None,
            )
            for name, address in settings.backends.items()
        ]
        self._watches: list[asyncio.Task[None]] = []
        self._files: asyncio.Task[None] | None = None
        proxy.register(self.server.grpc, Router(self._backends), self._access, self.server.metrics)
        self._tell_health()

    async def start(self) -> None:
        """Listen, and connect to the backends; does not wait for them."""
        await self.server.start()
        self._watch_backends()
        self._files = asyncio.create_task(self._watch_files())

    async def drain(self) -> None:
        """Let the calls under way end, then close everything."""
        await self.server.drain()
        for task in (*self._watches, self._files):
            if task:
                task.cancel()
        await asyncio.gather(*(backend.close() for backend in self._backends))

    def _watch_backends(self) -> None:
        for watch in self._watches:
            watch.cancel()
        self._watches = [
            asyncio.create_task(backend.watch(self._tell_health)) for backend in self._backends
        ]

    async def _watch_files(self) -> None:
        """Use new tokens, keys and certificates soon after they were replaced; never returns."""
        while True:
            await asyncio.sleep(_FILES_EVERY_S)
            await self._access.refresh()
            if self._credentials is None:
                continue
            are_new = await asyncio.to_thread(self._credentials.refresh)
            if are_new:
                for backend in self._backends:
                    backend.reconnect(self._credentials.value)
                self._watch_backends()

    def _tell_health(self) -> None:
        """Report each backend under its name; the gateway serves while one of them does."""
        for backend in self._backends:
            self.server.health.set(backend.name, serving=backend.serving)
        self.server.health.set(SERVER, serving=any(b.serving for b in self._backends))
