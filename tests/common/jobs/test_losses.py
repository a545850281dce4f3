"""Jobs whose worker, or whose service, is lost through no fault of theirs."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from common import names
from common.errors import StorageUnavailable
from common.jobs import active, logfiles, states
from common.jobs.launchers.local import LocalLauncher
from common.reasons import Reason
from tests.common.jobs.conftest import COMMAND, is_counting
from tests.common.jobs.seen import DATASET, left_of, markers, reason, wait_until, workers_of


class TestLoss:
    """A job whose worker is lost, through no fault of its own."""

    def test_a_killed_worker_is_replaced_and_goes_on(
        self, create, start_dispatcher, wait_for, wait_until_ended
    ):
        job = create("count 30")
        start_dispatcher()
        wait_for(job, lambda job: job.progress.step >= 8)
        (worker,) = workers_of(job)

        os.kill(worker, signal.SIGKILL)
        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert (ended.attempt, ended.lost_worker_count) == (2, 1)
        # it did not begin at 0 again
        (finding,) = ended.findings
        assert int(finding.message) >= 8

    def test_a_worker_that_somebody_else_stops_gives_its_job_back(
        self, create, start_dispatcher, wait_for, wait_until_ended
    ):
        """E.g. the machine's shutdown. No worker was lost by that."""
        job = create("count 20")
        start_dispatcher()
        wait_for(job, lambda job: job.progress.step >= 5)

        os.kill(workers_of(job)[0], signal.SIGTERM)
        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert (ended.attempt, ended.lost_worker_count) == (2, 0)
        assert int(ended.findings[0].message) >= 5

    def test_what_a_killed_worker_started_dies_with_it(
        self, create, start_dispatcher, wait_for, bucket
    ):
        job = create("orphan 600")
        start_dispatcher()
        wait_for(job, is_counting)
        child = int(bucket.get(f"{job.name}/child"))
        assert psutil.pid_exists(child)

        os.kill(workers_of(job)[0], signal.SIGKILL)

        wait_until(lambda: not psutil.pid_exists(child))

    def test_a_frozen_worker_is_replaced(
        self, create, start_dispatcher, wait_for, wait_until_ended
    ):
        """It lives, but was not heard of for a lease."""
        job = create("count 15")
        start_dispatcher()
        wait_for(job, lambda job: job.progress.step >= 3)
        (worker,) = workers_of(job)

        os.kill(worker, signal.SIGSTOP)
        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert ended.attempt == 2
        assert not psutil.pid_exists(worker)

    def test_a_worker_that_is_slow_to_start_is_waited_for(
        self, create, start_dispatcher, wait_until_ended, settings
    ):
        """Longer than a lease: its dispatcher sees that it is there."""
        job = create("count 1")
        slow = f'sleep {settings.job_lease_s + 3}; exec "$0" "$@"'
        start_dispatcher(command=("/bin/sh", "-c", slow, *COMMAND))

        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert (ended.attempt, ended.lost_worker_count) == (1, 0)

    def test_a_job_that_waited_for_longer_than_a_lease_is_not_taken_for_silent(
        self, create, start_dispatcher, wait_until_ended, settings
    ):
        """Its worker has as long to be heard of as that of a job that did not wait."""
        first = create(f"count {round(10 * settings.job_lease_s) + 20}")
        second = create("count 1", dataset="e")
        start_dispatcher()

        for job in (first, second):
            ended = wait_until_ended(job)
            assert ended.state == states.SUCCEEDED
            assert (ended.attempt, ended.lost_worker_count) == (1, 0)

    def test_the_job_of_a_service_that_died_is_taken_over(
        self, create, start_dispatcher, wait_until_ended, jobs, settings
    ):
        """Nobody heard of its worker for a lease, so another service starts a new one."""
        job = create("count 3")

        def claim(job):
            states.move(job, states.RUNNING)
            job.owner, job.attempt = "a-service-that-died", 1
            job.heartbeat_time.GetCurrentTime()

        jobs.change(job.name, claim)
        began = time.monotonic()
        dispatcher = start_dispatcher()

        ended = wait_until_ended(job)

        assert time.monotonic() - began > settings.job_lease_s, (
            "taken over before the lease had run out"
        )
        assert ended.state == states.SUCCEEDED
        assert ended.owner == dispatcher.owner
        assert (ended.attempt, ended.lost_worker_count) == (2, 1)

    def test_a_job_lost_too_often_fails(self, create, start_dispatcher, wait_until_ended, jobs):
        job = create("count 3")

        def claim(job):
            states.move(job, states.RUNNING)
            job.owner, job.attempt, job.lost_worker_count = "a-service-that-died", 3, 2

        jobs.change(job.name, claim)
        start_dispatcher()

        ended = wait_until_ended(job)

        assert ended.state == states.FAILED
        assert reason(ended) == "WORKER_LOST"

    def test_a_worker_whose_claim_was_taken_dies(self, create, start_dispatcher, wait_for, jobs):
        """Two workers on one job would write over each other."""
        job = create("count 600")
        start_dispatcher()
        wait_for(job, is_counting)
        (worker,) = workers_of(job)

        jobs.change(job.name, lambda job: setattr(job, "attempt", 2))

        wait_until(lambda: worker not in workers_of(job))

    def test_what_was_made_is_a_success_though_the_worker_died(
        self, create, start_dispatcher, wait_until_ended
    ):
        """The document was written, which is the last thing to do; only the news got lost."""
        job = create("commit-then-die")
        start_dispatcher()

        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert ended.dataset == DATASET
        assert ended.attempt == 1

    def test_a_job_whose_log_was_removed_goes_on(
        self, create, start_dispatcher, wait_for, wait_until_ended, settings
    ):
        """E.g. by whatever cleans /tmp; those that wait are started all the same."""
        job, waiting = create("count 15"), create("count 1", dataset="e")
        start_dispatcher()
        wait_for(job, is_counting)

        logfiles.path(settings, names.parse(job.name)).unlink()

        ended = wait_until_ended(job)
        assert (ended.state, ended.attempt) == (states.SUCCEEDED, 1)
        assert wait_until_ended(waiting).state == states.SUCCEEDED

    def test_a_worker_that_cannot_be_asked_about_does_not_end_all_dispatching(
        self, create, start_dispatcher, wait_for, wait_until_ended, monkeypatch
    ):
        """A bug in a launcher, say; it is logged, and tried again."""
        faults = iter(range(3))

        def poll(self, job, poll=LocalLauncher.poll):
            if next(faults, None) is not None:
                raise RuntimeError
            return poll(self, job)

        job = create("count 10")
        start_dispatcher()
        wait_for(job, is_counting)

        monkeypatch.setattr(LocalLauncher, "poll", poll)

        assert wait_until_ended(job).state == states.SUCCEEDED
        assert wait_until_ended(create("count 1", dataset="e")).state == states.SUCCEEDED
        assert next(faults, None) is None

    def test_a_job_given_back_is_started_again_when_its_worker_is_gone(
        self, create, start_dispatcher, wait_for, wait_until_ended
    ):
        """Here the worker stays for a while; its slot is neither taken twice nor lost."""
        job = create("count 15")
        start_dispatcher(slots=2, command=("/bin/sh", "-c", '"$0" "$@"; sleep 3', *COMMAND))
        wait_for(job, is_counting)
        (worker,) = [pid for pid in workers_of(job) if psutil.Process(pid).name() != "sh"]

        os.kill(worker, signal.SIGTERM)
        ended = wait_until_ended(job)
        both = [create("count 600", dataset=f"d{i}") for i in range(2)]

        assert (ended.state, ended.attempt) == (states.SUCCEEDED, 2)
        for other in both:
            wait_for(other, is_counting)


class TestLeftovers:
    """What a service left that died at a bad moment."""

    def test_a_marker_without_a_job_goes_away(
        self, create, start_dispatcher, wait_until_ended, bucket, monkeypatch
    ):
        """A service died between the two; nothing waits for it."""
        monkeypatch.setattr(active, "_DANGLING_S", 0.5)
        marker = "tasks/classification/index/active/00000000000000000001-job-never-made"
        bucket.put(marker, b"")
        start_dispatcher()

        wait_until_ended(create("count 1"))

        wait_until(lambda: bucket.stat(marker) is None)

    def test_a_marker_that_is_not_the_jobs_own_goes_away(
        self, create, start_dispatcher, wait_until_ended, bucket, jobs, monkeypatch
    ):
        """The request that wrote it was cut short, and then sent again."""

        def cut_short(*_):
            raise StorageUnavailable(Reason.STORAGE_UNAVAILABLE, "The storage is away.")

        monkeypatch.setattr(jobs._resources, "create", cut_short)
        with pytest.raises(StorageUnavailable):
            create("count 1", request_id="a")
        monkeypatch.undo()
        job = create("count 1", request_id="a")
        assert markers(jobs) == [job.name, job.name]

        start_dispatcher()

        assert wait_until_ended(job).state == states.SUCCEEDED
        wait_until(lambda: not markers(jobs))

    def test_what_a_service_left_half_cancelled_is_removed(
        self, create, start_dispatcher, bucket, jobs
    ):
        """It died after the job was CANCELLED, before what the job had left was deleted."""
        job = create("count 1")
        bucket.put(f"{DATASET}/reserved", job.name.encode())
        bucket.put(f"{DATASET}/shards/00000.tar", b"half")
        jobs.change(job.name, lambda job: states.move(job, states.CANCELLED))

        start_dispatcher()

        wait_until(lambda: not markers(jobs))
        assert left_of(job, bucket) == set()

    def test_scratch_folders_of_jobs_that_have_ended_are_removed(
        self, create, start_dispatcher, wait_for, jobs, settings
    ):
        """Their service died, and they ended elsewhere; other folders may be in use."""
        ended, other, running = create("count 1"), "of-another-bucket", create("count 600")
        jobs.cancel(names.parse(ended.name))
        folders = [
            settings.work_dir / "jobs" / name.rpartition("/")[2]
            for name in (ended.name, other, running.name)
        ]
        for folder in folders:
            folder.mkdir(parents=True)
            (folder / "archive.zip").touch()

        start_dispatcher()
        wait_for(running, is_counting)

        wait_until(lambda: not folders[0].exists())
        assert [(folder / "archive.zip").exists() for folder in folders] == [False, True, True]
