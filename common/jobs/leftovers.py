"""What services that have died, or were cut off, left of jobs: workers, and what was kept."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from common import names
from common.jobs import states
from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from common.jobs.active import ActiveJob
    from common.jobs.launchers import Launcher
    from common.jobs.store import Claim, Jobs

# How often to look for what was kept for jobs and is of no use any more.
_SWEEP_S = 3600.0

_log = logging.getLogger(__name__)


class Leftovers:
    """Finds and ends or frees them, whoever has left them.

    Args:
        jobs: The jobs.
        launcher: Knows of the workers, and of what is kept.
        tasks: Whose jobs to look for.
        patience_s: A worker whose claim does not hold may take as long to end by itself; it is
            stopped then, and killed after twice that.
    """

    def __init__(
        self, jobs: Jobs, launcher: Launcher, tasks: Sequence[str], patience_s: float
    ) -> None:
        self._jobs = jobs
        self._launcher = launcher
        self._tasks = tuple(tasks)
        self._patience_s = patience_s
        self._since: dict[Claim, float] = {}
        self._swept_at = -math.inf

    def see_to(self, active: Mapping[str, ActiveJob], running: Container[str]) -> None:
        """Look for some.

        Args:
            active: The jobs that have not ended, by name.
            running: Names of jobs whose workers this instance has not done with.
        """
        self._end_workers(active)
        if time.monotonic() - self._swept_at > _SWEEP_S:
            self._swept_at = time.monotonic()
            self._free_kept(running)

    def _end_workers(self, active: Mapping[str, ActiveJob]) -> None:
        """End workers that go on though their job has ended, or is another worker's."""
        now = time.monotonic()
        since = {}
        for claim in self._launcher.workers():
            entry = active.get(claim.name)
            if entry is not None and claim.holds(entry.job):
                continue
            first = since[claim] = self._since.get(claim, now)
            # Read anew: a claim is written before its worker is launched.
            if now - first > self._patience_s and not self._holds(claim):
                _log.warning("%s: attempt %d is not wanted any more", claim.name, claim.attempt)
                worker = pb.Job(name=claim.name, owner=claim.owner, attempt=claim.attempt)
                self._launcher.stop(worker, force=now - first > 2 * self._patience_s)
        self._since = since

    def _holds(self, claim: Claim) -> bool:
        job = self._jobs.find(names.parse(claim.name, "jobs"))
        return job is not None and claim.holds(job)

    def _free_kept(self, running: Container[str]) -> None:
        """Free what a service kept here for jobs that have ended since.

        What is kept for a job that is not found stays: it may be of another bucket.
        """
        for job_id in self._launcher.kept():
            for task in self._tasks:
                job = self._jobs.find(names.ResourceName(task, "jobs", job_id))
                if job and states.ended(job.state) and job.name not in running:
                    _log.info("%s: what was kept for it is removed", job.name)
                    self._launcher.discard(job, ended=True)
