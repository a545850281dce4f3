"""A task service as a server: the five servicers, and the dispatcher of their jobs."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from common import gpu_metrics
from common.catalog.datasets import Datasets
from common.catalog.models import Models
from common.catalog.pipelines import Pipelines
from common.jobs import devices
from common.jobs.dispatcher import Dispatcher
from common.jobs.launchers import LauncherMisconfigured
from common.jobs.launchers.local import LocalLauncher
from common.jobs.metrics import JobMetrics
from common.jobs.store import Jobs
from common.rpc import contract, handlers
from common.rpc.health import SERVER
from common.rpc.server import Server, wait_for_stop
from common.serving.predictor import Predictor
from common.serving.servicers.datasets import DatasetServicer
from common.serving.servicers.jobs import JobServicer
from common.serving.servicers.models import ModelServicer
from common.serving.servicers.pipelines import PipelineServicer
from common.serving.servicers.prediction import PredictionServicer
from common.storage import metrics as storage_metrics
from common.tracking.pages import pages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.jobs.launchers import Launcher
    from common.settings import ServiceSettings
    from common.storage.bucket import Bucket
    from common.task import Task

# They wait for the bucket most of the time.
_BLOCKING_CALLS = 32
# How many jobs a cluster is asked to run at once; it has a queue, and limits, of its own.
_CLUSTER_SLOTS = 10


async def serve(tasks: Sequence[Task], settings: ServiceSettings, bucket: Bucket) -> None:
    """Serve until told to stop; then end calls and give running jobs back to the queue.

    Args:
        tasks: What is served.
        settings: The settings.
        bucket: The bucket, which can be reached.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_BLOCKING_CALLS))
    task_names = [task.name for task in tasks]
    server = Server(settings)
    storage_metrics.show(server.registry)
    gpu_metrics.show(server.registry)
    launcher = _launcher(task_names, settings)
    dispatcher = Dispatcher(
        Jobs(bucket, queue_size=settings.job_queue_size),
        launcher,
        tasks=task_names,
        slots=_slots(settings, launcher),
        lease_s=settings.job_lease_s,
        attempts=settings.job_attempts,
        metrics=JobMetrics(server.registry),
    )
    jobs = Jobs(bucket, queue_size=settings.job_queue_size, on_change=dispatcher.wake)
    predictor = Predictor(tasks, bucket, settings, server.registry)
    servicers = [
        DatasetServicer(Datasets(bucket, settings, tasks, jobs)),
        PipelineServicer(Pipelines(bucket, tasks, jobs, settings)),
        ModelServicer(Models(bucket, tasks, jobs, pages(bucket, settings))),
        JobServicer(jobs, task_names),
        PredictionServicer(predictor),
    ]
    handlers.register(server.grpc, servicers, server.metrics)
    for name in (SERVER, *(service.full_name for service in contract.SERVICES)):
        server.health.set(name, serving=True)
    await server.start()
    dispatcher.start()
    await wait_for_stop()
    jobs.end_watches()
    await asyncio.gather(server.drain(), asyncio.to_thread(dispatcher.stop, settings.drain_s))
    await predictor.close()


def _launcher(task_names: Sequence[str], settings: ServiceSettings) -> Launcher:
    """Return what starts workers, or end the process with a line that says what is wrong."""
    if settings.launcher == "local":
        return LocalLauncher(_own_command(), settings)
    try:
        # Its client takes a second to import, and is an extra.
        from common.jobs.launchers.kubernetes import KubernetesLauncher  # noqa: PLC0415

        return KubernetesLauncher(settings, task_names)
    except ModuleNotFoundError as error:
        problem = (
            f"NOCODE_LAUNCHER is kubernetes, but the package {error.name} is not installed. "
            "Install nocode-vision with the extra `kubernetes`, or set it to local."
        )
    except LauncherMisconfigured as error:
        problem = str(error)
    print(problem, file=sys.stderr)  # noqa: T201 - for the person who starts it
    raise SystemExit(2)


def _slots(settings: ServiceSettings, launcher: Launcher) -> list[devices.Slot]:
    """Return room for as many jobs as may run at once."""
    if launcher.where:
        return [devices.Slot()] * (settings.job_slots or _CLUSTER_SLOTS)
    return devices.slots(settings)


def _own_command() -> list[str]:
    """Return what this process was started with, without its arguments."""
    arguments = len(sys.argv) - 1
    return [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - arguments]]
