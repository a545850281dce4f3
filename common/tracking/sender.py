"""Tells a tracking server about a job, from a thread that the job never waits for long for.

What is to be sent waits in a list that holds no contents: epochs are read from the job, files from
the bucket or the disk when their turn comes. What fails is tried again with pauses, what the server
refuses is left out, and the job's owner is told of either by a finding.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common import names
from common.tracking import pages
from common.tracking.describe import JOB_TAG
from nocode.vision.v1 import finding_pb2
from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from common.jobs.context import JobContext
    from common.tracking.server import Run

INCOMPLETE = "TRACKING_INCOMPLETE"

_INTERVAL_S = 1.0
_LONGEST_PAUSE_S = 30.0
# How long the end of a job may wait for what is left to be sent: if the server answers, and if it
# did not the last time.
_LAST_S = 10.0
_LAST_SILENT_S = 2.0
# In one call, in which the server takes 1000 values.
_EPOCHS_A_CALL = 50

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Item:
    what: str
    send: Callable[[Run], None]


class Sender:
    """Sends until `close`.

    Args:
        context: The job. Its settings say where to.
    """

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._run: Run | None = None
        self._outbox: deque[_Item] = deque()
        self._refused: list[str] = []
        self._why = ""
        self._silent = False
        self._sent_epoch = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._context.drop_finding(INCOMPLETE)
        self._thread.start()

    def put(self, what: str, send: Callable[[Run], None]) -> None:
        """Send something when its turn comes.

        Args:
            what: For a person, e.g. `parameters`.
            send: Does it; may be called again if it raises.
        """
        self._outbox.append(_Item(what, send))

    def close(self) -> None:
        """Send what is left, but not for longer than some seconds."""
        self._closing.set()
        self._thread.join(_LAST_SILENT_S if self._silent else _LAST_S)
        missing = [*self._refused, *(["epochs"] if self._epochs() else [])]
        # A copy, as the thread may still be at it.
        missing += [item.what for item in self._outbox.copy()]
        if missing:
            self._tell(self._why or "it is too slow", missing)

    def _work(self) -> None:
        pause_s = _INTERVAL_S
        while True:
            closing = self._closing.is_set()
            try:
                self._send()
            except Exception as error:  # noqa: BLE001 - tracking never fails a job
                if not self._goes_on(error) or closing:
                    return
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                pause_s, self._silent = _INTERVAL_S, False
                if self._why and not self._refused:
                    self._why = ""
                    self._context.drop_finding(INCOMPLETE)
                if closing:
                    return
            self._closing.wait(pause_s)

    def _goes_on(self, error: Exception) -> bool:
        """Note that nothing can be sent now; whether a later try may help."""
        _log.warning("tracking: %s", error)
        self._silent = True
        refused = _is_final(error)
        self._why = _why(error) if refused else "it does not answer"
        self._tell(self._why, ["all that is not there yet"])
        return not refused

    def _send(self) -> None:
        """Send all that there is.

        Raises:
            Exception: Nothing more can be sent now.
        """
        if self._run is None:
            self._run = self._open()
            self._sent_epoch = self._run.last_epoch
        while True:
            self._send_epochs(self._run)
            if not self._outbox:
                return
            item = self._outbox[0]
            try:
                item.send(self._run)
            except Exception as error:
                if not _is_final(error):
                    raise
                _log.warning("tracking: %s: %s", item.what, error)
                self._refused.append(item.what)
                self._why = _why(error)
            self._outbox.popleft()

    def _open(self) -> Run:
        from common.tracking.server import Run  # noqa: PLC0415 - mlflow takes seconds, and may lack

        job, settings = self._context.job, self._context.settings
        run = Run.open(
            settings.mlflow_tracking_uri,
            self._context.name.parent,
            (JOB_TAG, job.name),
            start_ms=round(time.time() * 1000),
        )
        ids = {"experiment_id": run.experiment_id, "run_id": run.run_id}
        pages.remember(self._context.bucket, self._context.name, **ids)
        return run

    def _send_epochs(self, run: Run) -> None:
        entries = self._epochs()
        for first in range(0, len(entries), _EPOCHS_A_CALL):
            some = entries[first : first + _EPOCHS_A_CALL]
            run.log(
                (name, value, entry.end_time.ToMilliseconds(), entry.epoch)
                for entry in some
                for name, value in entry.metrics.items()
            )
            self._sent_epoch = some[-1].epoch

    def _epochs(self) -> list[pb.JobHistoryEntry]:
        """Return the epochs that were not sent yet."""
        copy = pb.Job()
        self._context.write_into(copy)
        return [entry for entry in copy.history if entry.epoch > self._sent_epoch]

    def _tell(self, why: str, missing: list[str]) -> None:
        shown = list(itertools.islice(dict.fromkeys(missing), 20))
        self._context.add_finding(
            finding_pb2.Finding(
                id=INCOMPLETE,
                severity=finding_pb2.Finding.SEVERITY_WARNING,
                count=len(missing),
                message="The tracking server was not told everything about this job, which goes "
                f"on all the same: {why}. Nothing is lost: the job and its model have it too.",
                examples=shown,
            )
        )


def _is_final(error: Exception) -> bool:
    if isinstance(error, ImportError):
        return True
    from common.tracking.server import is_final  # noqa: PLC0415 - as above

    return is_final(error)


def _why(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "mlflow is not installed; the operator can add the extra `tracking`"
    return f"it refuses ({names.shorten(str(error).splitlines()[0] if str(error) else '', 200)})"
