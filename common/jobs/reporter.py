"""Writes what a runner reports to the bucket, and with it the sign that its worker lives."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Self

from common.errors import Conflict, StorageUnavailable
from common.jobs import states
from common.jobs.store import Claim, ClaimLost

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from common.jobs.context import JobContext
    from common.jobs.store import Jobs
    from nocode.vision.v1 import job_pb2 as pb

# At most two writes a second, and a few in every lease.
_INTERVAL_S = 0.5
_HEARTBEATS_A_LEASE = 4

_log = logging.getLogger(__name__)


class Reporter:
    """While entered, writes from a thread; also sees there that the job was asked to stop.

    Args:
        context: What to write, and who is told to stop.
        jobs: Where to.
        claim: The claim to write under.
        on_lost: Called from the thread when the claim is lost: somebody else does the job now.
    """

    def __init__(
        self, context: JobContext, jobs: Jobs, claim: Claim, on_lost: Callable[[], None]
    ) -> None:
        self._context = context
        self._jobs = jobs
        self._claim = claim
        self._on_lost = on_lost
        self._heartbeat_s = context.settings.job_lease_s / _HEARTBEATS_A_LEASE
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Write no more. Returns once no write is under way."""
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        written_version = -1
        written_at = -self._heartbeat_s
        while not self._done.wait(_INTERVAL_S):
            version = self._context.version
            is_due = time.monotonic() - written_at >= self._heartbeat_s
            if version == written_version and not is_due:
                continue
            try:
                job = self._jobs.change_claimed(self._claim, self._write)
            except ClaimLost:
                self._on_lost()
                return
            except (StorageUnavailable, Conflict) as error:
                _log.warning("progress is written later: %s", error)
                continue
            written_version, written_at = version, time.monotonic()
            if job.state == states.CANCELLING:
                self._context.request_stop()

    def _write(self, stored: pb.Job) -> None:
        self._context.write_into(stored)
        # Whoever started this worker may have said what it waited for.
        stored.waiting_reason = ""
        stored.heartbeat_time.GetCurrentTime()
