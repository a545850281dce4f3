"""What a job's runner is given: what to do, where, and how to say how far it is."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from common import names
from common.jobs.store import Claim, ClaimLost
from common.storage import resources
from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from common.settings import ServiceSettings
    from common.storage.bucket import Bucket
    from common.task import Task
    from nocode.vision.v1 import dataset_pb2, evaluation_pb2, finding_pb2

    Result = str | dataset_pb2.Dataset | evaluation_pb2.Evaluation | pb.Export
    Runner = Callable[["JobContext"], Result]


class Cancelled(BaseException):
    """The job was asked to stop, or its worker was. Not to be caught, like `SystemExit`."""


class JobContext:
    """A running job, as its runner sees it.

    What the runner reports is recorded in `job`; a worker's `Reporter` writes it to the bucket
    now and then, so that reporting costs microseconds.

    Attributes:
        job: The job with its spec and all that was reported. The worker's own copy.
        name: Its name, parsed.
        task: The task that it belongs to.
        bucket: The bucket.
        settings: The service's settings.
        work_dir: An empty folder of the job's own, or what an earlier attempt on this machine left
            in it. Removed when the job has ended.
    """

    def __init__(
        self, job: pb.Job, *, task: Task, bucket: Bucket, settings: ServiceSettings
    ) -> None:
        self.job = job
        self.name = names.parse(job.name, "jobs")
        self.task = task
        self.bucket = bucket
        self.settings = settings
        self.work_dir = work_dir(settings, self.name)
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._version = 0
        self._eta = _Eta()

    def key(self, path: str) -> str:
        """Return the key of a file of this job's own, e.g. `checkpoint/state.safetensors`."""
        return f"{self.name}/{path}"

    def progress(
        self,
        *,
        phase: str | None = None,
        epoch: int | None = None,
        epoch_count: int | None = None,
        step: int | None = None,
        step_count: int | None = None,
        images_per_second: float | None = None,
        trained_image_count: int | None = None,
        eta_s: float | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Say how far the job is; the fields are those of `JobProgress`.

        What is not given stays as it was, but a new phase starts from nothing. Metrics are merged.
        Without `eta_s`, the time left is estimated from epochs and steps. `trained_image_count` is
        a field of the job itself.

        Raises:
            Cancelled: The job was asked to stop.
        """
        with self._lock:
            progress = self.job.progress
            if phase is not None and phase != progress.phase:
                progress.Clear()
                progress.phase = phase
                self._eta = _Eta()
            if epoch is not None:
                progress.epoch = epoch
            if epoch_count is not None:
                progress.epoch_count = epoch_count
            if step is not None:
                progress.step = step
            if step_count is not None:
                progress.step_count = step_count
            if images_per_second is not None:
                progress.images_per_second = images_per_second
            if trained_image_count is not None:
                self.job.trained_image_count = trained_image_count
            if metrics:
                progress.metrics.update(metrics)
            left_s = self._eta.seconds_left(_fraction_done(progress)) if eta_s is None else eta_s
            if left_s is None:
                progress.ClearField("eta")
            else:
                progress.eta.FromMilliseconds(round(left_s * 1000))
            self._version += 1
        self.check_cancelled()

    def add_finding(self, finding: finding_pb2.Finding) -> None:
        """Tell the job's owner something; one with the same id is replaced."""
        self._replace_finding(finding.id, [finding])

    def drop_finding(self, finding_id: str) -> None:
        """Take back what an earlier attempt may have told, before it is found out anew."""
        self._replace_finding(finding_id, [])

    def add_history(self, epoch: int, metrics: Mapping[str, float], ended_s: float) -> None:
        """Keep what an epoch left, and when it ended, in seconds since 1970.

        Entries of this epoch and later ones, which an attempt left that got further than its last
        checkpoint, are dropped.
        """
        with self._lock:
            kept = [entry for entry in self.job.history if entry.epoch < epoch]
            del self.job.history[:]
            self.job.history.extend(kept)
            entry = self.job.history.add(epoch=epoch, metrics=metrics)
            entry.end_time.FromMilliseconds(round(ended_s * 1000))
            self._version += 1

    def _replace_finding(self, finding_id: str, by: Sequence[finding_pb2.Finding]) -> None:
        with self._lock:
            kept = [other for other in self.job.findings if other.id != finding_id]
            del self.job.findings[:]
            self.job.findings.extend([*kept, *by])
            self._version += 1

    def check_cancelled(self) -> None:
        """Return if the job may go on.

        Raises:
            Cancelled: It was asked to stop.
        """
        if self._stop.is_set():
            raise Cancelled

    def check_claim(self) -> None:
        """Return if this worker is still the one that does the job, as the bucket has it.

        To be asked before what cannot be undone, as a worker may have been cut off for a while.

        Raises:
            ClaimLost: The job has been given to another worker.
        """
        if not Claim.of(self.job).holds(resources.jobs(self.bucket).get(self.job.name)):
            raise ClaimLost(self.job.name)

    def request_stop(self) -> None:
        """Make the next `progress` or `check_cancelled` raise."""
        self._stop.set()

    @property
    def version(self) -> int:
        """Changes with every report."""
        return self._version

    def write_into(self, stored: pb.Job) -> None:
        """Copy everything reported into the job as the bucket has it."""
        with self._lock:
            stored.progress.CopyFrom(self.job.progress)
            stored.trained_image_count = self.job.trained_image_count
            del stored.history[:]
            stored.history.extend(self.job.history)
            del stored.findings[:]
            stored.findings.extend(self.job.findings)


def work_dir(settings: ServiceSettings, name: names.ResourceName) -> Path:
    """Return the scratch folder of a job on this machine."""
    return settings.work_dir / "jobs" / name.id


def work_dirs(settings: ServiceSettings) -> Iterator[Path]:
    """Yield the scratch folders of all jobs on this machine; each is named as its job's id."""
    yield from (settings.work_dir / "jobs").glob("*")


def _fraction_done(progress: pb.JobProgress) -> float | None:
    steps = progress.step / progress.step_count if progress.step_count else None
    if progress.epoch_count:
        return (max(progress.epoch - 1, 0) + (steps or 0.0)) / progress.epoch_count
    return steps


class _Eta:
    """Estimates the time left of a phase from how fast it went since its first report.

    The first report of a resumed training is not at 0, so only what was done since then counts.
    """

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def seconds_left(self, fraction: float | None) -> float | None:
        if fraction is None:
            return None
        now = time.monotonic()
        if self._first is None:
            self._first = (now, fraction)
        started, first_fraction = self._first
        if fraction <= first_fraction:
            return None
        return (now - started) / (fraction - first_fraction) * max(1.0 - fraction, 0.0)
