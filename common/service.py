"""A task service as a server: the five servicers, and the dispatcher of their jobs."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from common.catalog.datasets import Datasets
from common.catalog.models import Models
from common.catalog.pipelines import Pipelines
from common.jobs import devices
from common.jobs.dispatcher import Dispatcher
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.settings import ServiceSettings
    from common.storage.bucket import Bucket
    from common.task import Task

# They wait for the bucket most of the time.
_BLOCKING_CALLS = 32


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
    dispatcher = Dispatcher(
        Jobs(bucket, queue_size=settings.job_queue_size),
        LocalLauncher(_own_command(), settings),
        tasks=task_names,
        slots=devices.slots(settings),
        lease_s=settings.job_lease_s,
        attempts=settings.job_attempts,
        metrics=JobMetrics(server.registry),
    )
    jobs = Jobs(bucket, queue_size=settings.job_queue_size, on_change=dispatcher.wake)
    predictor = Predictor(tasks, bucket, settings, server.registry)
    servicers = [
        DatasetServicer(Datasets(bucket, settings, tasks, jobs)),
        PipelineServicer(Pipelines(bucket, tasks, jobs, settings)),
        ModelServicer(Models(bucket, tasks, jobs)),
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


def _own_command() -> list[str]:
    """Return what this process was started with, without its arguments."""
    arguments = len(sys.argv) - 1
    return [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - arguments]]
