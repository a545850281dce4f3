"""Jobs on a real S3 server, with real workers."""

from __future__ import annotations

import sys
import time

import pytest
from prometheus_client import CollectorRegistry

from common import names
from common.jobs import states
from common.jobs.devices import Slot
from common.jobs.dispatcher import Dispatcher
from common.jobs.launchers.local import LocalLauncher
from common.jobs.metrics import JobMetrics
from common.jobs.store import Jobs
from common.settings import ServiceSettings
from nocode.vision.v1 import job_pb2 as pb

TASK = "classification"
COMMAND = (sys.executable, "-m", "tests.common.jobs.workload")


@pytest.fixture
def settings(storage_settings, tmp_path) -> ServiceSettings:
    """Short leases, so that tests need not wait for long ones."""
    return ServiceSettings(
        **storage_settings.model_dump(), work_dir=tmp_path, job_lease_s=4.0, job_queue_size=3
    )


@pytest.fixture
def environment(settings):
    """The settings as a process started by hand would get them."""
    names = (
        "s3_endpoint",
        "s3_access_key",
        "s3_secret_key",
        "s3_bucket",
        "work_dir",
        "job_lease_s",
    )
    return {f"NOCODE_{name.upper()}": str(getattr(settings, name)) for name in names}


@pytest.fixture
def jobs(bucket, settings) -> Jobs:
    return Jobs(bucket, queue_size=settings.job_queue_size)


@pytest.fixture
def create(jobs):
    """Queue an import that does what it is told; see `workload`."""

    def create(what: str, dataset: str = "d", request_id: str = "") -> pb.Job:
        name = jobs.name_for(pb.Job.KIND_IMPORT, f"tasks/{TASK}", request_id)
        spec = pb.ImportSpec(dataset=f"tasks/{TASK}/datasets/{dataset}", display_name=what)
        return jobs.create(name, spec, request_id=request_id)

    return create


@pytest.fixture
def start_dispatcher(bucket, settings, environment):
    """Start a dispatcher, as a service does; all are stopped at the end."""
    started: list[Dispatcher] = []

    def start(
        *, slots: int = 1, command=COMMAND, cancel_grace_s: float = 2.0, registry=None
    ) -> Dispatcher:
        dispatcher = Dispatcher(
            Jobs(bucket, queue_size=settings.job_queue_size),
            LocalLauncher(command, settings, environment),
            tasks=[TASK],
            slots=[Slot()] * slots,
            lease_s=settings.job_lease_s,
            attempts=settings.job_attempts,
            metrics=JobMetrics(registry or CollectorRegistry()),
            cancel_grace_s=cancel_grace_s,
        )
        started.append(dispatcher)
        dispatcher.start()
        return dispatcher

    yield start
    for dispatcher in started:
        dispatcher.stop(grace_s=0.0)


@pytest.fixture
def wait_for(jobs):
    """Wait until a job is as a condition wants it, and return it."""

    def wait_for(job: pb.Job, condition, timeout_s: float = 60.0) -> pb.Job:
        deadline = time.monotonic() + timeout_s
        while True:
            now = jobs.get(names.parse(job.name))
            if condition(now):
                return now
            assert time.monotonic() < deadline, f"still\n{now}"
            assert not states.ended(now.state), f"never to be\n{now}"
            time.sleep(0.05)

    return wait_for


@pytest.fixture
def wait_until_ended(wait_for):
    def wait_until_ended(job: pb.Job, timeout_s: float = 60.0) -> pb.Job:
        return wait_for(job, lambda job: states.ended(job.state), timeout_s)

    return wait_until_ended


def is_counting(job: pb.Job) -> bool:
    """Whether its worker has reported some steps."""
    return job.state == states.RUNNING and job.progress.step > 0
