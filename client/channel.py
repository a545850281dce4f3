"""The connection to a server."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_ADDRESS = "127.0.0.1:50050"
"""Where `make run` listens."""

MAX_MESSAGE_BYTES = 64 * 1024**2
KEEPALIVE_MS = 30_000
PING_TIMEOUT_MS = 15_000


@dataclass(frozen=True)
class Security:
    """How a client and a server trust each other.

    Attributes:
        tls: Whether to encrypt, and to trust the authorities that gRPC comes with.
        ca: The authorities to trust instead, PEM; implies `tls`.
        cert: Certificate that a server may ask for, PEM.
        key: Its private key, PEM.
        token: Says who calls, as the gateway's operator gave it.
    """

    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token: str = field(default="", repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What each call carries."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def credentials(self, address: str) -> grpc.ChannelCredentials | None:
        """Return what a connection to `address` is encrypted with; None if it is not.

        Raises:
            OSError: A file cannot be read.
            ValueError: A file is not what it should be, one is missing, or the token is none or
                would be sent where others can read it.
        """
        if not (self.token.isascii() and self.token.isprintable()):
            raise ValueError("The token has characters that no token has, such as a line's end.")
        if (self.cert is None) != (self.key is None):
            raise ValueError("A certificate and its key are needed, or none of them.")
        if not self.tls and self.ca is None:
            if self.cert:
                raise ValueError("A client's certificate is of use only with TLS: name the ca too.")
            if self.token and not is_loopback(address):
                raise ValueError(
                    f"The token would be sent to {address} unencrypted. Name the ca of the server, "
                    "or ask for tls if its certificate is from a public authority."
                )
            return None
        ca, key, cert = (
            path.read_bytes() if path else None for path in (self.ca, self.key, self.cert)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.ca:
                context.load_verify_locations(cafile=self.ca)
            if self.cert:
                # An encrypted key would otherwise be asked for on the terminal.
                context.load_cert_chain(self.cert, self.key, password=lambda: b"")
        except ssl.SSLError as error:
            files = ", ".join(str(path) for path in (self.ca, self.cert, self.key) if path)
            raise ValueError(
                f"One of {files} is not a certificate, or its unencrypted key, in PEM "
                f"({error.reason or error})."
            ) from None
        return grpc.ssl_channel_credentials(ca, key, cert)


def connect(address: str, security: Security) -> grpc.Channel:
    """Return a channel to `HOST:PORT`; it connects at the first call.

    Raises:
        OSError: A file of `security` cannot be read.
        ValueError: `security` cannot be used.
    """
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
    credentials = security.credentials(address)
    if credentials:
        return grpc.secure_channel(address, credentials, options=options)
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
