"""A small client: one method for each thing that a user does.

Everything it sends and returns is a message of the contract (`nocode.vision.v1`).
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import grpc

from client.channel import DEFAULT_ADDRESS, Security, connect
from client.errors import CallFailed, JobFailed
from client.packing import as_archive
from nocode.vision.v1 import (
    dataset_pb2,
    dataset_pb2_grpc,
    dataset_source_pb2,
    job_pb2,
    job_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    pipeline_pb2,
    pipeline_pb2_grpc,
    prediction_pb2,
    prediction_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from google.protobuf.message import Message

CHUNK_BYTES = 1024**2
CALL_TIMEOUT_S = 120.0
TILED_TIMEOUT_S = 600.0
WATCH_PATIENCE_S = 120.0
"""For how long `watch` tries to come back to a server that went away."""

ENDED = (
    job_pb2.Job.STATE_SUCCEEDED,
    job_pb2.Job.STATE_FAILED,
    job_pb2.Job.STATE_CANCELLED,
)

R = TypeVar("R")


class Client:
    """Talks to a gateway, or to a task service directly: the contract is the same.

    Every method raises `CallFailed` if the server refuses or cannot be reached. To be used as a
    context manager, or closed.

    Args:
        address: `HOST:PORT`.
        security: TLS and the token; none of them if not given.

    Raises:
        OSError: A file of `security` cannot be read.
        ValueError: `security` cannot be used.
    """

    def __init__(self, address: str = DEFAULT_ADDRESS, security: Security | None = None) -> None:
        self.address = address
        security = security or Security()
        self._metadata = security.metadata
        self._channel = connect(address, security)
        self._datasets = dataset_pb2_grpc.DatasetServiceStub(self._channel)
        self._pipelines = pipeline_pb2_grpc.PipelineServiceStub(self._channel)
        self._jobs = job_pb2_grpc.JobServiceStub(self._channel)
        self._models = model_pb2_grpc.ModelServiceStub(self._channel)
        self._predictions = prediction_pb2_grpc.PredictionServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    # Data sets.

    def upload(
        self, task: str, path: Path, progress: Callable[[int, int], None] | None = None
    ) -> str:
        """Send an archive, or a folder as one; return the name of the upload.

        Args:
            task: E.g. `classification`.
            path: A zip, tar or tar.gz, or a folder.
            progress: Called with the bytes sent so far and in all.

        Raises:
            OSError: A file cannot be read.
        """
        # All that can be wrong with the file is found here: gRPC asks for the pieces in a thread of
        # its own, and says no more of an exception there than that there was one.
        with as_archive(path) as archive, archive.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            requests = _pieces(f"tasks/{task}", sha256, file, size, progress)
            return self._call(self._datasets.UploadArchive, requests, timeout=None).upload

    def import_dataset(
        self,
        task: str,
        source: dataset_source_pb2.DatasetSource,
        **fields: Any,
    ) -> job_pb2.Job:
        """Queue the import of an upload or of an `s3://` address.

        `fields` are those of `ImportDatasetRequest`, e.g. `dataset_id` and `format`.
        """
        request = dataset_pb2.ImportDatasetRequest(parent=f"tasks/{task}", source=source, **fields)
        return self._call(self._datasets.ImportDataset, request)

    def dataset(self, name: str) -> dataset_pb2.Dataset:
        """Return a data set."""
        return self._call(self._datasets.GetDataset, dataset_pb2.GetDatasetRequest(name=name))

    def export_dataset(self, name: str, format: str = "") -> job_pb2.Job:  # noqa: A002 - see `export`
        """Queue the writing of a data set in a format that other programs read."""
        request = dataset_pb2.ExportDatasetRequest(name=name, format=format)
        return self._call(self._datasets.ExportDataset, request)

    # Pipelines.

    def create_pipeline(
        self, task: str, pipeline: pipeline_pb2.Pipeline, **fields: Any
    ) -> pipeline_pb2.Pipeline:
        """Set up a pipeline; `fields` are those of `CreatePipelineRequest`."""
        request = pipeline_pb2.CreatePipelineRequest(
            parent=f"tasks/{task}", pipeline=pipeline, **fields
        )
        return self._call(self._pipelines.CreatePipeline, request)

    def pipeline(self, name: str) -> pipeline_pb2.Pipeline:
        """Return a pipeline."""
        return self._call(self._pipelines.GetPipeline, pipeline_pb2.GetPipelineRequest(name=name))

    def splits(self, pipeline: str) -> pipeline_pb2.Splits:
        """Return the splits of a pipeline."""
        return self._call(self._pipelines.GetSplits, pipeline_pb2.GetSplitsRequest(name=pipeline))

    def train(self, pipeline: str, request_id: str = "") -> job_pb2.Job:
        """Queue a training."""
        request = pipeline_pb2.TrainRequest(name=pipeline, request_id=request_id)
        return self._call(self._pipelines.Train, request)

    # Models.

    def model(self, name: str) -> model_pb2.Model:
        """Return a model."""
        return self._call(self._models.GetModel, model_pb2.GetModelRequest(name=name))

    def model_of(self, name: str) -> str:
        """Return the name of the model that is meant by a model's name, or by a pipeline's."""
        return self.pipeline(name).model or name if "/pipelines/" in name else name

    def evaluate(self, name: str, subset: str = "", dataset: str = "") -> job_pb2.Job:
        """Queue the measurement of a model, or of a pipeline's model."""
        request = model_pb2.EvaluateRequest(name=name, subset=subset, dataset=dataset)
        return self._call(self._models.Evaluate, request)

    def export(self, name: str, format: str = "") -> job_pb2.Job:  # noqa: A002 - the field's name
        """Queue the writing of a model, or of a pipeline's model, in another format."""
        request = model_pb2.ExportModelRequest(name=name, format=format)
        return self._call(self._models.ExportModel, request)

    # Jobs.

    def job(self, name: str) -> job_pb2.Job:
        """Return a job as it is now."""
        return self._call(self._jobs.GetJob, job_pb2.GetJobRequest(name=name))

    def cancel(self, name: str) -> job_pb2.Job:
        """Ask a job to stop."""
        return self._call(self._jobs.CancelJob, job_pb2.CancelJobRequest(name=name))

    def watch(self, name: str) -> Iterator[job_pb2.Job]:
        """Give a job now and whenever it has changed, until it has ended.

        Comes back by itself, for up to `WATCH_PATIENCE_S`, if the server goes away.
        """
        patience = time.monotonic() + WATCH_PATIENCE_S
        while True:
            try:
                request = job_pb2.WatchJobRequest(name=name)
                for job in self._jobs.WatchJob(request, metadata=self._metadata):
                    patience = time.monotonic() + WATCH_PATIENCE_S
                    yield job
                    if job.state in ENDED:
                        return
            except grpc.RpcError as error:
                failure = CallFailed.from_rpc_error(error, self.address)
                if not failure.passing or time.monotonic() > patience:
                    raise failure from None
            time.sleep(1.0)

    def wait(self, name: str) -> job_pb2.Job:
        """Wait until a job has succeeded, and return it.

        Raises:
            JobFailed: It failed or was cancelled.
        """
        # Only the last is kept: each state carries the job's whole history.
        job = job_pb2.Job()
        for job in self.watch(name):  # noqa: B007
            pass
        if job.state != job_pb2.Job.STATE_SUCCEEDED:
            raise JobFailed(job)
        return job

    def download(self, job: str, uri: str, path: Path) -> Path:
        """Save a file that a job has made, e.g. a plot; a file half-received is not left."""
        part = path.with_name(path.name + ".part")
        try:
            with part.open("wb") as file:
                request = job_pb2.DownloadArtifactRequest(name=job, uri=uri)
                for piece in self._jobs.DownloadArtifact(request, metadata=self._metadata):
                    file.write(piece.chunk)
        except grpc.RpcError as error:
            part.unlink(missing_ok=True)
            raise CallFailed.from_rpc_error(error, self.address) from None
        return part.replace(path)

    # Predictions.

    def predict(
        self,
        name: str,
        images: Sequence[bytes],
        options: prediction_pb2.PredictOptions | None = None,
    ) -> prediction_pb2.PredictResponse:
        """Ask a model, or a pipeline's model, what it sees in encoded images."""
        request = prediction_pb2.PredictRequest(
            name=name,
            images=[prediction_pb2.Image(content=content) for content in images],
            options=options,
        )
        timeout = TILED_TIMEOUT_S if request.options.tiling else CALL_TIMEOUT_S
        return self._call(self._predictions.Predict, request, timeout=timeout)

    # Lists.

    def list(self, collection: str, task: str = "-", limit: int = 50) -> list[Message]:
        """Return the newest of a collection, over all tasks or one.

        Args:
            collection: `datasets`, `pipelines`, `jobs`, `models`, `architectures` or `formats`.
            task: E.g. `classification`; `-` means all.
            limit: At most this many.
        """
        kinds: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
            "datasets": (self._datasets.ListDatasets, dataset_pb2.ListDatasetsRequest),
            "pipelines": (self._pipelines.ListPipelines, pipeline_pb2.ListPipelinesRequest),
            "jobs": (self._jobs.ListJobs, job_pb2.ListJobsRequest),
            "models": (self._models.ListModels, model_pb2.ListModelsRequest),
            "architectures": (
                self._pipelines.ListArchitectures,
                pipeline_pb2.ListArchitecturesRequest,
            ),
            "formats": (self._datasets.ListFormats, dataset_pb2.ListFormatsRequest),
        }
        method, kind = kinds[collection]
        found: list[Message] = []
        token = ""
        while len(found) < limit:
            request = kind(
                parent=f"tasks/{task}", page_size=min(limit - len(found), 1000), page_token=token
            )
            page = self._call(method, request)
            found += getattr(page, collection)
            token = page.next_page_token
            if not token:
                break
        return found

    def delete(self, name: str) -> None:
        """Delete a data set, a pipeline or a model."""
        collection = [*name.split("/"), "", "", ""][2]
        if collection == "pipelines":
            self._call(
                self._pipelines.DeletePipeline, pipeline_pb2.DeletePipelineRequest(name=name)
            )
        elif collection == "models":
            self._call(self._models.DeleteModel, model_pb2.DeleteModelRequest(name=name))
        else:
            self._call(self._datasets.DeleteDataset, dataset_pb2.DeleteDatasetRequest(name=name))

    def _call(
        self, method: Callable[..., R], request: Any, timeout: float | None = CALL_TIMEOUT_S
    ) -> R:
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise CallFailed.from_rpc_error(error, self.address) from None


def validated(job: job_pb2.Job) -> dataset_pb2.Dataset | None:
    """Return the data set that an import would have made, if that was all it was to find out."""
    dataset = dataset_pb2.Dataset()
    return dataset if job.validated.Unpack(dataset) else None


def _pieces(
    parent: str,
    sha256: str,
    file: BinaryIO,
    size: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[dataset_pb2.UploadArchiveRequest]:
    yield dataset_pb2.UploadArchiveRequest(parent=parent, sha256=sha256)
    sent = 0
    while chunk := file.read(CHUNK_BYTES):
        yield dataset_pb2.UploadArchiveRequest(chunk=chunk)
        sent += len(chunk)
        if progress:
            progress(sent, size)
