"""A real worker process whose runner does what the job's `display_name` says.

`python -m tests.common.jobs.workload work JOB …` is what a launcher starts, `… dispatch` is a
process that dispatches jobs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from common import chassis
from common.errors import InvalidInput, StorageUnavailable
from common.jobs.devices import Slot
from common.jobs.dispatcher import Dispatcher
from common.jobs.launchers.local import LocalLauncher
from common.jobs.metrics import JobMetrics
from common.jobs.store import Jobs
from common.reasons import Reason
from common.settings import ServiceSettings, load
from common.storage import resources
from common.storage.bucket import Bucket
from common.task import Task
from nocode.vision.v1 import dataset_pb2, evaluation_pb2, finding_pb2
from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from common.jobs.context import JobContext
    from common.jobs.launchers import Launcher


class CountingTask(Task):
    """A task without data."""

    name = "classification"
    formats = ()
    exporters = ()

    def classes_of(self, annotation):
        raise NotImplementedError

    def renumber(self, annotation, index_of):
        raise NotImplementedError

    def learner(self):
        raise NotImplementedError


RUNNERS = {
    pb.Job.KIND_IMPORT: "tests.common.jobs.workload:run",
    pb.Job.KIND_EVALUATE: "tests.common.jobs.workload:evaluate",
}


def run(context: JobContext) -> str:
    """Do what `display_name` says, e.g. `count 30`, then leave a data set."""
    spec = context.job.import_spec
    what, _, argument = spec.display_name.partition(" ")
    context.bucket.put(f"{spec.dataset}/reserved", context.job.name.encode())
    context.bucket.put(f"{spec.dataset}/shards/00000.tar", b"half")
    context.progress(phase="Counting", step=0)
    {
        "count": count,
        "counted-then-killed": count_then_die,
        "signal": lambda _context, number: os.kill(os.getpid(), int(number)),
        "segfault": lambda _context, _: ctypes.string_at(0),
        "exit": lambda _context, status: os._exit(int(status)),
        "refuse": refuse,
        "refuse-later": refuse_later,
        "bug": lambda _context, _: 1 // 0,
        "hoard": lambda _context, _: bytearray(1 << 60),
        "deaf": deaf,
        "storage": storage_away,
        "commit-then-die": commit_then_die,
        "commit-then-wait": commit_then_wait,
        "orphan": orphan,
    }[what](context, argument)
    commit(context)
    return spec.dataset


def evaluate(context: JobContext) -> evaluation_pb2.Evaluation:
    """Leave two files and say so."""
    context.bucket.put(context.key("evaluation/plot.png"), b"png" * 1_000_000)
    context.bucket.put(context.key("evaluation/rows.jsonl"), b"{}\n")
    return evaluation_pb2.Evaluation(
        model=context.job.evaluate_spec.model,
        plots=[evaluation_pb2.Plot(uri=context.bucket.uri(context.key("evaluation/plot.png")))],
        predictions_uri=context.bucket.uri(context.key("evaluation/rows.jsonl")),
    )


def count(context: JobContext, argument: str) -> None:
    """Count to a number, ten steps a second, with a checkpoint in the bucket after each."""
    end = int(argument)
    key = context.key("checkpoint/step")
    begin = int(context.bucket.get(key)) if context.bucket.stat(key) else 0
    context.add_finding(finding_pb2.Finding(id="BEGAN_AT", count=max(begin, 1), message=str(begin)))
    for step in range(begin, end):
        print(f"step {step}", flush=True)  # noqa: T201
        context.progress(
            phase="Counting", step=step + 1, step_count=end, metrics={"loss": 1 / (step + 1)}
        )
        context.bucket.put(key, str(step + 1).encode())
        time.sleep(0.1)


def count_then_die(context: JobContext, argument: str) -> None:
    """Count to a number; the first attempt is killed there, the second goes on."""
    if context.job.attempt == 1:
        count(context, argument)
        os.kill(os.getpid(), signal.SIGKILL)
    count(context, str(2 * int(argument)))


def refuse(context: JobContext, _: str) -> None:
    print("about to refuse", flush=True)  # noqa: T201
    raise InvalidInput(Reason.DATASET_INVALID, "The data set is of no use.", images=0)


def refuse_later(context: JobContext, argument: str) -> None:
    """Give a test the time to end the storage."""
    time.sleep(3)
    refuse(context, argument)


def deaf(context: JobContext, _: str) -> None:
    """Never look whether it should stop."""
    time.sleep(600)


def storage_away(context: JobContext, _: str) -> None:
    if context.job.attempt == 1:
        raise StorageUnavailable(Reason.STORAGE_UNAVAILABLE, "The storage is away.")


def orphan(context: JobContext, argument: str) -> None:
    """Start a child of its own, and say which."""
    child = os.posix_spawn("/bin/sleep", ["sleep", "600"], os.environ)
    context.bucket.put(context.key("child"), str(child).encode())
    count(context, argument)


def commit(context: JobContext) -> None:
    """Write the document, which is the last thing that an import does."""
    name = context.job.import_spec.dataset
    datasets = resources.datasets(context.bucket)
    if not datasets.exists(name):
        datasets.create(name, dataset_pb2.Dataset(name=name, job=context.job.name))


def commit_then_die(context: JobContext, _: str) -> None:
    commit(context)
    os.kill(os.getpid(), signal.SIGKILL)


def commit_then_wait(context: JobContext, _: str) -> None:
    """Be asked to stop when all is done."""
    commit(context)
    while True:
        context.check_cancelled()
        time.sleep(0.05)


def launcher(settings: ServiceSettings) -> Launcher:
    """What starts workers as the settings say."""
    if settings.launcher == "local":
        return LocalLauncher((sys.executable, "-m", "tests.common.jobs.workload"), settings)
    from common.jobs.launchers.kubernetes import KubernetesLauncher

    return KubernetesLauncher(settings, [CountingTask.name])


def dispatch() -> None:
    """Be a service as far as it runs jobs, until killed."""
    settings = load(ServiceSettings)
    dispatcher = Dispatcher(
        Jobs(Bucket(settings), queue_size=settings.job_queue_size),
        launcher(settings),
        tasks=[CountingTask.name],
        slots=[Slot()],
        lease_s=settings.job_lease_s,
        attempts=settings.job_attempts,
        metrics=JobMetrics(CollectorRegistry()),
    )
    dispatcher.start()
    signal.pause()


if __name__ == "__main__":
    if sys.argv[1] == "dispatch":
        dispatch()
    else:
        chassis.main([CountingTask()], sys.argv[1:], runners=RUNNERS)
