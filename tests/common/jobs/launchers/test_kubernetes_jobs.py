"""Jobs on a cluster: dispatchers, real workers, and services that are killed at every step."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from google.rpc import error_details_pb2
from prometheus_client import CollectorRegistry

from common import names
from common.jobs import states
from common.jobs.devices import Slot
from common.jobs.dispatcher import Dispatcher
from common.jobs.metrics import JobMetrics
from common.jobs.store import Jobs
from tests.common.jobs.conftest import is_counting
from tests.common.jobs.launchers.conftest import TASK
from tests.common.jobs.seen import detail, left_of, markers, reason, wait_until

UNSCHEDULABLE = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available",
        }
    ]
}
NO_IMAGE = {
    "containerStatuses": [
        {"name": "worker", "state": {"waiting": {"reason": "InvalidImageName", "message": "no"}}}
    ]
}


@pytest.fixture
def start(bucket, settings, launcher_of):
    """Start a dispatcher whose workers run on the cluster; all are stopped at the end."""
    started: list[Dispatcher] = []

    def start(*, slots: int = 1, cancel_grace_s: float = 1.0) -> Dispatcher:
        dispatcher = Dispatcher(
            Jobs(bucket, queue_size=settings.job_queue_size),
            launcher_of(),
            tasks=[TASK],
            slots=[Slot()] * slots,
            lease_s=settings.job_lease_s,
            attempts=settings.job_attempts,
            metrics=JobMetrics(CollectorRegistry()),
            cancel_grace_s=cancel_grace_s,
        )
        started.append(dispatcher)
        dispatcher.start()
        return dispatcher

    yield start
    for dispatcher in started:
        dispatcher.stop(grace_s=0.0)


@pytest.fixture
def start_service(kube, environment):
    """Start a process that dispatches jobs to the cluster; all are killed at the end."""
    started: list[subprocess.Popen] = []

    def start_service() -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.common.jobs.workload", "dispatch"]
        env = {**os.environ, **environment, **kube.environment}
        started.append(subprocess.Popen(command, env=env))
        return started[-1]

    yield start_service
    for process in started:
        process.kill()
        process.wait()


def kill(service):
    service.kill()
    service.wait()


class TestWaiting:
    """A worker may have to wait for a machine, or for the cluster."""

    def test_a_job_waits_for_a_machine_and_says_so(
        self, kube, create, start, wait_for, wait_until_ended, settings, jobs
    ):
        """For longer than a lease, and it is not lost by that."""
        kube.nodes.hold = UNSCHEDULABLE
        job = create("count 20")
        start()

        wait_for(
            job, lambda job: job.waiting_reason == "Waits for a machine: 0/3 nodes are available"
        )
        time.sleep(settings.job_lease_s + 1.5)  # a lease has to pass: that is tested
        waiting = jobs.get(names.parse(job.name))
        kube.nodes.hold = None
        wait_for(job, lambda job: is_counting(job) and not job.waiting_reason)
        ended = wait_until_ended(job)

        assert waiting.state == states.RUNNING
        assert waiting.waiting_reason
        assert ended.state == states.SUCCEEDED
        assert (ended.attempt, ended.lost_worker_count) == (1, 0)
        assert ended.owner
        assert len(kube.api.created) == 1

    @pytest.mark.slow
    def test_a_job_outlives_an_api_that_is_away(
        self, kube, create, start, wait_for, wait_until_ended, settings
    ):
        """Its worker is heard of through the bucket; another job waits for the cluster."""
        running = create("count 60")
        start(slots=2)
        wait_for(running, is_counting)
        kube.api.close()
        waiting = create("count 1", dataset="e")

        wait_for(waiting, lambda job: job.waiting_reason.startswith("Waits for the cluster: "))
        time.sleep(settings.job_lease_s + 1.0)  # a lease has to pass: that is tested
        kube.api.start()

        for job in (running, waiting):
            ended = wait_until_ended(job)
            assert ended.state == states.SUCCEEDED
            assert (ended.attempt, ended.lost_worker_count) == (1, 0)
        assert len(kube.api.created) == 2


class TestFailure:
    """A worker that ends without a word."""

    def test_one_that_is_killed_for_memory_is_replaced_and_goes_on(
        self, kube, create, start, wait_for, wait_until_ended
    ):
        job = create("count 15")
        start()
        wait_for(job, lambda job: job.progress.step >= 5)

        kube.nodes.run_out_of_memory(*kube.api.created)
        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert (ended.attempt, ended.lost_worker_count) == (2, 1)
        assert int(ended.findings[0].message) >= 5
        assert len(kube.api.created) == 2
        assert kube.nodes.seen_together == 1

    def test_one_that_can_never_start_fails_its_job_at_once(
        self, kube, create, start, wait_until_ended
    ):
        kube.nodes.hold = NO_IMAGE
        job = create("count 1")
        start()

        ended = wait_until_ended(job)

        assert ended.state == states.FAILED
        assert ended.attempt == 1
        assert reason(ended) == "WORKER_CRASHED"
        assert "InvalidImageName" in ended.error.message
        wait_until(lambda: not kube.api.jobs())

    def test_one_that_is_out_of_time_fails_its_job_though_it_gives_it_back(
        self, kube, create, start, wait_for, wait_until_ended, bucket
    ):
        kube.write_template(
            sys.executable, "-m", "tests.common.jobs.workload", activeDeadlineSeconds=3
        )
        job = create("count 600")
        start()

        ended = wait_until_ended(job)

        assert ended.state == states.FAILED
        assert ended.attempt == 1
        assert "activeDeadlineSeconds" in ended.error.message
        assert left_of(job, bucket) == set()

    def test_one_that_fails_by_itself_has_its_log_in_the_details(
        self, kube, create, start, wait_until_ended
    ):
        """As on one machine, though nobody keeps it for the worker."""
        job = create("refuse")
        start()

        log = detail(wait_until_ended(job), error_details_pb2.DebugInfo).detail

        assert "INFO attempt 1 begins" in log
        assert log.rstrip().endswith("InvalidInput: The data set is of no use.")


class TestCancel:
    """Cancelling leaves nothing on the cluster."""

    @pytest.mark.parametrize(
        ("what", "hold"),
        [
            pytest.param("count 600", {}, id="before it has started"),
            pytest.param("count 600", None, id="while it works", marks=pytest.mark.slow),
            pytest.param("deaf", None, id="while it does not listen"),
        ],
    )
    def test_a_job(self, kube, create, start, wait_for, wait_until_ended, jobs, bucket, what, hold):
        kube.nodes.hold = hold
        job = create(what)
        start()
        if hold is None:
            wait_for(job, lambda job: job.progress.phase == "Counting")
        else:
            wait_until(kube.api.pods)

        jobs.cancel(names.parse(job.name))
        ended = wait_until_ended(job)

        assert ended.state == states.CANCELLED
        assert ended.attempt == 1
        wait_until(lambda: not kube.api.jobs() and not kube.api.pods())
        assert left_of(job, bucket) == set()

    def test_a_job_whose_worker_sees_it_first(
        self, kube, create, start, wait_for, wait_until_ended, jobs, monkeypatch
    ):
        """It stops by itself, before its service has asked the cluster for that."""
        monkeypatch.setattr("common.jobs.dispatcher._INTERVAL_S", 60.0)
        job = create("count 600")
        start()
        wait_for(job, is_counting)

        jobs.cancel(names.parse(job.name))

        assert wait_until_ended(job).state == states.CANCELLED
        wait_until(lambda: not kube.api.jobs() and not kube.api.pods())


class TestRestart:
    """A service that stops, and another one that starts."""

    def test_workers_go_on_while_no_service_is_there(
        self, kube, create, start, wait_for, wait_until_ended, jobs
    ):
        job = create("count 25")
        dispatcher = start()
        wait_for(job, is_counting)

        dispatcher.stop(grace_s=5.0)
        step = jobs.get(names.parse(job.name)).progress.step
        wait_for(job, lambda job: job.progress.step > step + 5)
        start()

        ended = wait_until_ended(job)
        assert ended.state == states.SUCCEEDED
        assert (ended.attempt, ended.lost_worker_count) == (1, 0)
        assert len(kube.api.created) == 1

    @pytest.mark.slow
    def test_one_that_ended_meanwhile_is_explained(
        self, kube, create, start, wait_for, wait_until_ended
    ):
        job = create("count 10")
        dispatcher = start()
        wait_for(job, lambda job: job.progress.step >= 2)
        dispatcher.stop(grace_s=0.0)
        kube.nodes.evict(*kube.api.created)
        start()

        wait_for(job, lambda job: job.lost_worker_count == 1)
        assert wait_until_ended(job).state == states.SUCCEEDED
        assert len(kube.api.created) == 2

    @pytest.mark.slow
    def test_a_job_that_is_to_stop_is_stopped_by_another_service(
        self, kube, create, start, wait_for, wait_until_ended, jobs
    ):
        """Its worker is heard of, but does not listen, and its service is gone."""
        job = create("deaf")
        dispatcher = start()
        wait_for(job, lambda job: job.progress.phase == "Counting")
        dispatcher.stop(grace_s=0.0)
        jobs.cancel(names.parse(job.name))
        start()

        assert wait_until_ended(job).state == states.CANCELLED
        wait_until(lambda: not kube.api.jobs() and not kube.api.pods())

    def test_workers_whose_job_is_not_theirs_are_ended(
        self, kube, create, start, launcher, wait_for, jobs
    ):
        """It has ended, it was given to another one, or there is none."""
        kube.write_template("/bin/sh", "-c", "sleep 600")
        other = create("count 600", dataset="e")
        jobs.cancel(names.parse(other.name))
        for name in (other.name, f"tasks/{TASK}/jobs/job-never-made"):
            lost = jobs.find(names.parse(name)) or other
            lost.name, lost.owner, lost.attempt = name, "a-service-that-died", 1
            launcher.launch(lost, [])
        kube.write_template(sys.executable, "-m", "tests.common.jobs.workload")
        job = create("count 600")
        wait_until(lambda: len(kube.api.pods()) == 2)
        start()
        wait_for(job, is_counting)

        wait_until(lambda: len(kube.api.jobs()) == 1)

        (left,) = kube.api.jobs()
        assert left["metadata"]["labels"]["vision.nocode/job"] == names.parse(job.name).id
        assert jobs.get(names.parse(job.name)).attempt == 1


class TestServiceKilled:
    """`kill -9` at every step of launching: one Job, never two, none lost."""

    @pytest.mark.parametrize(
        ("fault", "reaches_the_api", "attempts"),
        [
            pytest.param(
                "hang-before", False, 2, id="before the Job is created", marks=pytest.mark.slow
            ),
            pytest.param("hang-before", True, 1, id="while it is created"),
            pytest.param(
                "hang-after", True, 1, id="before the API has answered", marks=pytest.mark.slow
            ),
        ],
    )
    def test_while_the_api_is_asked(
        self,
        kube,
        create,
        start_service,
        wait_until_ended,
        jobs,
        fault,
        reaches_the_api,
        attempts,
    ):
        """`attempts` is 2 only where nothing had been created for the first one."""
        asked = kube.api.fail("POST", fault)
        job = create("count 3")
        service = start_service()
        assert asked.reached.wait(30)

        kill(service)
        if not reaches_the_api:
            asked.what = "cut-before"
        asked.go_on.set()
        start_service()
        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert ended.attempt == attempts
        assert len(kube.api.created) == 1
        assert kube.nodes.seen_together == 1
        wait_until(lambda: not markers(jobs))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "hold", [pytest.param({}, id="no pod yet"), pytest.param(None, id="it works")]
    )
    def test_after_the_job_was_created(
        self, kube, create, start_service, wait_for, wait_until_ended, settings, hold
    ):
        kube.nodes.hold = hold
        job = create("count 80")
        service = start_service()
        wait_until(kube.api.pods) if hold == {} else wait_for(job, is_counting)

        kill(service)
        time.sleep(settings.job_lease_s + 1.0)  # a lease has to pass: that is tested
        start_service()
        time.sleep(settings.job_lease_s + 2.0)  # a lease has to pass: that is tested
        kube.nodes.hold = None
        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert (ended.attempt, ended.lost_worker_count) == (1, 0)
        assert len(kube.api.created) == 1
        assert kube.nodes.seen_together == 1

    @pytest.mark.slow
    def test_a_request_that_is_late_makes_no_second_worker(
        self, kube, create, start_service, wait_until_ended
    ):
        """The service was cut off while it asked; the job was given to another one meanwhile."""
        asked = kube.api.fail("POST", "hang-before")
        job = create("count 100")
        start_service()
        assert asked.reached.wait(30)
        start_service()
        wait_until(lambda: kube.api.created)
        asked.go_on.set()

        ended = wait_until_ended(job)

        assert ended.state == states.SUCCEEDED
        assert ended.attempt == 2
        assert len(kube.api.created) == 2
        # That of the first attempt saw at once that it is not wanted.
        assert sum(b"step 1\n" in log for log in kube.api.logs.values()) == 1
        assert sum(b"is not wanted any more" in log for log in kube.api.logs.values()) == 1
