"""The gateway as a process: `python -m gateway`."""

from __future__ import annotations

import asyncio

from common import logs, tracing
from common.rpc.server import wait_for_stop
from common.settings import load
from gateway.app import Gateway
from gateway.settings import GatewaySettings


async def serve(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    gateway = Gateway(settings)
    await gateway.start()
    await wait_for_stop()
    await gateway.drain()


def main() -> None:
    """Read the settings and serve."""
    settings = load(GatewaySettings)
    logs.set_up(settings.log_level)
    tracing.set_up("gateway")
    asyncio.run(serve(settings))
    tracing.shut_down()


if __name__ == "__main__":
    main()
