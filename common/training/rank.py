"""One of several processes that train together, as torchrun starts it.

torchrun … --module common.training.rank services.classification.task:ClassificationTask JOB
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
from google.protobuf import json_format

from common import logs, names
from common.errors import DomainError
from common.jobs.context import JobContext
from common.jobs.failures import is_out_of_memory, named
from common.settings import ServiceSettings, load
from common.storage import resources
from common.storage.bucket import Bucket
from common.training import distributed, launch
from common.training.loop import Trainer
from common.training.setup import first_network, prepare, use_threads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from common.training.distributed import Ranks
    from nocode.vision.v1 import finding_pb2

_TORCHRUN = "torch.distributed.run"
_WATCH_S = 1.0


class RankContext(JobContext):
    """A job as the processes of torchrun see it: the first one's reports go to the worker."""

    ranks: Ranks

    def progress(self, **values: Any) -> None:
        """See `JobContext`."""
        if self.ranks.first:
            launch.report("progress", **values)

    def add_history(self, epoch: int, metrics: Mapping[str, float], ended_s: float) -> None:
        """See `JobContext`."""
        if self.ranks.first:
            launch.report("history", epoch=epoch, metrics=dict(metrics), ended_s=ended_s)

    def add_finding(self, finding: finding_pb2.Finding) -> None:
        """See `JobContext`."""
        if self.ranks.first:
            launch.report("finding", finding=json_format.MessageToDict(finding))

    def drop_finding(self, finding_id: str) -> None:
        """See `JobContext`."""
        if self.ranks.first:
            launch.report("no-finding", finding_id=finding_id)


def main(task_path: str, job_name: str) -> None:
    """Train, as one of several."""
    _end_with_parent()
    settings = load(ServiceSettings)
    logs.set_up(settings.log_level)
    bucket = Bucket(settings)
    module, _, name = task_path.partition(":")
    task = getattr(importlib.import_module(module), name)()
    job = resources.jobs(bucket).get(str(names.parse(job_name, "jobs")))
    with distributed.join(settings.device) as ranks:
        use_threads(settings.train_threads if ranks.device.type == "cpu" else 1)
        context = RankContext(job, task=task, bucket=bucket, settings=settings)
        context.ranks = ranks
        try:
            setup = prepare(context, ranks.device)
            checkpoints = launch.checkpoints(context)
            network = first_network(context, setup, ranks, resumes=checkpoints.exist())
            context.progress(phase="Training")
            Trainer(setup.training, network, ranks, context, checkpoints).fit()
        except Exception as error:
            # Others tell of their own end what is but a consequence: that a process is gone.
            if isinstance(error, DomainError) or is_out_of_memory(error):
                launch.report("error", **launch.describe(named(error)))
            raise


def _end_with_parent() -> None:
    """End this process when torchrun is gone; it may have been killed."""
    parent = os.getppid()
    if not _is_torchrun(parent):
        os._exit(1)  # killed while this process was still importing

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _is_torchrun(pid: int) -> bool:
    try:
        return _TORCHRUN in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
