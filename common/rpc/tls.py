"""Certificates of servers and towards servers, read again when their files are replaced."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import grpc

from common.reloading import Reloaded

if TYPE_CHECKING:
    from pathlib import Path

    from common.settings import ServerSettings


def server_credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    """Return what a server proves itself with, and whom it wants proof of; None without TLS.

    gRPC asks for the certificates at each handshake, so that new files count from the next
    connection on. Connections that exist stay as they are until they have aged.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file does not hold what it should.
    """
    cert, key, client_ca = (
        settings.tls_cert_file,
        settings.tls_key_file,
        settings.tls_client_ca_file,
    )
    if cert is None or key is None:
        return None
    paths = [path for path in (cert, key, client_ca) if path]

    def read() -> grpc.ServerCertificateConfiguration:
        pair = _read_pair(cert, key)
        return grpc.ssl_server_certificate_configuration(
            [pair], _read_authorities(client_ca) if client_ca else None
        )

    certificates = Reloaded("the server's certificate", paths, read)

    def newest() -> grpc.ServerCertificateConfiguration | None:
        return certificates.value if certificates.refresh() else None

    return grpc.dynamic_ssl_server_credentials(
        certificates.value,
        newest,  # type: ignore[arg-type]  # None means no change, which the stubs do not know
        require_client_authentication=client_ca is not None,
    )


def channel_credentials(
    ca: Path, cert: Path | None = None, key: Path | None = None
) -> Reloaded[grpc.ChannelCredentials]:
    """Return what a channel trusts and, if the server wants it, proves itself with.

    gRPC keeps a channel's credentials for the life of the channel, so one is made anew when
    `refresh` says that the files have changed.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file does not hold what it should.
    """

    def read() -> grpc.ChannelCredentials:
        authorities = _read_authorities(ca)
        if cert is None or key is None:
            return grpc.ssl_channel_credentials(authorities)
        return grpc.ssl_channel_credentials(authorities, *_read_pair(cert, key))

    return Reloaded(
        "the certificates towards the backends", [p for p in (ca, cert, key) if p], read
    )


def _read_pair(cert: Path, key: Path) -> tuple[bytes, bytes]:
    """Return a private key and its certificate."""
    pair = key.read_bytes(), cert.read_bytes()
    try:
        # An encrypted key would otherwise be asked for on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        raise ValueError(
            f"{cert} and {key} are not a certificate and its unencrypted private key in PEM "
            f"({error.reason or error})"
        ) from None
    return pair


def _read_authorities(ca: Path) -> bytes:
    """Return certificates of authorities."""
    content = ca.read_bytes()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca)
    except ssl.SSLError as error:
        raise ValueError(f"{ca} holds no certificates in PEM ({error.reason or error})") from None
    return content
