"""Jobs in the bucket: made, read, watched, cancelled and changed, by compare-and-swap.

A job that has not ended has a marker, an empty object whose key sorts by the time of creation:
`tasks/{task}/index/active/{time}-{job}`. It is written before the job and removed when nothing is
left to do for it, so that whoever looks for work reads the active jobs only, oldest first.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common import names, tracing
from common.catalog import requests
from common.errors import AlreadyExists, Exhausted, InvalidInput, NotFound, StorageUnavailable
from common.jobs import cleanup, states
from common.jobs.watching import Watches
from common.reasons import Reason
from common.storage import resources
from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from common.storage.bucket import Bucket

    Spec = pb.ImportSpec | pb.TrainSpec | pb.EvaluateSpec | pb.ExportSpec

_RETRY_AFTER_S = 10.0
_SPECS: dict[type, tuple[pb.Job.Kind.ValueType, str]] = {
    pb.ImportSpec: (pb.Job.KIND_IMPORT, "import_spec"),
    pb.TrainSpec: (pb.Job.KIND_TRAIN, "train_spec"),
    pb.EvaluateSpec: (pb.Job.KIND_EVALUATE, "evaluate_spec"),
    pb.ExportSpec: (pb.Job.KIND_EXPORT, "export_spec"),
}

_log = logging.getLogger(__name__)


class ClaimLost(Exception):
    """Somebody else works on the job now, or it has ended; stop without a word."""


class _AsItWas(Exception):
    """The job needs no change."""

    def __init__(self, job: pb.Job) -> None:
        super().__init__()
        self.job = job


@dataclass(frozen=True)
class Claim:
    """The right of one attempt to change a running job."""

    name: str
    owner: str
    attempt: int

    @classmethod
    def of(cls, job: pb.Job) -> Claim:
        """Return the claim that a running job is under."""
        return cls(job.name, job.owner, job.attempt)

    def holds(self, job: pb.Job) -> bool:
        """Whether the job is still under this claim."""
        return job.state in {states.RUNNING, states.CANCELLING} and Claim.of(job) == self


class Jobs:
    """The jobs of a bucket. Blocks, but for `watch`.

    Args:
        bucket: Where they are.
        queue_size: How many jobs of a task may wait.
        on_change: Called after a job was made or asked to stop, so that a dispatcher in the same
            process need not find out by itself.
    """

    def __init__(
        self,
        bucket: Bucket,
        *,
        queue_size: int,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.bucket = bucket
        self._queue_size = queue_size
        self._on_change = on_change
        self._resources = resources.jobs(bucket)
        self._watches = Watches(self.get_if_changed)

    # What callers ask for.

    def name_for(
        self, kind: pb.Job.Kind.ValueType, target: str, request_id: str
    ) -> names.ResourceName:
        """Name a job to be: the same one for the same request id, so that a retry finds it.

        Args:
            kind: What it is to do.
            target: What the request named: `tasks/{task}` for an import, else a resource.
            request_id: As sent; empty gives a name that nobody else has.

        Raises:
            InvalidInput: The request id is too long.
        """
        task = target.split("/")[1]
        if not request_id:
            return names.ResourceName(task, "jobs", names.new_id("job"))
        requests.check_length(request_id, requests.MAX_REQUEST_ID_LENGTH, field="request_id")
        return names.ResourceName(
            task, "jobs", requests.id_from("job", str(kind), target, request_id)
        )

    def create(self, name: names.ResourceName, spec: Spec, *, request_id: str = "") -> pb.Job:
        """Queue a job, or return the one that an equal request has made.

        Args:
            name: From `name_for`.
            spec: What to do; its type decides on the kind.
            request_id: The one given to `name_for`.

        Raises:
            Exhausted: The queue is full.
            InvalidInput: The request id was used for something else.
        """
        kind, field = _SPECS[type(spec)]
        job = pb.Job(
            name=str(name),
            kind=kind,
            state=states.QUEUED,
            waiting_reason="Waits to be started.",
            request_id=request_id,
            traceparent=tracing.traceparent(),
        )
        job.create_time.GetCurrentTime()
        getattr(job, field).CopyFrom(spec)
        if request_id and (existing := self.find(name)):
            return _same(existing, job, field)

        marker = marker_key(job)
        self.bucket.put(marker, b"")
        if self._is_full(name, before=marker):
            self.bucket.delete(marker)
            raise Exhausted(
                Reason.QUEUE_FULL,
                f"{self._queue_size} jobs of tasks/{name.task} wait already, and no more may. "
                "Try again when one has ended, or cancel one.",
                retry_after_s=_RETRY_AFTER_S,
                queue_size=self._queue_size,
            )
        # If this fails the job may have been written all the same: the marker stays, and is
        # removed later if there is no job to it.
        try:
            self._resources.create(str(name), job)
        except AlreadyExists:
            self.bucket.delete(marker)
            return _same(self.get(name), job, field)
        self._on_change()
        return job

    def find(self, name: names.ResourceName) -> pb.Job | None:
        """Return a job, or None if there is none of that name."""
        try:
            return self.get(name)
        except NotFound:
            return None

    def get(self, name: names.ResourceName) -> pb.Job:
        """Return a job as it is now.

        Raises:
            NotFound: There is none of that name.
        """
        return self._resources.get(str(name))

    def list(
        self, tasks: Sequence[str], parent: str, page_size: int, page_token: str
    ) -> tuple[list[pb.Job], str]:
        """Return a page of jobs, newest first, and the token of the next page."""
        return self._resources.list(tasks, parent, page_size, page_token)

    def cancel(self, name: names.ResourceName) -> pb.Job:
        """Ask a job to stop; one that has ended, or stops already, is returned as it is.

        Raises:
            NotFound: There is none of that name.
        """

        def change(job: pb.Job) -> None:
            if states.ended(job.state) or job.state == states.CANCELLING:
                raise _AsItWas(job)
            states.move(job, states.CANCELLED if job.state == states.QUEUED else states.CANCELLING)

        try:
            job = self._resources.update(str(name), change)
        except _AsItWas as unchanged:
            return unchanged.job
        if job.state == states.CANCELLED:
            try:
                cleanup.discard(self.bucket, job)
                self.forget(job)
            except StorageUnavailable:
                _log.warning("%s is cancelled; what it left is removed later", name)
        self._on_change()
        return job

    def watch(self, name: names.ResourceName) -> AsyncGenerator[pb.Job]:
        """Yield the job now and then whenever it has changed, until its last state.

        Raises:
            NotFound: There is none of that name.
        """
        return self._watches.watch(str(name))

    def end_watches(self) -> None:
        """End all watches, because the server is stopping. From the event loop."""
        self._watches.close()

    # What dispatchers and workers ask for.

    def get_if_changed(self, name: str, etag: str | None) -> tuple[pb.Job, str] | None:
        """Return a job and its version, or None if the version is still `etag`.

        Raises:
            NotFound: There is none of that name.
        """
        return self._resources.get_versioned(name, unless_etag=etag)

    def active(self, task: str) -> Iterator[Marker]:
        """Yield the markers of a task's jobs that have not ended, oldest first."""
        prefix = _active_prefix(task)
        for stat in self.bucket.list(prefix):
            created, _, job_id = stat.key.removeprefix(prefix).partition("-")
            yield Marker(stat.key, int(created), str(names.ResourceName(task, "jobs", job_id)))

    def change(self, name: str, change: Callable[[pb.Job], None]) -> pb.Job:
        """Change a job by compare-and-swap; `change` may be called several times, and may raise."""
        return self._resources.update(name, change)

    def change_claimed(self, claim: Claim, change: Callable[[pb.Job], None]) -> pb.Job:
        """Change a job that is still under a claim.

        Raises:
            ClaimLost: It is not.
        """

        def checked(job: pb.Job) -> None:
            if not claim.holds(job):
                raise ClaimLost(claim.name)
            change(job)

        try:
            return self._resources.update(claim.name, checked)
        except NotFound:
            raise ClaimLost(claim.name) from None

    def forget(self, job: pb.Job) -> None:
        """Remove the marker of a job for which nothing is left to do."""
        self.bucket.delete(marker_key(job))

    def _is_full(self, name: names.ResourceName, *, before: str) -> bool:
        """Whether as many jobs wait as may, counting others made earlier than a marker.

        Jobs are read only once enough have not ended for the queue to be possibly full.
        """
        markers = self.active(name.task)
        # A set, as equal requests under way at once may each have written a marker.
        earlier = {m.job for m in markers if m.key < before and m.job != str(name)}
        if len(earlier) < self._queue_size:
            return False
        jobs = [self.find(names.parse(job, "jobs")) for job in earlier]
        waiting = sum(job is None or job.state == states.QUEUED for job in jobs)
        return waiting >= self._queue_size


@dataclass(frozen=True, order=True)
class Marker:
    """Says that a job has not ended.

    Attributes:
        key: Key of the marker.
        created_ns: When the job was made.
        job: Name of the job.
    """

    key: str
    created_ns: int
    job: str


def _active_prefix(task: str) -> str:
    return f"tasks/{task}/index/active/"


def marker_key(job: pb.Job) -> str:
    """Return the key of the one marker of a job."""
    name = names.parse(job.name, "jobs")
    return f"{_active_prefix(name.task)}{job.create_time.ToNanoseconds():020d}-{name.id}"


def _same(existing: pb.Job, asked: pb.Job, field: str) -> pb.Job:
    """Return the existing job if it does what is asked for."""
    if existing.kind == asked.kind and getattr(existing, field) == getattr(asked, field):
        return existing
    raise InvalidInput(
        Reason.REQUEST_ID_REUSED,
        f"request_id {names.shorten(asked.request_id)!r} was used for {existing.name}, which was "
        "asked to do something else. Send another request_id for another request.",
        field="request_id",
        job=existing.name,
    )
