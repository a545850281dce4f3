"""Starts a training in several processes, one for each device, and listens to them.

The worker of the job stays what it is: it alone writes the job. It starts torchrun, whose first
process prints a line for each report and writes checkpoints to the bucket, where the worker finds
the weights in the end.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from common import errors
from common.errors import DomainError, Internal
from common.reasons import Reason
from common.training.checkpoints import Checkpoints
from common.training.distributed import torchrun
from common.training.loop import Fitted
from nocode.vision.v1 import finding_pb2

if TYPE_CHECKING:
    from common.jobs.context import JobContext
    from common.settings import ServiceSettings

MARK = "nocode-report "
"""What a line that is a report starts with; others are for the log."""

_POLL_S = 0.5
_STOP_S = 10.0

_log = logging.getLogger(__name__)


def fit_together(context: JobContext, process_count: int) -> Fitted:
    """Train in several processes on this machine, and on others that `lend` theirs.

    Raises:
        DomainError: What one of them raised.
        Internal: One of them died.
    """
    context.progress(phase="Training")
    with subprocess.Popen(
        _command(context, process_count),
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        env=os.environ | _environment(context.settings),
    ) as process:
        try:
            error = _listen(process, context)
        finally:
            _stop(process)
    if error is not None:
        raise error
    if process.returncode:
        raise Internal(
            Reason.WORKER_CRASHED,
            f"A training process died; torchrun ended with status {process.returncode}. The "
            "details have the last lines of its log.",
            status=process.returncode,
        )
    return _result(context)


def lend(context: JobContext, process_count: int) -> None:
    """Lend this machine to a training that the worker on another one does, until it ends.

    Raises:
        SystemExit: A process here died.
    """
    environment = os.environ | _environment(context.settings)
    with subprocess.Popen(_command(context, process_count), env=environment) as process:
        signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate())
        status = process.wait()
    if status:
        raise SystemExit(1)


def _command(context: JobContext, process_count: int) -> list[str]:
    task = type(context.task)
    return torchrun(
        process_count,
        "common.training.rank",
        f"{task.__module__}:{task.__qualname__}",
        context.job.name,
    )


def report(kind: str, **values: object) -> None:
    """Print a report, in the process that trains."""
    # In one piece with the end of the line, as several processes print to the same pipe.
    sys.stdout.write(f"{MARK}{json.dumps({'kind': kind, **values})}\n")
    sys.stdout.flush()


def describe(error: DomainError) -> dict[str, Any]:
    """Return an error as `fit_together` raises it again."""
    return {
        "type": type(error).__name__,
        "reason": error.reason,
        "message": error.message,
        "field": error.field,
        "details": error.details,
    }


def _listen(process: subprocess.Popen[str], context: JobContext) -> DomainError | None:
    """Pass reports on until the process ends or the job is to stop; return its error."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, name="torchrun-output", daemon=True).start()
    error: DomainError | None = None
    while True:
        context.check_cancelled()
        try:
            line = lines.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if line is None:
            process.wait()
            return error
        if not line.startswith(MARK):
            _log.info("%s", line.rstrip())
            continue
        values = json.loads(line.removeprefix(MARK))
        match values.pop("kind"):
            case "progress":
                context.progress(**values)
            case "history":
                context.add_history(**values)
            case "finding":
                finding = json_format.ParseDict(values["finding"], finding_pb2.Finding())
                context.add_finding(finding)
            case "no-finding":
                context.drop_finding(**values)
            case "error" if error is None:
                kind = getattr(errors, values["type"])
                error = kind(
                    Reason(values["reason"]),
                    values["message"],
                    field=values["field"],
                    **values["details"],
                )


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            # The processes that it has started notice that it is gone.
            process.kill()


def _result(context: JobContext) -> Fitted:
    checkpoint = checkpoints(context).load()
    if checkpoint is None or not checkpoint[0].finished:
        raise Internal(Reason.WORKER_CRASHED, "The training ended, but left no final checkpoint.")
    progress, _, best = checkpoint
    return Fitted(best, progress.best_epoch, progress.best_metrics)


def checkpoints(context: JobContext) -> Checkpoints:
    """Return where a job keeps its checkpoint."""
    return Checkpoints(
        context.bucket,
        context.key("checkpoint/"),
        context.work_dir / "checkpoint",
        attempt=context.job.attempt,
    )


def _environment(settings: ServiceSettings) -> dict[str, str]:
    """Return settings as the environment variables that they are read from."""
    return {
        f"NOCODE_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.model_dump(mode="json").items()
        if value is not None
    }
