"""What every task service is: a server, and the workers that it starts.

`python -m services.{task}` serves; with `work JOB …` behind it, it makes one attempt at one job.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from common import logs, names, tracing
from common.allocator import keep_freed_memory
from common.errors import StorageUnavailable
from common.jobs import worker
from common.jobs.store import Claim
from common.settings import ServiceSettings, load
from common.storage.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from common.task import Task
    from nocode.vision.v1 import job_pb2 as pb


def main(
    tasks: Sequence[Task],
    arguments: Sequence[str] | None = None,
    runners: Mapping[pb.Job.Kind.ValueType, str] = worker.RUNNERS,
) -> None:
    """Run a service, or one of its workers, as the command line says.

    Args:
        tasks: What the service serves.
        arguments: The command line; that of the process, if not given.
        runners: `module:function` for each kind of job.
    """
    options = _parse(arguments)
    settings = load(ServiceSettings)
    _set_threads(settings)
    if options.command == "work":
        logs.set_up(settings.log_level, job=options.job)
        tracing.set_up(f"{_part()}-worker")
        if options.until_stdin_closes:
            worker.end_with_stdin()
        claim = Claim(options.job, options.owner, options.attempt)
        (task,) = [task for task in tasks if task.name == names.parse(options.job, "jobs").task]
        worker.work(claim, task=task, bucket=Bucket(settings), settings=settings, runners=runners)
        tracing.shut_down()
        worker.leave()
    else:
        logs.set_up(settings.log_level)
        tracing.set_up(_part())
        keep_freed_memory()
        bucket = _open_bucket(settings)
        from common.service import serve  # noqa: PLC0415 - brings torch, which an import needs not

        asyncio.run(serve(tasks, settings, bucket))
        tracing.shut_down()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A task service. Settings: NOCODE_* variables.")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="answer calls and run jobs (this is done by default)")
    work = commands.add_parser("work", help="do one job; a service starts this by itself")
    work.add_argument("job", help="tasks/{task}/jobs/{job}")
    work.add_argument("--owner", required=True, help="the job's owner, as claimed")
    work.add_argument("--attempt", required=True, type=int, help="the job's attempt, as claimed")
    work.add_argument("--until-stdin-closes", action="store_true", help="end when the service dies")
    return parser.parse_args(arguments)


def _part() -> str:
    """Return which service this is: the folder of its program, `services/{name}/__main__.py`."""
    return Path(sys.argv[0]).parent.name


def _set_threads(settings: ServiceSettings) -> None:
    """Settle how OpenMP uses threads, which it reads when torch is imported."""
    # A thread that waits by spinning takes the core from the one that it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["OMP_NUM_THREADS"] = str(settings.torch_threads)


def _open_bucket(settings: ServiceSettings) -> Bucket:
    """Return the bucket, or end the process with a line that says what is wrong with it."""
    bucket = Bucket(settings)
    try:
        bucket.check()
    except StorageUnavailable as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - for the person who starts it
        raise SystemExit(2) from None
    return bucket
