"""Jobs run by a dispatcher in real worker processes."""

from __future__ import annotations

import itertools
import signal
import time

import pytest
from google.rpc import code_pb2, error_details_pb2
from prometheus_client import CollectorRegistry

from common import names
from common.jobs import dispatcher, states
from common.jobs.launchers import LaunchFailed
from common.jobs.launchers.local import LocalLauncher
from tests.common.jobs.conftest import is_counting
from tests.common.jobs.seen import DATASET, detail, left_of, markers, reason, wait_until, workers_of


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
        self, create, start_dispatcher, wait_until_ended, jobs, monkeypatch
    ):
        """It is tried three times."""
        monkeypatch.setattr(dispatcher, "_PAUSE_S", 0.2)
        job = create("count 1")
        start_dispatcher(command=("/nonexistent/python",))

        ended = wait_until_ended(job)

        assert ended.state == states.FAILED
        assert (ended.attempt, ended.lost_worker_count) == (3, 3)
        assert reason(ended) == "WORKER_CRASHED"
        assert "/nonexistent/python" in ended.error.message
        wait_until(lambda: not markers(jobs))

    def test_no_job_fails_because_no_worker_could_be_started_for_a_moment(
        self, create, start_dispatcher, wait_for, wait_until_ended, monkeypatch
    ):
        """E.g. there were too many processes. Nothing is started until that may have passed."""
        monkeypatch.setattr(dispatcher, "_PAUSE_S", 2.0)
        faults = iter(range(2))

        def launch(self, job, devices, launch=LocalLauncher.launch):
            if next(faults, None) is not None:
                raise LaunchFailed("[Errno 11] Resource temporarily unavailable")
            launch(self, job, devices)

        monkeypatch.setattr(LocalLauncher, "launch", launch)
        made = [create("count 1", dataset=f"d{i}") for i in range(3)]
        start_dispatcher()

        wait_for(made[1], lambda job: "a worker could not be started" in job.waiting_reason)
        ended = [wait_until_ended(job) for job in made]

        assert [job.state for job in ended] == [states.SUCCEEDED] * 3
        assert [job.lost_worker_count for job in ended] == [2, 0, 0]

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
