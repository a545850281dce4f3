"""What the runner of a job says to the tracking server, if there is one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from google.protobuf import json_format

from common.catalog import splitting
from common.errors import StorageUnavailable
from common.jobs import states
from common.jobs.context import Cancelled
from common.jobs.store import ClaimLost
from common.storage import resources
from common.tracking import describe
from common.tracking.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from common.jobs.context import JobContext
    from common.tracking.server import Run
    from nocode.vision.v1 import evaluation_pb2, model_pb2


class Followed:
    """A job that is tracked, or not: then nothing is done. Methods return at once, and never raise.

    Args:
        context: The job.
        sender: None if there is no tracking server.
    """

    def __init__(self, context: JobContext, sender: Sender | None) -> None:
        self._context = context
        self._sender = sender

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Tell what is done."""
        if self._sender:
            attempt = {"nocode.attempt": str(self._context.job.attempt)}
            self._sender.put("parameters", lambda run: run.describe(params, {**tags, **attempt}))

    def split(self, pipeline: str) -> None:
        """Tell which images are of which subset."""
        self._add_object(splitting.key_of(pipeline))

    def evaluated(self, evaluation: evaluation_pb2.Evaluation) -> None:
        """Tell how a model did, with its plots."""
        if not self._sender:
            return
        time_ms = evaluation.create_time.ToMilliseconds()
        numbers = describe.metrics(evaluation)
        values = [(name, value, time_ms, 0) for name, value in numbers.items()]
        self._sender.put("metrics", lambda run: run.log(values))
        text = json_format.MessageToJson(evaluation, preserving_proto_field_name=True)
        self._add_bytes("evaluation/evaluation.json", text.encode())
        for plot in evaluation.plots:
            self._add_object(plot.uri.removeprefix(self._context.bucket.uri("")), "evaluation")

    def model(self, model: model_pb2.Model, weights: Path | None = None) -> None:
        """Tell of a model: all about it, and its weights, if these are given and not too large."""
        if not self._sender:
            return
        key = f"{model.name}/model.safetensors"
        tags = {
            "nocode.weights_uri": self._context.bucket.uri(key),
            "nocode.weights_sha256": model.weights_sha256,
        }
        self._sender.put("tags", lambda run: run.describe({}, tags))
        text = json_format.MessageToJson(model, preserving_proto_field_name=True)
        self._add_bytes("model/model.json", text.encode())
        if weights and model.weights_size_bytes <= self._context.settings.mlflow_model_bytes:
            path = "model/model.safetensors"
            self._sender.put(path, lambda run: run.add_file(path, weights))

    def end(self, error: BaseException | None) -> None:
        """Tell how the work ended, and wait for what is left to be sent, some seconds at most."""
        if not self._sender:
            return
        if isinstance(error, Exception) and not isinstance(error, ClaimLost):
            message = {"nocode.error": str(error)[:500]}
            self._sender.put("its error", lambda run: run.describe({}, message))
        if status := self._status(error):
            self._sender.put("its end", lambda run: run.end(status))
        self._sender.close()

    def _status(self, error: BaseException | None) -> str | None:
        """Return MLflow's word for how the work ended; None if others go on with it."""
        if error is None:
            return "FINISHED"
        if isinstance(error, ClaimLost):
            return None
        if isinstance(error, StorageUnavailable):
            return "SCHEDULED"  # tried again
        if isinstance(error, Cancelled):
            try:
                job = resources.jobs(self._context.bucket).get(self._context.job.name)
            except Exception:  # noqa: BLE001 - whatever it is, the job ends as it would
                return "SCHEDULED"
            # Else the service stops, and the job waits to go on.
            return "KILLED" if job.state == states.CANCELLING else "SCHEDULED"
        return "FAILED"

    def _add_object(self, key: str, folder: str = "") -> None:
        """Add a file of the bucket's."""
        if not self._sender:
            return
        bucket = self._context.bucket
        path = f"{folder}/{key.rpartition('/')[2]}".lstrip("/")
        self._sender.put(path, lambda run: run.add_bytes(path, bucket.get(key)))

    def _add_bytes(self, path: str, data: bytes) -> None:
        if self._sender:

            def add(run: Run) -> None:
                run.add_bytes(path, data)

            self._sender.put(path, add)


@contextmanager
def follow(context: JobContext) -> Iterator[Followed]:
    """Track a job while its work is done: what it reports in any case, and what it is told here."""
    sender = None
    if context.settings.mlflow_tracking_uri:
        sender = Sender(context)
        sender.start()
    followed = Followed(context, sender)
    try:
        yield followed
    except BaseException as error:
        followed.end(error)
        raise
    followed.end(None)
