"""The files that a job has made, which a caller may fetch."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from common import names
from common.errors import InvalidInput, NotFound
from common.jobs.store import Jobs
from common.reasons import Reason
from common.storage import resources
from common.storage.bucket import KeyMissing
from nocode.vision.v1 import dataset_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.storage.bucket import Bucket
    from nocode.vision.v1 import evaluation_pb2
    from nocode.vision.v1 import job_pb2 as pb


def read(jobs: Jobs, name: names.ResourceName, uri: str) -> Iterator[bytes]:
    """Yield a file in pieces of at most 1 MiB.

    Args:
        jobs: The jobs.
        name: The job.
        uri: One that the job's result names; that it does is what lets a caller read it.

    Raises:
        InvalidInput: The address is empty.
        NotFound: There is no such job, it made no such file, or the file was deleted since.
    """
    if not uri:
        raise InvalidInput(
            Reason.FIELD_REQUIRED,
            "uri is empty. Send one of the job's result, e.g. the uri of a plot.",
            field="uri",
        )
    job = jobs.get(name)
    if uri not in _uris(jobs.bucket, job):
        raise _missing(name, uri, "the job made no such file. Send a uri of the job's result")
    try:
        yield from jobs.bucket.stream(uri.removeprefix(jobs.bucket.uri("")))
    except KeyMissing:
        raise _missing(name, uri, "it was deleted") from None


def _uris(bucket: Bucket, job: pb.Job) -> set[str]:
    """Return the addresses of all files that a job's result names, or what it made does."""
    uris = {job.export.uri, *_evaluation_uris(job.evaluation)}
    validated = dataset_pb2.Dataset()
    if job.validated.Unpack(validated):
        uris.update(plot.uri for plot in validated.plots)
    if job.dataset:
        with suppress(NotFound):
            uris.update(plot.uri for plot in resources.datasets(bucket).get(job.dataset).plots)
    if job.model:
        with suppress(NotFound):
            uris.update(_evaluation_uris(resources.models(bucket).get(job.model).evaluation))
    return uris - {""}


def _evaluation_uris(evaluation: evaluation_pb2.Evaluation) -> Iterator[str]:
    yield evaluation.predictions_uri
    for plot in evaluation.plots:
        yield plot.uri


def _missing(name: names.ResourceName, uri: str, why: str) -> NotFound:
    return NotFound(
        Reason.OBJECT_NOT_FOUND,
        f"uri is {names.shorten(uri)!r}, but {why} ({name}).",
        field="uri",
        uri=names.shorten(uri),
        job=name,
    )
