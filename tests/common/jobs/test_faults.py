"""Jobs outlive the service that runs them, and a storage that goes away for a while."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from common import names
from common.jobs import states
from deploy.local.embedded_s3 import EmbeddedS3
from tests.common.jobs.conftest import is_counting
from tests.common.jobs.seen import wait_until, workers_of

AWAY_S = 6.0


@pytest.fixture
def start_service(environment):
    """Start a process that dispatches jobs; all are killed at the end."""
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.common.jobs.workload", "dispatch"]
        started.append(subprocess.Popen(command, env={**os.environ, **environment}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


class TestServiceKilled:
    """`kill -9` of the service."""

    def test_its_job_goes_on_when_it_is_back(
        self, create, start_service, wait_for, wait_until_ended, jobs
    ):
        running, queued = create("count 30"), create("count 1", dataset="e")
        service = start_service()
        wait_for(running, lambda job: job.progress.step >= 5)
        (worker,) = workers_of(running)

        os.kill(service.pid, signal.SIGKILL)

        # its worker does not outlive it, so that there are never two
        wait_until(lambda: not psutil.pid_exists(worker) or worker not in workers_of(running))
        step = jobs.get(names.parse(running.name)).progress.step
        assert jobs.get(names.parse(running.name)).state == states.RUNNING

        start_service()
        ended = wait_until_ended(running)
        assert ended.state == states.SUCCEEDED
        assert (ended.attempt, ended.lost_worker_count) == (2, 1)
        assert int(ended.findings[0].message) >= step > 0
        assert wait_until_ended(queued).state == states.SUCCEEDED

    def test_another_replica_takes_its_job_over(
        self, create, start_service, wait_for, wait_until_ended
    ):
        job = create("count 25")
        services = [start_service(), start_service()]
        owner = wait_for(job, is_counting).owner
        (first,) = [service for service in services if f"-{service.pid}-" in owner]

        os.kill(first.pid, signal.SIGKILL)
        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert ended.attempt == 2
        assert ended.owner != owner


class TestStorageAway:
    """The S3 server is down for longer than a lease."""

    @pytest.fixture
    def s3(self):
        """A server that only this test uses, and ends."""
        with EmbeddedS3() as server:
            yield server

    def test_a_job_outlives_it(
        self, s3, create, start_dispatcher, wait_for, wait_until_ended, jobs
    ):
        """Worker and dispatcher wait for the storage; neither takes silence for death."""
        running, queued = create("count 40"), create("count 1", dataset="e")
        start_dispatcher()
        wait_for(running, is_counting)
        (worker,) = workers_of(running)

        s3.kill()
        time.sleep(AWAY_S)
        still_there = workers_of(running)
        s3.start()
        ended = wait_until_ended(running)

        assert still_there == [worker]
        assert ended.state == states.SUCCEEDED
        assert (ended.attempt, ended.lost_worker_count) == (1, 0)
        assert wait_until_ended(queued).state == states.SUCCEEDED

    def test_an_end_that_cannot_be_written_is_written_later(
        self, s3, create, start_dispatcher, wait_for, wait_until_ended
    ):
        job = create("refuse-later")
        start_dispatcher()
        wait_for(job, lambda job: job.progress.phase == "Counting")

        s3.kill()
        time.sleep(AWAY_S)
        s3.start()
        ended = wait_until_ended(job)

        assert ended.state == states.FAILED
        assert (ended.attempt, ended.lost_worker_count) == (1, 0)
