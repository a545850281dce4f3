"""What Prometheus is told about jobs.

Kinds, states and reasons are closed lists, and nothing here is labeled with the name of a job: how
many series there are does not depend on how much is done.
"""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING

from google.rpc import error_details_pb2
from prometheus_client import Counter, Gauge, Histogram

from common.jobs import states
from common.reasons import Reason
from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from prometheus_client import CollectorRegistry

_BUCKETS_S = (1, 3, 10, 30, 60, 180, 600, 1800, 3600, 3 * 3600, 10 * 3600, 24 * 3600)
_KINDS = [kind for kind in pb.Job.Kind.values() if kind != pb.Job.KIND_UNSPECIFIED]
_STATES = (states.QUEUED, states.RUNNING, states.CANCELLING)
_LAST_STATES = (states.SUCCEEDED, states.FAILED, states.CANCELLED)
_REASONS = frozenset(Reason)
# Of an error that a newer version of a worker has made.
_OTHER = "OTHER"


class JobMetrics:
    """Counts of the jobs that have not ended, in all replicas, and of what those run here did.

    A worker that goes on when its service has ended, as on a cluster, is counted no further, unless
    it falls silent or is to stop: then another service sees to it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._jobs = Gauge(
            "nocode_vision_jobs", "Jobs that have not ended.", ("kind", "state"), registry=registry
        )
        self._wait = Histogram(
            "nocode_vision_job_wait_seconds",
            "Time from a job's creation to its first start.",
            ("kind",),
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._run = Histogram(
            "nocode_vision_job_run_seconds",
            "Time from a job's first start to its end.",
            ("kind", "state"),
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._ended = Counter(
            "nocode_vision_jobs_ended_total",
            "Jobs that have ended, by their last state.",
            ("kind", "state"),
            registry=registry,
        )
        self._failures = Counter(
            "nocode_vision_job_failures_total",
            "Jobs that have failed, by the reason in their error.",
            ("reason",),
            registry=registry,
        )
        self._images = Counter(
            "nocode_vision_images_trained_total",
            "Images that trainings were shown, once an epoch each.",
            registry=registry,
        )
        self._images_of: dict[str, int] = {}
        # Shown from the start, so that the first of its sort is seen as an increase.
        for kind in _KINDS:
            for state in _LAST_STATES:
                self._ended.labels(_kind(kind), _state(state))
        for reason in (*Reason, _OTHER):
            self._failures.labels(reason)

    def active(self, jobs: Iterable[pb.Job], run_here: Container[str] = ()) -> None:
        """Set the gauge to the jobs that have not ended, and count the images trained meanwhile.

        Args:
            jobs: The jobs.
            run_here: Names of those whose workers this process sees to; others count elsewhere.
        """
        jobs = list(jobs)
        counts = Tally((job.kind, job.state) for job in jobs)
        for kind in _KINDS:
            for state in _STATES:
                self._jobs.labels(_kind(kind), _state(state)).set(counts[kind, state])
        for job in jobs:
            if job.name in run_here:
                self.trained(job.name, job.trained_image_count)
        # One that was given back goes on elsewhere, and is counted there.
        self._images_of = {
            name: count for name, count in self._images_of.items() if name in run_here
        }

    def started(self, job: pb.Job) -> None:
        """Count a job whose first worker starts."""
        seconds = (job.start_time.ToNanoseconds() - job.create_time.ToNanoseconds()) / 1e9
        self._wait.labels(_kind(job.kind)).observe(max(seconds, 0))
        self._images_of[job.name] = 0

    def trained(self, job: str, image_count: int) -> None:
        """Count the images that a training run here was shown since it was looked at last.

        What was shown before this process saw the job, it does not count. Epochs that a worker
        repeats, because one before it died, count again: the work is done again, too.

        Args:
            job: Name of the job.
            image_count: Images that it was shown in all, as far as its worker got.
        """
        before = self._images_of.get(job, image_count)
        self._images.inc(max(image_count - before, 0))
        self._images_of[job] = image_count

    def ended(self, job: pb.Job) -> None:
        """Count a job, if it has ended."""
        if not states.ended(job.state):
            return
        self.trained(job.name, job.trained_image_count)
        self._images_of.pop(job.name, None)
        kind, state = _kind(job.kind), _state(job.state)
        self._ended.labels(kind, state).inc()
        if job.state == states.FAILED:
            self._failures.labels(_reason(job)).inc()
        # One that was cancelled in the queue has never started.
        if job.HasField("start_time"):
            seconds = (job.end_time.ToNanoseconds() - job.start_time.ToNanoseconds()) / 1e9
            self._run.labels(kind, state).observe(max(seconds, 0))


def _kind(kind: pb.Job.Kind.ValueType) -> str:
    return pb.Job.Kind.Name(kind).removeprefix("KIND_").lower()


def _state(state: pb.Job.State.ValueType) -> str:
    return pb.Job.State.Name(state).removeprefix("STATE_").lower()


def _reason(job: pb.Job) -> str:
    """Return the reason that a job has failed for, if it is one of ours."""
    info = error_details_pb2.ErrorInfo()
    for detail in job.error.details:
        if detail.Unpack(info) and info.reason in _REASONS:
            return str(info.reason)
    return _OTHER
