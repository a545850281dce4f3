"""Starts queued jobs, first in first out, and sees to those whose worker has died.

Any number of service instances may run one over the same bucket. Everything they agree on is in
the jobs: a claim is a compare-and-swap, and a claim whose worker has not been heard of for a lease,
by the clock of whoever looks, may be taken over.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common import names
from common.errors import Conflict, Internal, NotFound, StorageUnavailable
from common.jobs import ending, states, wording
from common.jobs.active import ActiveJobs
from common.jobs.launchers import LaunchFailed
from common.jobs.leftovers import Leftovers
from common.jobs.store import Claim, ClaimLost
from common.reasons import Reason
from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.jobs.active import ActiveJob
    from common.jobs.devices import Slot
    from common.jobs.launchers import Exit, Launcher
    from common.jobs.metrics import JobMetrics
    from common.jobs.store import Jobs

_INTERVAL_S = 1.0
_POLL_S = 0.1
# How long a worker may take to say its first word: it may have to wait for a machine.
_START_S = 600.0
# How long no worker is started after one could not be: the next one could not be either.
_PAUSE_S = 5.0
# How long a killed worker may take to be gone.
_KILL_S = 5.0
_INTERRUPTED = "Was interrupted; waits to go on."
_AT_WORK = frozenset({states.RUNNING, states.CANCELLING})

_log = logging.getLogger(__name__)


class _NotQueued(Exception):
    """Somebody was faster."""


@dataclass
class _Running:
    """A job whose worker this instance has started, or adopted, beyond its slots if need be."""

    job: pb.Job
    slot: Slot | None
    started_at: float
    heard_at: float
    asked_to_stop_at: float | None = None


class Dispatcher:
    """Runs the jobs of some tasks in workers, from a thread of its own.

    Args:
        jobs: The jobs.
        launcher: Starts workers.
        tasks: Whose jobs to run.
        slots: Room for jobs, one each.
        lease_s: A worker silent for longer is lost.
        attempts: The number of lost workers after which a job fails.
        metrics: Where jobs are counted.
        cancel_grace_s: A worker that was asked to stop has as long to do so by itself.
    """

    def __init__(
        self,
        jobs: Jobs,
        launcher: Launcher,
        *,
        tasks: Sequence[str],
        slots: Sequence[Slot],
        lease_s: float,
        attempts: int,
        metrics: JobMetrics,
        cancel_grace_s: float = 10.0,
    ) -> None:
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._jobs = jobs
        self._launcher = launcher
        self._free = list(slots)
        self._lease_s = lease_s
        self._attempts = attempts
        self._metrics = metrics
        self._cancel_grace_s = cancel_grace_s
        gpus = {device for slot in slots for device in slot.devices}
        devices = f"{len(gpus)} GPUs" if len(gpus) > 1 else "1 GPU" if gpus else "the CPU"
        self._where = launcher.where or devices
        self._active = ActiveJobs(jobs, tasks, lease_s)
        self._leftovers = Leftovers(jobs, launcher, tasks, lease_s)
        self._running: dict[str, _Running] = {}
        self._paused_until = -math.inf
        self._stop_grace_s: float | None = None
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look now, not within a second."""
        self._woken.set()

    def stop(self, grace_s: float) -> None:
        """Start no more jobs, give workers `grace_s` to give theirs back, and return.

        Queued jobs stay queued; running ones go on from their checkpoints when a service is back.
        Workers that outlive the service just go on.
        """
        self._stop_grace_s = grace_s
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()
        self._launcher.close()

    # The loop.

    def _run(self) -> None:
        is_away = False
        while self._stop_grace_s is None:
            self._woken.clear()
            try:
                self._step()
                is_away = False
                self._wait()
            except (StorageUnavailable, Conflict) as error:
                if not is_away:
                    _log.warning("jobs wait for the storage: %s", error)
                is_away = True
                self._woken.wait(_INTERVAL_S)
            except Exception:  # noqa: BLE001 - a bug must not end all dispatching
                _log.exception("dispatching failed; it is tried again")
                self._woken.wait(_INTERVAL_S)
        if not self._launcher.outlives_service:
            self._shut_down(time.monotonic() + self._stop_grace_s)

    def _wait(self) -> None:
        """Wait until somebody wakes this, a worker has ended, or a second has passed."""
        until = time.monotonic() + _INTERVAL_S
        while time.monotonic() < until and not self._woken.wait(_POLL_S):
            if any(self._launcher.poll(running.job) for running in self._running.values()):
                return

    def _step(self) -> None:
        active = {entry.job.name: entry for entry in self._active.look()}
        for running in list(self._running.values()):
            self._see_to_own(running, active.get(running.job.name))
        for entry in active.values():
            if entry.job.name not in self._running:
                self._see_to_others(entry)
        self._leftovers.see_to(active, self._running)
        queued = [entry for entry in active.values() if entry.job.state == states.QUEUED]
        # One whose worker has given it back, but is still there, is started when that is gone.
        self._start([entry for entry in queued if entry.job.name not in self._running])
        waiting = [entry for entry in queued if entry.job.state == states.QUEUED]
        at_work = sum(entry.job.state in _AT_WORK for entry in active.values())
        self._explain(waiting, at_work)
        self._metrics.active((entry.job for entry in active.values()), run_here=self._running)

    def _see_to_own(self, running: _Running, entry: ActiveJob | None) -> None:
        """See to a job whose worker this instance has started."""
        end = self._launcher.poll(running.job)
        if end is not None:
            self._bury(running, end)
        elif entry is None:
            # It has ended; its worker is about to.
            return
        elif entry.job.state == states.CANCELLING:
            self._stop_worker(running)
        elif not _has_spoken(running, entry) and (reason := self._launcher.waiting(running.job)):
            running.started_at = time.monotonic()
            self._answer_for(running, reason)
        elif entry.silent_s > self._lease_s:
            _log.warning("%s: its worker is silent and is killed", entry.job.name)
            self._launcher.stop(running.job, force=True)
        elif not _has_spoken(running, entry):
            self._answer_for(running, "")

    def _answer_for(self, running: _Running, waits_for: str) -> None:
        """Be heard in place of a worker that is still starting and has not said a word itself."""

        def answer(job: pb.Job) -> None:
            if job.heartbeat_time != running.job.heartbeat_time:
                raise ClaimLost(job.name)  # not lost, but the worker's own from now on
            job.heartbeat_time.GetCurrentTime()
            job.waiting_reason = waits_for

        now = time.monotonic()
        is_due = now - running.heard_at > self._lease_s / 4
        is_news = waits_for != running.job.waiting_reason
        if (is_due or is_news) and now - running.started_at < _START_S:
            with suppress(ClaimLost):
                running.job = self._jobs.change_claimed(Claim.of(running.job), answer)
            running.heard_at = now

    def _stop_worker(self, running: _Running) -> None:
        now = time.monotonic()
        if running.asked_to_stop_at is None:
            running.asked_to_stop_at = now
            self._launcher.stop(running.job)
        elif now - running.asked_to_stop_at > self._cancel_grace_s:
            self._launcher.stop(running.job, force=True)

    def _bury(self, running: _Running, end: Exit) -> None:
        """Do what a worker that has ended did not do itself, and free its slot."""
        claim = Claim.of(running.job)
        try:
            job = self._jobs.get(names.parse(running.job.name, "jobs"))
            if end.final and job.state == states.QUEUED and job.attempt == claim.attempt:
                # The worker was asked to end, and gave back what would end the same way.
                job = self._jobs.change(job.name, self._claim_again)
                claim = Claim.of(job)
            if claim.holds(job):
                job = self._lose(claim, end)
        except (_NotQueued, ClaimLost, NotFound):
            job = running.job
        del self._running[running.job.name]
        if running.slot is not None:
            self._free.append(running.slot)
        if job.state == states.CANCELLED:
            # Also one that has stopped by itself leaves nothing; nobody reads its log.
            self._launcher.stop(running.job)
        self._launcher.discard(running.job, ended=states.ended(job.state))
        if states.ended(job.state):
            self._metrics.ended(job)
            _log.info("%s has ended in %s", job.name, pb.Job.State.Name(job.state))
        self.wake()

    def _lose(self, claim: Claim, end: Exit) -> pb.Job:
        if self._stop_grace_s is not None:
            return ending.give_back(self._jobs, claim, _INTERRUPTED)
        error = wording.explanation(end)
        _log.warning("%s: attempt %d: %s", claim.name, claim.attempt, error.message)
        status = ending.status_of(error, end.log_tail)
        limit = 1 if end.final else self._attempts
        return ending.lose(self._jobs, claim, status, limit=limit)

    def _see_to_others(self, entry: ActiveJob) -> None:
        """See to a job that no worker of this instance is at."""
        if states.ended(entry.job.state):
            ending.finish(self._jobs, entry.job)
            return
        is_silent = entry.silent_s > self._lease_s
        is_neglected = is_silent or entry.stopping_s > self._lease_s
        if entry.job.state in _AT_WORK and is_neglected:
            is_there = self._launcher.has(entry.job)
            if is_there:
                self._adopt(entry.job)
            elif is_silent and is_there is not None:
                self._take_over(entry.job)
                self._active.forget(entry.job.name)

    def _adopt(self, neglected: pb.Job) -> None:
        """See to a worker that is there, but whose service is not; its claim stays as it is."""

        def hear(job: pb.Job) -> None:
            if job.heartbeat_time != neglected.heartbeat_time:
                raise ClaimLost(job.name)
            job.heartbeat_time.GetCurrentTime()

        with suppress(ClaimLost):
            job = self._jobs.change_claimed(Claim.of(neglected), hear)
            _log.warning("%s: its worker, started by %s, is adopted", job.name, job.owner)
            slot = self._free.pop(0) if self._free else None
            now = time.monotonic()
            # It has had its time to start, unless it still waits: it has one more lease to speak.
            began = now - _START_S + self._lease_s
            self._running[job.name] = _Running(job, slot, started_at=began, heard_at=now)

    def _take_over(self, silent: pb.Job) -> None:
        """End the attempt of a worker that is silent, whoever started it."""

        def take(job: pb.Job) -> None:
            if job.heartbeat_time != silent.heartbeat_time:
                raise ClaimLost(job.name)
            job.owner = self.owner
            job.heartbeat_time.GetCurrentTime()

        _log.warning("%s: its worker, of %s, is lost", silent.name, silent.owner)
        error = wording.silence(silent, self._lease_s, self._attempts)
        with suppress(ClaimLost):
            claim = Claim.of(self._jobs.change_claimed(Claim.of(silent), take))
            status = ending.status_of(error, log_tail="")
            self._metrics.ended(ending.lose(self._jobs, claim, status, limit=self._attempts))
        self.wake()

    # Starting.

    def _start(self, queued: Sequence[ActiveJob]) -> None:
        """Start jobs from the front of the queue while there is room, and it can be done."""
        for entry in queued:
            if not self._free or self._is_paused():
                return
            try:
                entry.job = self._jobs.change(entry.job.name, self._claim)
            except (_NotQueued, NotFound):
                self._active.forget(entry.job.name)
            else:
                # However long it has waited, its worker is silent only from now on.
                entry.heard_at = time.monotonic()
                self._launch(entry.job, self._free.pop(0))

    def _claim(self, job: pb.Job) -> None:
        if job.state != states.QUEUED:
            raise _NotQueued
        states.move(job, states.RUNNING)
        job.owner = self.owner
        job.attempt += 1
        job.heartbeat_time.GetCurrentTime()

    def _claim_again(self, job: pb.Job) -> None:
        """Claim a job for its last attempt, not for another one."""
        self._claim(job)
        job.attempt -= 1

    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _launch(self, job: pb.Job, slot: Slot) -> None:
        try:
            self._launcher.launch(job, slot.devices)
        except LaunchFailed as failure:
            # Most likely no fault of the job's, e.g. too many processes: others wait meanwhile.
            self._free.append(slot)
            self._paused_until = time.monotonic() + _PAUSE_S
            _log.exception("%s: its worker cannot be started", job.name)
            error = Internal(Reason.WORKER_CRASHED, f"The worker could not be started: {failure}.")
            claim, status = Claim.of(job), ending.status_of(error, log_tail="")
            with suppress(ClaimLost):
                self._metrics.ended(ending.lose(self._jobs, claim, status, limit=self._attempts))
            self._active.forget(job.name)
            return
        now = time.monotonic()
        self._running[job.name] = _Running(job, slot, started_at=now, heard_at=now)
        if job.attempt == 1:
            self._metrics.started(job)
        _log.info("%s: attempt %d is started", job.name, job.attempt)

    def _explain(self, waiting: Sequence[ActiveJob], at_work: int) -> None:
        """Tell queued jobs what they wait for; a job is written only if that has changed."""
        for ahead, entry in enumerate(waiting):
            reason = wording.waiting_reason(
                ahead, at_work, self._where, is_paused=self._is_paused()
            )

            def change(job: pb.Job, reason: str = reason) -> None:
                if job.state != states.QUEUED or job.waiting_reason == reason:
                    raise _NotQueued
                job.waiting_reason = reason

            if entry.job.waiting_reason != reason:
                try:
                    entry.job = self._jobs.change(entry.job.name, change)
                except (_NotQueued, NotFound):
                    self._active.forget(entry.job.name)

    # Stopping.

    def _shut_down(self, deadline: float) -> None:
        """Have all workers give their jobs back; kill those that do not in time."""
        for running in self._running.values():
            self._launcher.stop(running.job)
        while self._running and time.monotonic() < deadline + _KILL_S:
            for running in list(self._running.values()):
                if time.monotonic() >= deadline:
                    self._launcher.stop(running.job, force=True)
                try:
                    if end := self._launcher.poll(running.job):
                        self._bury(running, end)
                except Exception:  # noqa: BLE001 - whatever it is, the others are seen to
                    # It is taken over once it has been silent for a lease.
                    _log.exception("%s could not be given back", running.job.name)
                    self._running.pop(running.job.name, None)
            time.sleep(_POLL_S)


def _has_spoken(running: _Running, entry: ActiveJob) -> bool:
    """Whether its worker was heard of itself, since this instance has seen to it."""
    return entry.job.heartbeat_time != running.job.heartbeat_time
