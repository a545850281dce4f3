"""Jobs run by a dispatcher in real worker processes, whatever befalls them."""

from __future__ import annotations

import itertools
import os
import signal
import time

import psutil
import pytest
from google.rpc import code_pb2, error_details_pb2
from prometheus_client import CollectorRegistry

from common import names
from common.jobs import active, states
from tests.common.jobs.conftest import COMMAND, is_counting

DATASET = "tasks/classification/datasets/d"


def detail(job, kind):
    """The detail of a kind that the job's error has."""
    message = kind()
    assert any(packed.Unpack(message) for packed in job.error.details), job.error
    return message


def reason(job):
    return detail(job, error_details_pb2.ErrorInfo).reason


def workers_of(job):
    """Ids of the processes that work on a job."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if job.name in (process.info["cmdline"] or []) and process.status() != psutil.STATUS_ZOMBIE
    ]


def left_of(job, bucket):
    """Everything in the bucket but the job itself and the index."""
    keys = {stat.key for stat in bucket.list("tasks/classification/")}
    return {key for key in keys if "/index/" not in key} - {f"{job.name}/job.json"}


def markers(jobs):
    return [marker.job for marker in jobs.active("classification")]


def wait_until(condition, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestSuccess:
    """A job that nothing befalls."""

    def test_it_runs_to_its_end(self, create, start_dispatcher, wait_until_ended, bucket, jobs):
        job = create("count 8")
        start_dispatcher()

        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED, ended
        assert ended.dataset == DATASET
        assert (ended.attempt, ended.lost_worker_count) == (1, 0)
        assert ended.create_time.ToNanoseconds() <= ended.start_time.ToNanoseconds()
        assert ended.start_time.ToNanoseconds() < ended.end_time.ToNanoseconds()
        assert (ended.progress.phase, ended.progress.step) == ("Counting", 8)
        assert ended.progress.metrics["loss"] == 1 / 8
        assert [finding.id for finding in ended.findings] == ["BEGAN_AT"]
        assert not ended.HasField("error")
        wait_until(lambda: not markers(jobs))
        assert not any("checkpoint" in key for key in left_of(job, bucket))

    def test_its_progress_is_seen_while_it_runs(
        self, create, start_dispatcher, wait_for, wait_until_ended
    ):
        """And is not written more often than twice a second."""
        job = create("count 20")
        start_dispatcher()

        running = wait_for(job, is_counting)
        heard = set()

        def note(now):
            heard.add(now.heartbeat_time.ToNanoseconds())
            return states.ended(now.state)

        wait_for(job, note)

        assert 0 < running.progress.step < 20
        assert running.progress.eta.ToMilliseconds() > 0
        assert running.owner
        # 2 s of counting, and some more to begin and to end
        assert 3 <= len(heard) <= 8

    def test_jobs_run_first_in_first_out(self, create, start_dispatcher, wait_until_ended):
        made = [create("count 1", dataset=f"d{i}") for i in range(3)]
        start_dispatcher()

        ended = [wait_until_ended(job) for job in made]

        for before, after in itertools.pairwise(ended):
            assert before.end_time.ToNanoseconds() <= after.start_time.ToNanoseconds()

    def test_those_that_wait_are_told_for_what(self, create, start_dispatcher, wait_for, jobs):
        made = [create("count 600", dataset=f"d{i}") for i in range(3)]
        start_dispatcher()

        wait_for(made[0], is_counting)
        wait_for(made[1], lambda job: job.waiting_reason == "Is next; 1 job runs on the CPU.")
        wait_for(
            made[2],
            lambda job: job.waiting_reason == "Waits for 1 job ahead of it; 1 job runs on the CPU.",
        )
        versions = [jobs.get_if_changed(job.name, None)[1] for job in made[1:]]
        time.sleep(2.5)

        # what has not changed is not written again
        assert versions == [jobs.get_if_changed(job.name, None)[1] for job in made[1:]]
        assert not jobs.get(names.parse(made[0].name)).waiting_reason

    def test_two_slots_run_two_jobs(self, create, start_dispatcher, wait_for):
        made = [create("count 600", dataset=f"d{i}") for i in range(3)]
        start_dispatcher(slots=2)

        wait_for(made[0], is_counting)
        wait_for(made[1], is_counting)
        wait_for(made[2], lambda job: job.waiting_reason == "Is next; 2 jobs run on the CPU.")

    def test_two_dispatchers_run_each_job_once(self, create, start_dispatcher, wait_until_ended):
        """Replicas of a service share the queue."""
        made = [create("count 2", dataset=f"d{i}") for i in range(3)]
        both = {start_dispatcher().owner, start_dispatcher().owner}

        ended = [wait_until_ended(job) for job in made]

        assert [job.state for job in ended] == [states.SUCCEEDED] * 3
        assert [job.attempt for job in ended] == [1] * 3
        assert {job.owner for job in ended} <= both

    def test_it_is_counted(self, create, start_dispatcher, wait_until_ended):
        registry = CollectorRegistry()
        first, second = create("count 5"), create("count 600", dataset="e")
        start_dispatcher(registry=registry)

        def value(name, **labels):
            return registry.get_sample_value(name, {"kind": "import", **labels})

        wait_until(lambda: value("nocode_vision_jobs", state="running") == 1)
        wait_until(lambda: value("nocode_vision_jobs", state="queued") == 1)
        wait_until_ended(first)
        wait_until(lambda: value("nocode_vision_job_run_seconds_count", state="succeeded") == 1)
        wait_until(lambda: value("nocode_vision_job_wait_seconds_count") == 2)
        assert second.name != first.name


class TestFailure:
    """A job whose work goes wrong."""

    @pytest.mark.parametrize(
        ("what", "expected", "code", "said"),
        [
            pytest.param(
                "refuse",
                "DATASET_INVALID",
                code_pb2.INVALID_ARGUMENT,
                "of no use",
                id="an error that has a name",
            ),
            pytest.param(
                "bug", "WORKER_CRASHED", code_pb2.INTERNAL, "ZeroDivisionError", id="a bug"
            ),
            pytest.param(
                "hoard",
                "OUT_OF_MEMORY",
                code_pb2.RESOURCE_EXHAUSTED,
                "batch_size",
                id="too much memory",
            ),
        ],
    )
    def test_what_would_happen_again_fails_at_once(
        self, create, start_dispatcher, wait_until_ended, bucket, jobs, what, expected, code, said
    ):
        job = create(what)
        start_dispatcher()

        ended = wait_until_ended(job)

        assert ended.state == states.FAILED
        assert (ended.attempt, ended.lost_worker_count) == (1, 0)
        assert ended.error.code == code
        assert reason(ended) == expected
        assert said in ended.error.message
        assert "Traceback" in detail(ended, error_details_pb2.DebugInfo).detail
        assert ended.WhichOneof("result") is None
        # what it left was gone before its end could be seen
        assert left_of(job, bucket) == set()
        wait_until(lambda: not markers(jobs))

    def test_the_details_have_the_last_lines_of_the_log(
        self, create, start_dispatcher, wait_until_ended
    ):
        job = create("refuse")
        start_dispatcher()

        log = detail(wait_until_ended(job), error_details_pb2.DebugInfo).detail

        assert "about to refuse" in log
        assert "INFO attempt 1 begins" in log
        assert log.rstrip().endswith("InvalidInput: The data set is of no use.")

    @pytest.mark.parametrize(
        ("what", "expected", "said"),
        [
            pytest.param(
                "segfault", "WORKER_CRASHED", "killed by SIGSEGV", id="segmentation fault"
            ),
            pytest.param("exit 0", "WORKER_CRASHED", "exit status 0", id="exit without an error"),
        ],
    )
    def test_a_worker_that_dies_again_and_again(
        self, create, start_dispatcher, wait_until_ended, bucket, what, expected, said
    ):
        """Its job is tried three times."""
        job = create(what)
        start_dispatcher()

        ended = wait_until_ended(job)

        assert ended.state == states.FAILED
        assert (ended.attempt, ended.lost_worker_count) == (3, 3)
        assert ended.error.code == code_pb2.INTERNAL
        assert reason(ended) == expected
        assert said in ended.error.message
        assert detail(ended, error_details_pb2.DebugInfo).detail.count("attempt 1 begins") == 1
        assert left_of(job, bucket) == set()

    def test_a_kill_is_for_want_of_memory_if_the_kernel_says_so(
        self, create, start_dispatcher, wait_until_ended, monkeypatch
    ):
        """The kernel counts such kills; here its file says that one was more."""
        kills = iter(range(1000))
        monkeypatch.setattr("common.jobs.launchers.local._oom_kills", lambda: next(kills))
        job = create(f"signal {signal.SIGKILL.value}")
        start_dispatcher()

        ended = wait_until_ended(job)

        assert reason(ended) == "OUT_OF_MEMORY"
        assert ended.error.code == code_pb2.RESOURCE_EXHAUSTED
        assert "SIGKILL for want of memory" in ended.error.message

    def test_a_worker_that_cannot_be_started(
        self, create, start_dispatcher, wait_until_ended, jobs
    ):
        job = create("count 1")
        start_dispatcher(command=("/nonexistent/python",))

        ended = wait_until_ended(job)

        assert ended.state == states.FAILED
        assert ended.attempt == 1
        assert reason(ended) == "WORKER_CRASHED"
        assert "/nonexistent/python" in ended.error.message
        wait_until(lambda: not markers(jobs))

    def test_a_command_that_fails_at_once(self, create, start_dispatcher, wait_until_ended):
        """E.g. because its settings are wrong: the log's last lines say so."""
        job = create("count 1")
        start_dispatcher(command=("/bin/sh", "-c", "echo 'the settings are wrong' >&2; exit 2"))

        ended = wait_until_ended(job)

        assert reason(ended) == "WORKER_CRASHED"
        assert "exit status 2" in ended.error.message
        assert "the settings are wrong" in detail(ended, error_details_pb2.DebugInfo).detail

    def test_a_storage_that_was_away_for_too_long_is_no_fault_of_the_job(
        self, create, start_dispatcher, wait_until_ended
    ):
        """A runner that got `StorageUnavailable` is begun again once the storage is back."""
        job = create("storage")
        start_dispatcher()

        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert (ended.attempt, ended.lost_worker_count) == (2, 1)


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


class TestStop:
    """A service that stops gives its jobs back."""

    def test_jobs_go_on_where_they_were(
        self, create, start_dispatcher, wait_for, wait_until_ended, jobs
    ):
        running, queued = create("count 25"), create("count 1", dataset="e")
        dispatcher = start_dispatcher()
        wait_for(running, lambda job: job.progress.step >= 5)
        wait_for(queued, lambda job: job.waiting_reason == "Is next; 1 job runs on the CPU.")

        dispatcher.stop(grace_s=5.0)

        given_back = jobs.get(names.parse(running.name))
        assert given_back.state == states.QUEUED
        assert given_back.waiting_reason
        assert (given_back.owner, given_back.attempt) == ("", 1)
        assert workers_of(running) == []
        assert jobs.get(names.parse(queued.name)).state == states.QUEUED

        start_dispatcher()
        ended = wait_until_ended(running)
        assert ended.state == states.SUCCEEDED
        assert (ended.attempt, ended.lost_worker_count) == (2, 0)
        assert int(ended.findings[0].message) >= 5
        # it has kept its place before the other
        after = wait_until_ended(queued)
        assert after.start_time.ToNanoseconds() >= ended.end_time.ToNanoseconds()

    def test_a_worker_that_does_not_listen_loses_its_job_all_the_same(
        self, create, start_dispatcher, wait_for, jobs
    ):
        job = create("deaf")
        dispatcher = start_dispatcher()
        wait_for(job, lambda job: job.progress.phase == "Counting")

        dispatcher.stop(grace_s=0.5)

        assert jobs.get(names.parse(job.name)).state == states.QUEUED
        assert workers_of(job) == []
