"""What Prometheus is told about jobs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import Gauge, Histogram

from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry

_BUCKETS_S = (1, 3, 10, 30, 60, 180, 600, 1800, 3600, 3 * 3600, 10 * 3600, 24 * 3600)
_KINDS = [kind for kind in pb.Job.Kind.values() if kind != pb.Job.KIND_UNSPECIFIED]
_STATES = (pb.Job.STATE_QUEUED, pb.Job.STATE_RUNNING, pb.Job.STATE_CANCELLING)


class JobMetrics:
    """Counts of the jobs that have not ended, in all replicas, and times of those run here."""

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

    def active(self, jobs: Iterable[pb.Job]) -> None:
        """Set the gauge to the jobs that have not ended."""
        counts = Counter((job.kind, job.state) for job in jobs)
        for kind in _KINDS:
            for state in _STATES:
                self._jobs.labels(_kind(kind), _state(state)).set(counts[kind, state])

    def started(self, job: pb.Job) -> None:
        """Count a job whose first worker starts."""
        seconds = (job.start_time.ToNanoseconds() - job.create_time.ToNanoseconds()) / 1e9
        self._wait.labels(_kind(job.kind)).observe(max(seconds, 0))

    def ended(self, job: pb.Job) -> None:
        """Count a job that has ended."""
        seconds = (job.end_time.ToNanoseconds() - job.start_time.ToNanoseconds()) / 1e9
        self._run.labels(_kind(job.kind), _state(job.state)).observe(max(seconds, 0))


def _kind(kind: pb.Job.Kind.ValueType) -> str:
    return pb.Job.Kind.Name(kind).removeprefix("KIND_").lower()


def _state(state: pb.Job.State.ValueType) -> str:
    return pb.Job.State.Name(state).removeprefix("STATE_").lower()
