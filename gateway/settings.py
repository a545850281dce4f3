"""Settings of the gateway."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from common.settings import ServerSettings

TASKS_OF = {
    "classification": ("classification",),
    "detection": ("detection",),
    "segmentation": ("semantic-segmentation", "instance-segmentation"),
}
"""The services behind the gateway, each with its tasks."""

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})")


class GatewaySettings(ServerSettings):
    """The gateway."""

    backends: dict[str, str] = Field(
        description='Address of each service, as JSON, e.g. {"classification": "host:50051"}; '
        f"the services are {', '.join(TASKS_OF)}."
    )

    @field_validator("backends")
    @classmethod
    def _check_backends(cls, backends: dict[str, str]) -> dict[str, str]:
        if not backends:
            raise ValueError("names no service, and needs at least one")
        for name, address in backends.items():
            if name not in TASKS_OF:
                raise ValueError(f"names {name!r}, which is no service")
            match = _ADDRESS.fullmatch(address)
            if match is None or not 0 < int(match[2]) < 65536:
                raise ValueError(f"gives {name} the address {address!r}, which is not host:port")
        # In one order, whatever the order of the variable: lists follow it.
        return {name: backends[name] for name in TASKS_OF if name in backends}
