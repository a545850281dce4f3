"""Certificates for tests, of authorities that are made on the spot."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import trustme


@dataclass
class Files:
    """A certificate, its key and the authorities, where a server's settings name them."""

    cert: Path
    key: Path
    ca: Path

    def settings(self, *, mutual=True) -> dict:
        """The settings of a server that has this certificate."""
        named = {"tls_cert_file": self.cert, "tls_key_file": self.key}
        return named | ({"tls_client_ca_file": self.ca} if mutual else {})

    def towards_backends(self) -> dict:
        """The settings of a gateway that proves itself with this certificate."""
        return {
            "backend_ca_file": self.ca,
            "backend_cert_file": self.cert,
            "backend_key_file": self.key,
        }

    def write(self, cert: trustme.LeafCert) -> None:
        """Replace the certificate and its key, one after the other."""
        for path, content in (
            (self.key, cert.private_key_pem.bytes()),
            (self.cert, cert.cert_chain_pems[0].bytes()),
        ):
            new = path.with_suffix(".new")
            new.write_bytes(content)
            new.replace(path)


class Authority:
    """Issues certificates for this machine."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "ca.crt"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, *, expired=False) -> trustme.LeafCert:
        """Make a certificate."""
        now = datetime.now(UTC)
        return self._ca.issue_cert(
            "127.0.0.1",
            "localhost",
            not_before=now - timedelta(days=2),
            not_after=now + timedelta(days=-1 if expired else 1),
            key_type=trustme.KeyType.ECDSA,
        )

    def files(self, name, *, expired=False) -> Files:
        """Make a certificate and write it into files."""
        files = Files(self._folder / f"{name}.crt", self._folder / f"{name}.key", self.file)
        files.write(self.issue(expired=expired))
        return files

    def credentials(self, cert: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
        """What a client trusts this authority with, and proves itself with."""
        pair = (cert.private_key_pem.bytes(), cert.cert_chain_pems[0].bytes()) if cert else ()
        return grpc.ssl_channel_credentials(self.file.read_bytes(), *pair)
