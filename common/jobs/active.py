"""The jobs that have not ended, as a dispatcher sees them, read no more often than needed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import NotFound
from common.jobs import states
from common.jobs.store import marker_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.jobs.store import Jobs, Marker
    from nocode.vision.v1 import job_pb2 as pb

# A marker without a job is what a service left that died while it made one. Until this has passed
# it may as well be that the job is just being written.
_DANGLING_S = 600.0
# How long a worker may take to be heard of again after the storage was away: both sides pause
# between tries, and the first write to a server that has just started may hang for seconds.
_REUNION_S = 10.0


@dataclass
class ActiveJob:
    """A job that has a marker.

    Attributes:
        marker: Its marker.
        job: The job as it was read last.
        etag: Version of what was read.
        read_at: When, by this process's own clock.
        heard_at: When its worker was first seen to have said what it said last, or from when on it
            is expected to speak.
        stopping_at: When it was first seen to have been asked to stop.
    """

    marker: Marker
    job: pb.Job
    etag: str
    read_at: float
    heard_at: float
    stopping_at: float | None = None

    @property
    def silent_s(self) -> float:
        """How long its worker has been silent that should have spoken; negative until it should."""
        return self.read_at - self.heard_at

    @property
    def stopping_s(self) -> float:
        """How long its worker has had to stop, as far as this process can tell."""
        return 0.0 if self.stopping_at is None else self.read_at - self.stopping_at


class ActiveJobs:
    """Reads the active jobs of some tasks.

    A queued job is read when it is first seen, and then once a lease: it changes under this
    process's hands, or under another's, which the compare-and-swap of a claim will show.

    Args:
        jobs: The jobs.
        tasks: Of these tasks.
        lease_s: How long what was read of a queued job is good for. Silence of a worker counts
            while jobs are read at least twice as often.
    """

    def __init__(self, jobs: Jobs, tasks: Sequence[str], lease_s: float) -> None:
        self._jobs = jobs
        self._tasks = tuple(tasks)
        self._lease_s = lease_s
        self._entries: dict[str, ActiveJob] = {}
        self._dangling: dict[str, float] = {}

    def look(self) -> list[ActiveJob]:
        """Return the active jobs, oldest first."""
        markers = [marker for task in self._tasks for marker in self._jobs.active(task)]
        markers.sort(key=lambda marker: (marker.created_ns, marker.job))
        entries = {}
        for marker in markers:
            entry = self._read(marker, self._entries.get(marker.job))
            if entry is None:
                self._see_to_dangling(marker)
            elif marker.key != marker_key(entry.job):
                # Of an earlier request with the same id, which was cut short: the job has its own.
                self._jobs.bucket.delete(marker.key)
            else:
                entries[marker.job] = entry
        self._entries = entries
        known = {marker.key for marker in markers}
        self._dangling = {key: at for key, at in self._dangling.items() if key in known}
        return list(entries.values())

    def forget(self, name: str) -> None:
        """Read a job again at the next look, whatever its state."""
        self._entries.pop(name, None)

    def _read(self, marker: Marker, known: ActiveJob | None) -> ActiveJob | None:
        now = time.monotonic()
        if known and known.job.state == states.QUEUED and now - known.read_at < self._lease_s:
            return known
        try:
            answer = self._jobs.get_if_changed(marker.job, known.etag if known else None)
        except NotFound:
            return None
        if known and now - known.read_at > self._lease_s / 2:
            # Nobody listened, as while the storage was away, so silence means nothing.
            known.heard_at = now + _REUNION_S
        if answer is None and known:
            known.read_at = now
            return known
        if answer is None:
            return None
        job, etag = answer
        is_silent = known is not None and _last_words(known.job) == _last_words(job)
        stopping_at = None
        if job.state == states.CANCELLING:
            stopping_at = (known.stopping_at if known else None) or now
        heard_at = known.heard_at if known and is_silent else now
        return ActiveJob(marker, job, etag, now, heard_at, stopping_at)

    def _see_to_dangling(self, marker: Marker) -> None:
        now = time.monotonic()
        if now - self._dangling.setdefault(marker.key, now) > _DANGLING_S:
            self._jobs.bucket.delete(marker.key)


def _last_words(job: pb.Job) -> tuple[str, int, int]:
    return job.owner, job.attempt, job.heartbeat_time.ToNanoseconds()
