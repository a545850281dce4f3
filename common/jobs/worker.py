"""What runs in a worker: one attempt at one job, from its claim to its end."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn, TypeVar

from common import names, tracing
from common.errors import Conflict, StorageUnavailable
from common.jobs import ending, logfiles
from common.jobs.context import Cancelled, JobContext
from common.jobs.failures import named
from common.jobs.reporter import Reporter
from common.jobs.store import Claim, ClaimLost, Jobs
from nocode.vision.v1 import dataset_pb2, evaluation_pb2
from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from common.jobs.context import Runner
    from common.settings import ServiceSettings
    from common.storage.bucket import Bucket
    from common.task import Task

# Imported by kind: an import needs no torch.
RUNNERS: dict[pb.Job.Kind.ValueType, str] = {
    pb.Job.KIND_IMPORT: "common.data.importing:run_import",
    pb.Job.KIND_TRAIN: "common.training.run:run_train",
    pb.Job.KIND_EVALUATE: "common.evaluation.run:run_evaluate",
    pb.Job.KIND_EXPORT: "common.jobs.exports:run_export",
}
# What runs on all machines but the first one, of those that share a training, and how they know.
_LENDER = "common.training.run:lend"
_NODE_RANK = "PET_NODE_RANK"
# Several times in every lease: while the end of a job waits to be written, nobody is heard of.
_RETRIES_A_LEASE = 8
_INTERRUPTED = "Was interrupted; waits to go on."

T = TypeVar("T")

_log = logging.getLogger(__name__)


def work(
    claim: Claim,
    *,
    task: Task,
    bucket: Bucket,
    settings: ServiceSettings,
    runners: Mapping[pb.Job.Kind.ValueType, str] = RUNNERS,
) -> None:
    """Do a job under a claim, until it has ended or is given back.

    Args:
        claim: The attempt to be.
        task: The task that the job belongs to.
        bucket: The bucket.
        settings: The service's settings.
        runners: `module:function` for each kind.
    """
    jobs = Jobs(bucket, queue_size=settings.job_queue_size)
    retry_s = settings.job_lease_s / _RETRIES_A_LEASE
    job = _persist(lambda: jobs.get(names.parse(claim.name, "jobs")), retry_s)
    if not claim.holds(job):
        _log.info("attempt %d is not wanted any more", claim.attempt)
        return
    if settings.launcher == "kubernetes":
        _keep_log(logfiles.path(settings, names.parse(claim.name, "jobs")))
    context = JobContext(job, task=task, bucket=bucket, settings=settings)
    if os.environ.get(_NODE_RANK, "0") != "0":
        # The worker on the first machine does the job; this one lends its devices.
        _load(_LENDER)(context)
        return
    signal.signal(signal.SIGTERM, lambda _number, _frame: context.request_stop())
    kind = pb.Job.Kind.Name(job.kind).removeprefix("KIND_")
    with (
        tracing.span(kind, parent=job.traceparent, job=job.name, attempt=claim.attempt),
        Reporter(context, jobs, claim, on_lost=_die) as reporter,
    ):
        _log.info("attempt %d begins", claim.attempt)
        try:
            end = _run(context, runners[job.kind], jobs, claim)
            reporter.stop()
            ended = _persist(end, retry_s)
        except ClaimLost:
            _log.warning("attempt %d is not wanted any more", claim.attempt)
            return
    shutil.rmtree(context.work_dir, ignore_errors=True)
    _log.info("attempt %d ends in %s", claim.attempt, pb.Job.State.Name(ended.state))


def leave() -> NoReturn:
    """End this process now: Python's own way takes torch apart, and the next job waits for it."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def end_with_stdin() -> None:
    """Kill this process, and all that it started, when whoever holds its standard input dies."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        _log.warning("the service has died; so does this worker")
        _die()

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _run(context: JobContext, runner: str, jobs: Jobs, claim: Claim) -> Callable[[], pb.Job]:
    """Do the work, and return what is to be done with its outcome."""
    log = logfiles.path(context.settings, context.name)
    report = context.write_into
    try:
        result = _load(runner)(context)
    except ClaimLost:
        raise
    except Cancelled:
        return lambda: ending.give_back(jobs, claim, _INTERRUPTED, report)
    except StorageUnavailable as error:
        # Nothing is wrong with the job. By the time that this can be written, it may go on.
        _log.exception("the storage was away for too long")
        status = ending.status_of(error, logfiles.tail(log))
        limit = context.settings.job_attempts
        return lambda: ending.lose(jobs, claim, status, limit=limit, change=report)
    except Exception as error:  # noqa: BLE001 - whatever it is, the job ends with a reason
        _log.exception("the job fails")
        status = ending.status_of(named(error), logfiles.tail(log))
        return lambda: ending.fail(jobs, claim, status, report)

    def set_result(job: pb.Job) -> None:
        report(job)
        if isinstance(result, evaluation_pb2.Evaluation):
            job.evaluation.CopyFrom(result)
        elif isinstance(result, pb.Export):
            job.export.CopyFrom(result)
        elif isinstance(result, dataset_pb2.Dataset):
            job.validated.Pack(result)
        else:
            ending.set_result(job, result)

    return lambda: ending.succeed(jobs, claim, set_result)


def _keep_log(log: Path) -> None:
    """Write the log to a file as well, for its tail; on one machine the service sees to that."""
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log)
    handler.setFormatter(logging.getLogger().handlers[0].formatter)
    logging.getLogger().addHandler(handler)


def _load(runner: str) -> Runner:
    module, _, function = runner.partition(":")
    loaded: Runner = getattr(importlib.import_module(module), function)
    return loaded


def _persist(do: Callable[[], T], retry_s: float) -> T:
    """Do something with the bucket, again and again while it is away.

    Raises:
        ClaimLost: Somebody else took the job meanwhile.
    """
    while True:
        try:
            return do()
        except (StorageUnavailable, Conflict) as error:
            _log.warning("waiting for the storage: %s", error)
            time.sleep(retry_s)


def _die() -> None:
    """End this process at once, and everything that it started.

    Used when the job is somebody else's now: nothing that is still under way may be finished.
    """
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
