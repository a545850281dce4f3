"""A real MLflow server on this machine's loopback, with its data in a folder."""

from __future__ import annotations

import importlib.metadata
import signal
import socket
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

from deploy.local.process import Process, ProcessFailed, Startable

if TYPE_CHECKING:
    from pathlib import Path

_LOOPBACK = "127.0.0.1"
# It imports half of the world, which takes a while on a busy machine.
_READY_S = 120.0


class LocalMlflow(Startable):
    """An MLflow process with SQLite; a context manager that ends it.

    Args:
        directory: Where runs, files and log are kept. Started again on the same directory, the
            server has the same runs.
        port: 0 means any free one.
    """

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        self._directory = directory
        self._port = port
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Where it answers, programs and browsers alike."""
        return f"http://{_LOOPBACK}:{self._port}"

    @property
    def process(self) -> Process:
        """The running server.

        Raises:
            RuntimeError: It was not started, or has been ended.
        """
        if self._process is None:
            raise RuntimeError("MLflow is not running")
        return self._process

    def start(self) -> None:
        """Start the server and return once it answers; at the same port as before, if any.

        Raises:
            ProcessFailed: It does not come up; the message ends with its log's tail.
        """
        try:
            importlib.metadata.version("mlflow")
        except importlib.metadata.PackageNotFoundError:
            raise ProcessFailed("MLflow is not installed: run `make setup`.") from None
        self._port = self._port or _free_port()
        self._directory.mkdir(parents=True, exist_ok=True)
        data = self._directory.resolve()
        self._process = Process(
            "MLflow",
            [
                *(sys.executable, "-m", "mlflow", "server"),
                f"--backend-store-uri=sqlite:///{data / 'mlflow.db'}",
                f"--artifacts-destination={data / 'artifacts'}",
                f"--host={_LOOPBACK}",
                f"--port={self._port}",
                "--workers=1",
            ],
            log=data / "mlflow.log",
            env={
                "MLFLOW_DISABLE_TELEMETRY": "true",
                # Another process, for what is not used here.
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            # It ends the process that it starts only if it is asked to end.
            death_signal=signal.SIGTERM,
        )
        try:
            self._wait(self._process)
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """End it at once, as a crash would; `start` starts it again at the same address."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop(grace_s=10.0)
            self._process = None

    def _wait(self, process: Process) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        give_up = time.monotonic() + _READY_S
        while time.monotonic() < give_up:
            process.check()
            try:
                with opener.open(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise ProcessFailed(f"MLflow did not answer within {_READY_S:g} s. {process.tail()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])
