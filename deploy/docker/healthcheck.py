"""Exits with 0 if the server in this container is healthy, and says on standard error why not.

    python healthcheck.py            whether it serves
    python healthcheck.py --alive    whether it answers, be it that it does not serve now

It asks NOCODE_HEALTH_PORT, which has no TLS, or NOCODE_PORT if that is not set.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_TIMEOUT_S = 5.0


def check(address: str, *, alive: bool) -> str:
    """Return what is wrong with the server at `address`, or nothing.

    Args:
        address: `host:port`.
        alive: Whether any answer is good.
    """
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            return f"{address} does not answer: {error.code().name}: {error.details()}"
    if alive or answer.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return f"{address} is {status}"


def main() -> int:
    """Check, and return the exit status."""
    port = os.environ.get("NOCODE_HEALTH_PORT") or os.environ.get("NOCODE_PORT")
    if not port:
        problem = "Neither NOCODE_HEALTH_PORT nor NOCODE_PORT is set: set one to the server's port."
    else:
        problem = check(f"127.0.0.1:{port}", alive="--alive" in sys.argv[1:])
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
