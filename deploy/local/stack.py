"""The whole system on this machine, as the real processes.

S3 server, MLflow if wanted, task services, gateway.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from common.settings import StorageSettings
from deploy.local.embedded_s3 import EmbeddedS3
from deploy.local.mlflow import LocalMlflow
from deploy.local.process import Process, Startable, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

S3 = "s3"
MLFLOW = "mlflow"
GATEWAY = "gateway"
SERVICES = ("classification", "detection", "segmentation")

_LOOPBACK = "127.0.0.1"
# A service imports torch, which takes half a minute on a busy machine without byte code.
_READY_S = 120.0


class LocalStack(Startable):
    """A context manager that starts everything, and ends it in order.

    Its parts are `s3`, `mlflow`, the task services and `gateway`.

    Args:
        directory: Where data, logs and scratch files are kept. Started again on the same
            directory, the stack has the same data.
        storage: An S3 server to use instead of starting one.
        gateway_port: 0 means any free one.
        gateway_metrics_port: The same for its metrics.
        services: Which of `SERVICES` to start.
        mlflow_port: Port of an MLflow server that jobs are tracked by; 0 means any free one. None
            for no such server.
        env: Environment variables of single parts, by part, e.g.
            `{"classification": {"NOCODE_JOB_SLOTS": "2"}}`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        storage: StorageSettings | None = None,
        gateway_port: int = 0,
        gateway_metrics_port: int = 0,
        services: Sequence[str] = SERVICES,
        mlflow_port: int | None = None,
        env: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._directory = directory
        self._storage = storage
        self._s3: EmbeddedS3 | None = None
        self._mlflow = (
            None if mlflow_port is None else LocalMlflow(directory / MLFLOW, port=mlflow_port)
        )
        self._services = tuple(services)
        self._env = env or {}
        self._processes: dict[str, Process] = {}
        self._ports = {GATEWAY: {"port": gateway_port, "metrics_port": gateway_metrics_port}}

    @property
    def address(self) -> str:
        """`host:port` of the gateway."""
        return self.address_of(GATEWAY)

    @property
    def storage(self) -> StorageSettings:
        """How to reach the bucket."""
        if self._storage is None:
            raise RuntimeError("the stack was not started")
        return self._storage

    def address_of(self, part: str) -> str:
        """Return `host:port` of the gateway or a service."""
        return f"{_LOOPBACK}:{self._ports[part]['port']}"

    def metrics_url_of(self, part: str) -> str:
        """Return where Prometheus finds the gateway or a service."""
        return f"http://{_LOOPBACK}:{self._ports[part]['metrics_port']}/metrics"

    @property
    def mlflow_url(self) -> str | None:
        """Where MLflow is, for programs and browsers; None if there is none."""
        return self._mlflow.url if self._mlflow else None

    def pid(self, part: str) -> int:
        """Return the id of a part's process."""
        return self._process(part).pid

    def log(self, part: str) -> Path:
        """Return the file that a part writes its log to."""
        return self._process(part).log

    def start(self) -> None:
        """Start all parts and return when they can be called.

        Raises:
            ProcessFailed: One does not come up; the message ends with its log's tail.
        """
        if self._storage is None:
            self._s3 = EmbeddedS3(self._directory / S3)
            self._s3.start()
            self._storage = self._s3.settings
        if self._mlflow:
            self._mlflow.start()
        for service in self._services:
            self._launch(service)
        for service in self._services:
            self._wait(service)
        self._launch(GATEWAY)
        self._wait(GATEWAY)

    def check(self) -> None:
        """Raise `ProcessFailed` if a part has ended by itself."""
        if self._s3:
            self._s3.process.check()
        if self._mlflow:
            self._mlflow.process.check()
        for process in self._processes.values():
            process.check()

    def kill(self, part: str) -> None:
        """End a part as a crash would."""
        if part == S3 and self._s3:
            self._s3.kill()
        elif part == MLFLOW and self._mlflow:
            self._mlflow.kill()
        else:
            self._process(part).kill()

    def restart(self, part: str) -> None:
        """Start a part again at the same address, after it has ended if it still runs."""
        if part == S3 and self._s3:
            self._s3.kill()
            self._s3.start()
            return
        if part == MLFLOW and self._mlflow:
            self._mlflow.kill()
            self._mlflow.start()
            return
        self._process(part).stop()
        self._launch(part)
        self._wait(part)

    def stop(self) -> None:
        """End all parts: first those that call others."""
        for part in (GATEWAY, *self._services):
            if part in self._processes:
                self._processes.pop(part).stop()
        if self._mlflow:
            self._mlflow.stop()
        if self._s3:
            self._s3.close()
            self._s3 = None
            self._storage = None

    def _process(self, part: str) -> Process:
        if part == S3 and self._s3:
            return self._s3.process
        if part == MLFLOW and self._mlflow:
            return self._mlflow.process
        return self._processes[part]

    def _launch(self, part: str) -> None:
        # One left by a process that was killed would tell of ports that nobody listens on.
        self._ready_file(part).unlink(missing_ok=True)
        module = GATEWAY if part == GATEWAY else f"services.{part}"
        self._processes[part] = Process(
            f"The {part}" if part == GATEWAY else f"The {part} service",
            [sys.executable, "-m", module],
            log=self._directory / "logs" / f"{part}.log",
            env={**self._settings_of(part), **self._env.get(part, {})},
        )

    def _wait(self, part: str) -> None:
        ready = wait_until_ready(self._processes[part], self._ready_file(part), _READY_S)
        self._ports[part] = json.loads(ready)

    def _settings_of(self, part: str) -> dict[str, str | None]:
        ports = self._ports.get(part, {"port": 0, "metrics_port": 0})
        settings: dict[str, str | None] = {
            "NOCODE_READY_FILE": str(self._ready_file(part)),
            "NOCODE_PORT": str(ports["port"]),
            "NOCODE_METRICS_PORT": str(ports["metrics_port"]),
        }
        if part == GATEWAY:
            backends = {service: self.address_of(service) for service in self._services}
            # The keys of another S3 server come with this process's own environment.
            keys = dict.fromkeys(f"NOCODE_{name.upper()}" for name in StorageSettings.model_fields)
            return settings | keys | {"NOCODE_BACKENDS": json.dumps(backends)}
        return settings | {
            "NOCODE_HOST": _LOOPBACK,
            "NOCODE_S3_ENDPOINT": self.storage.s3_endpoint,
            "NOCODE_S3_ACCESS_KEY": self.storage.s3_access_key,
            "NOCODE_S3_SECRET_KEY": self.storage.s3_secret_key,
            "NOCODE_S3_BUCKET": self.storage.s3_bucket,
            "NOCODE_S3_REGION": self.storage.s3_region,
            "NOCODE_WORK_DIR": str(self._directory / "work" / part),
            **self._tracking(),
        }

    def _tracking(self) -> dict[str, str]:
        """Return how MLflow is reached; one that we did not start is in our own environment."""
        if self.mlflow_url is None:
            return {}
        # A machine that downloads through a proxy still has its own servers.
        direct = ",".join(filter(None, (os.environ.get("no_proxy"), _LOOPBACK)))
        return {
            "NOCODE_MLFLOW_TRACKING_URI": self.mlflow_url,
            "NOCODE_MLFLOW_UI_URL": self.mlflow_url,
            "no_proxy": direct,
        }

    def _ready_file(self, part: str) -> Path:
        return self._directory.resolve() / f"{part}.ready.json"
