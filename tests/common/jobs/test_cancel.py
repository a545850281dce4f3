"""Jobs that are asked to stop while they run."""

from __future__ import annotations

import time

import psutil

from common import names
from common.jobs import states
from tests.common.jobs.conftest import is_counting
from tests.common.jobs.seen import DATASET, left_of, markers, wait_until, workers_of


class TestCancel:
    """Of a running job; a queued one is in `test_store`."""

    def test_a_running_job_stops_and_leaves_nothing(
        self, create, start_dispatcher, wait_for, wait_until_ended, bucket, jobs, settings
    ):
        job = create("count 600")
        dispatcher = start_dispatcher()
        wait_for(job, is_counting)
        began = time.monotonic()

        asked = jobs.cancel(names.parse(job.name))
        dispatcher.wake()
        ended = wait_until_ended(job)

        assert asked.state == states.CANCELLING
        assert ended.state == states.CANCELLED
        assert not ended.HasField("error")
        assert time.monotonic() - began < 3.0
        assert left_of(job, bucket) == set()
        wait_until(lambda: not markers(jobs))
        wait_until(lambda: not list((settings.work_dir / "jobs").iterdir()))

    def test_a_worker_that_does_not_listen_is_killed(
        self, create, start_dispatcher, wait_for, wait_until_ended, bucket, jobs
    ):
        job = create("deaf")
        start_dispatcher(cancel_grace_s=1.0)
        wait_for(job, lambda job: job.progress.phase == "Counting")
        (worker,) = workers_of(job)

        jobs.cancel(names.parse(job.name))
        ended = wait_until_ended(job)

        assert ended.state == states.CANCELLED
        assert not psutil.pid_exists(worker)
        assert left_of(job, bucket) == set()

    def test_a_cancel_that_comes_too_late(
        self, create, start_dispatcher, wait_for, wait_until_ended, bucket, jobs
    ):
        """The data set was complete, and may be in use: it is no half result."""
        job = create("commit-then-wait")
        start_dispatcher()
        wait_for(job, lambda _: bucket.stat(f"{DATASET}/dataset.json"))

        jobs.cancel(names.parse(job.name))
        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert ended.dataset == DATASET

    def test_a_job_whose_service_died(
        self, create, start_dispatcher, wait_until_ended, bucket, jobs
    ):
        """Nobody is there to stop it, so it ends when its lease has run out."""
        job = create("count 3")
        bucket.put(f"{DATASET}/reserved", job.name.encode())

        def claim(job):
            states.move(job, states.RUNNING)
            job.owner, job.attempt = "a-service-that-died", 1

        jobs.change(job.name, claim)
        jobs.cancel(names.parse(job.name))
        start_dispatcher()

        assert wait_until_ended(job).state == states.CANCELLED
        assert left_of(job, bucket) == set()
