"""A run on an MLflow server. Importing this module imports mlflow, which only workers do."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

# Read by mlflow when it is imported or asked; what the operator has set comes first. Whoever calls
# tries again by itself, and must not be held up. Nothing is sent to anybody else.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import requests
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from common.storage.bucket import KeyMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Of a call; the server refuses more.
_MAX_METRICS = 1000
_MAX_PARAMS = 100
# Every epoch has this metric.
_EPOCH_METRIC = "loss"


class Run:
    """A run, open to be told more. Methods raise what mlflow raises.

    Attributes:
        experiment_id: Its experiment.
        run_id: Its own.
        last_epoch: The last epoch that an earlier attempt has told of; 0 if none has.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, run_id: str) -> None:
        self._client = client
        self.experiment_id = experiment_id
        self.run_id = run_id
        history = client.get_metric_history(run_id, _EPOCH_METRIC)
        self.last_epoch = max((metric.step for metric in history), default=0)

    @classmethod
    def open(
        cls, uri: str, experiment: str, tag: tuple[str, str], *, start_ms: int | None = None
    ) -> Self:
        """Go on with the run that has a tag, or make it, and its experiment if there is none."""
        client = MlflowClient(tracking_uri=uri)
        experiment_id = _experiment(client, experiment)
        key, value = tag
        found = client.search_runs(
            [experiment_id], f"tags.`{key}` = '{value}'", max_results=1, order_by=["start_time"]
        )
        if found:
            run = found[0]
            client.update_run(run.info.run_id, status="RUNNING")
        else:
            run = client.create_run(
                experiment_id,
                start_time=start_ms,
                tags={key: value, "mlflow.user": "nocode-vision"},
            )
        return cls(client, experiment_id, run.info.run_id)

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Set parameters, those that an earlier attempt has set excepted, and tags."""
        known = self._client.get_run(self.run_id).data.params
        new = [Param(key, value) for key, value in params.items() if key not in known]
        for first in range(0, len(new), _MAX_PARAMS):
            self._client.log_batch(self.run_id, params=new[first : first + _MAX_PARAMS])
        self._client.log_batch(
            self.run_id, tags=[RunTag(key, value) for key, value in tags.items()]
        )

    def log(self, values: Iterable[tuple[str, float, int, int]]) -> None:
        """Add values of metrics: name, value, time in milliseconds, and step."""
        metrics = [Metric(*value) for value in values]
        for first in range(0, len(metrics), _MAX_METRICS):
            self._client.log_batch(self.run_id, metrics=metrics[first : first + _MAX_METRICS])

    def add_bytes(self, path: str, data: bytes) -> None:
        """Add a file."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, Path(path).name)
            file.write_bytes(data)
            self.add_file(path, file)

    def add_file(self, path: str, file: Path) -> None:
        """Add a file; its own name is the last part of `path`."""
        folder = path.rpartition("/")[0]
        self._client.log_artifact(self.run_id, str(file), folder or None)

    def end(self, status: str) -> None:
        """Say that nothing more will come: FINISHED, FAILED, KILLED, or SCHEDULED to go on."""
        self._client.set_terminated(self.run_id, status)


def is_final(error: Exception) -> bool:
    """Whether trying again is of no use: the server refuses, or there is nothing to send."""
    if isinstance(error, MlflowException):
        return _refuses(error.get_http_status_code())  # type: ignore[no-untyped-call]
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _refuses(error.response.status_code)
    return isinstance(error, ImportError | KeyMissing | FileNotFoundError)


def _refuses(status: int) -> bool:
    return 400 <= status < 500 and status not in {408, 429}


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            # Another worker was faster.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)
