"""The connection to a server."""

from __future__ import annotations

import ipaddress

import grpc

DEFAULT_ADDRESS = "127.0.0.1:50050"
"""Where `make run` listens."""

MAX_MESSAGE_BYTES = 64 * 1024**2
KEEPALIVE_MS = 30_000
PING_TIMEOUT_MS = 15_000


def connect(address: str) -> grpc.Channel:
    """Return a channel to `HOST:PORT`; it connects at the first call."""
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A link that dies without a word ends its calls, which else would wait for ever: following
        # a job and receiving a file have no deadline. The ping's timeout decides;
        # `grpc.keepalive_timeout_ms` does nothing in this version of gRPC.
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    if is_loopback(address):
        # gRPC would send even these to the proxy of the variable `http_proxy`, which has its own
        # idea of what 127.0.0.1 is.
        options.append(("grpc.enable_http_proxy", 0))
    return grpc.insecure_channel(address, options=options)


def is_loopback(address: str) -> bool:
    """Whether an address is on this machine, e.g. `localhost:1`, `127.0.0.1:1` or `[::1]:1`."""
    host = address.rsplit("/", 1)[-1].rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
