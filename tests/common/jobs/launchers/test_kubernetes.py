"""The launcher and the API of a cluster, with small commands as workers."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3

from common.jobs import wording
from common.jobs.launchers import LauncherMisconfigured, LaunchFailed, cluster
from common.jobs.store import Claim
from common.reasons import Reason
from nocode.vision.v1 import job_pb2 as pb
from tests.common.jobs.launchers.conftest import ended, names_of, runs
from tests.common.jobs.seen import wait_until

pytestmark = pytest.mark.usefixtures("short_pauses")

QUOTA = 'jobs.batch "x" is forbidden: exceeded quota: jobs, requested: count/jobs.batch=1'


class TestLaunch:
    """One Job, whatever happens to the request."""

    def test_a_worker_runs_and_its_end_is_seen_with_its_log(self, kube, shell, launcher, job):
        shell("echo to be read; exit 3")

        launcher.launch(job, ["0"])
        end = ended(launcher, job)

        assert (end.code, end.out_of_memory, end.error) == (3, False, None)
        assert end.log_tail == "to be read"
        assert kube.api.created == names_of(kube)

    def test_it_is_told_its_claim(self, kube, shell, launcher, job):
        kube.write_template("/bin/sh", "-c", 'echo "$@"', "sh")

        launcher.launch(job, [])

        expected = "work tasks/classification/jobs/job-1 --owner=pod-7-ab --attempt=1"
        assert ended(launcher, job).log_tail == expected

    def test_launching_again_changes_nothing(self, kube, shell, launcher, launcher_of, job):
        """Neither here nor in another instance that finishes what this one began."""
        shell("sleep 60")

        for one in (launcher, launcher, launcher_of()):
            one.launch(job, [])

        wait_until(lambda: runs(kube))
        assert len(kube.api.created) == 1
        assert launcher.poll(job) is None

    @pytest.mark.parametrize(
        "what",
        [
            pytest.param("cut-before", id="connection cut before it is made"),
            pytest.param("cut-after", id="connection cut after it was made"),
            pytest.param(500, id="500"),
            pytest.param(503, id="503"),
            pytest.param(429, id="429"),
            pytest.param(401, id="a token that has just expired"),
        ],
    )
    def test_a_request_that_went_wrong_is_sent_again(self, kube, shell, launcher, job, what):
        shell("exit 0")
        kube.api.fail("POST", what, times=2)

        launcher.launch(job, [])

        assert ended(launcher, job).code == 0
        assert len(kube.api.created) == 1

    @pytest.mark.parametrize(
        ("status", "message"),
        [
            pytest.param(403, "jobs.batch is forbidden: User cannot create", id="RBAC"),
            pytest.param(422, "spec.template: Invalid value", id="a wrong template"),
            pytest.param(404, "namespaces vision not found", id="no namespace"),
        ],
    )
    def test_a_refusal_is_told(self, kube, launcher, job, status, message):
        kube.api.fail("POST", status, message)

        with pytest.raises(LaunchFailed, match=message):
            launcher.launch(job, [])

        assert kube.api.created == []

    def test_a_full_quota_is_waited_for(self, kube, shell, launcher, job):
        shell("exit 0")
        kube.api.fail("POST", 403, QUOTA, times=1000)
        launcher.launch(job, [])

        said = launcher.waiting(job)
        kube.api.mend()

        assert "exceeded quota" in said
        assert ended(launcher, job).code == 0

    def test_a_name_that_is_somebody_elses_is_told(self, launcher, launcher_of, job):
        """E.g. the bucket was restored from an older backup, and attempts count anew."""
        launcher.launch(job, [])
        job.owner = "pod-8-cd"

        with pytest.raises(LaunchFailed, match="another owner, 'pod-7-ab'"):
            launcher_of().launch(job, [])

    def test_a_template_that_was_spoiled_is_told(self, shell, launcher, job, kube):
        """It is read for each job, so that a new one counts without a restart."""
        Path(kube.environment["NOCODE_KUBERNETES_JOB_TEMPLATE"]).write_text("kind: Pod")

        with pytest.raises(LaunchFailed, match=r"job.yaml: it is a None Pod"):
            launcher.launch(job, [])


class TestWatching:
    """The API's connections end, its versions get too old, and it goes away."""

    @pytest.fixture
    def running(self, kube, shell, launcher, job):
        """A worker that ends when its file is there."""
        file = Path(kube.environment["NOCODE_KUBERNETES_JOB_TEMPLATE"]).with_name("end")
        shell(f"while ! [ -e {file} ]; do sleep 0.05; done; exit 5")
        launcher.launch(job, [])
        wait_until(lambda: runs(kube) and len(launcher._cluster.pods.objects() or ()) == 1)
        return file.touch

    def lists(self, kube):
        return sum(
            request.startswith("GET") and request.endswith("s") for request in kube.api.requests
        )

    def test_a_watch_that_was_cut_goes_on_where_it_was(self, kube, running, launcher, job):
        before = self.lists(kube)
        kube.api.cut_watches()
        running()

        assert ended(launcher, job).code == 5
        assert self.lists(kube) == before

    def test_a_version_that_is_gone_is_listed_anew(self, kube, running, launcher, job):
        before = self.lists(kube)
        kube.api.compact()
        kube.api.cut_watches()
        running()

        assert ended(launcher, job).code == 5
        # Of Jobs and of pods, of which one may have told of the end before the other.
        wait_until(lambda: self.lists(kube) == before + 2)

    def test_an_api_that_was_away_for_long_is_watched_again(self, monkeypatch):
        """However often it was asked in vain."""
        monkeypatch.setattr(cluster, "_RETRY_S", 1e-9)
        monkeypatch.setattr(cluster, "_RETRY_MAX_S", 1e-4)
        asked = itertools.count()

        def away(**_):
            if next(asked) < 1100:
                raise ConnectionError("away")
            return urllib3.HTTPResponse(b'{"items": [], "metadata": {"resourceVersion": "1"}}')

        mirror = cluster.Mirror("things", away, {})

        wait_until(lambda: mirror.objects() == {})
        mirror.close()

    def test_while_the_api_is_away_nothing_is_known(self, kube, running, launcher, job):
        """Not even that a worker has ended."""
        kube.api.close()
        running()
        (name,) = names_of(kube)
        wait_until(lambda: kube.nodes.process(name).poll() is not None)

        # For a while nothing may be known, so a while has to pass.
        polls = [launcher.poll(job) for _ in range(20) if not time.sleep(0.02)]
        launcher.stop(job)
        unknown = launcher.has(pb.Job(name=job.name, owner="x", attempt=9))
        kube.api.start()

        assert polls == [None] * 20
        assert unknown is None
        assert ended(launcher, job).code == 5

    def test_an_api_that_is_away_is_not_asked_all_the_time(self, kube, launcher, job, monkeypatch):
        monkeypatch.setattr(cluster, "_PAUSE_S", 60.0)
        kube.api.fail("POST", 503, times=1000)
        launcher.launch(job, [])

        for _ in range(50):
            launcher.poll(job)

        assert sum(request.startswith("POST") for request in kube.api.requests) == 1

    def test_a_job_that_was_deleted_by_hand_has_ended(self, kube, running, launcher, job):
        (name,) = names_of(kube)
        launcher._cluster.delete(name)

        end = ended(launcher, job)

        assert wording.explanation(end).reason == Reason.WORKER_LOST
        assert f"{name} was deleted" in wording.explanation(end).message
        assert kube.api.pods() == []


class TestOthers:
    """What another instance of the service has launched."""

    def test_it_is_found(self, kube, shell, launcher, launcher_of, job):
        shell("sleep 60")
        launcher.launch(job, [])
        wait_until(lambda: runs(kube))
        other = launcher_of()

        wait_until(lambda: other.has(job) is not None)

        assert other.has(job) is True
        assert other.has(pb.Job(name=job.name, owner="pod-8-cd", attempt=1)) is False
        assert other._known == {}, "what others launched is kept without end"
        assert list(other.workers()) == [Claim.of(job)]
        other.stop(job)
        ended(launcher, job)

    def test_what_is_not_there_is_known_not_to_be(self, launcher, job):
        wait_until(lambda: launcher.has(job) is not None)

        assert launcher.has(job) is False

    def test_workers_of_another_bucket_are_not(self, kube, shell, launcher, launcher_of, job):
        shell("sleep 60")
        launcher_of(s3_bucket="another").launch(job, [])
        wait_until(lambda: runs(kube))

        assert list(launcher.workers()) == []
        assert launcher.has(job) is not True


class TestSettings:
    """What is wrong with them is said at the start."""

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"kubernetes_job_template": None}, "NOCODE_KUBERNETES_JOB_TEMPLATE is not set"),
            ({"kubernetes_job_template": "/nowhere"}, "NOCODE_KUBERNETES_JOB_TEMPLATE: /nowhere"),
        ],
    )
    def test_no_template(self, launcher_of, changes, said):
        changes = {key: value and Path(value) for key, value in changes.items()}
        with pytest.raises(LauncherMisconfigured, match=said):
            launcher_of(**changes)

    def test_no_cluster(self, launcher_of, monkeypatch):
        monkeypatch.setenv("KUBECONFIG", "/nowhere")

        with pytest.raises(LauncherMisconfigured, match="no cluster is found"):
            launcher_of()

    @pytest.mark.slow
    def test_a_service_with_wrong_settings_ends_with_a_line(self, kube, environment):
        """Not with a traceback, and before it answers calls."""
        env = os.environ | environment | kube.environment
        env["NOCODE_KUBERNETES_JOB_TEMPLATE"] = "/nowhere"

        service = subprocess.run(
            [sys.executable, "-m", "services.classification"],
            env=env,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

        assert service.returncode == 2
        assert service.stderr.splitlines()[-1].startswith(
            "NOCODE_KUBERNETES_JOB_TEMPLATE: /nowhere"
        )
