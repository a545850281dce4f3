"""How workers on a cluster end, by themselves or not, with small commands as workers."""

from __future__ import annotations

import time

import pytest

from common.jobs import wording
from common.jobs.launchers import kubernetes
from common.reasons import Reason
from tests.common.jobs.launchers.conftest import ended, names_of, runs
from tests.common.jobs.seen import wait_until

pytestmark = pytest.mark.usefixtures("short_pauses")


class TestStop:
    """Cancelling: by deleting."""

    def test_a_worker_is_asked_first(self, kube, shell, launcher, job):
        shell("trap 'echo asked; exit 0' TERM; while :; do sleep 0.05; done")
        launcher.launch(job, [])
        wait_until(lambda: runs(kube))

        launcher.stop(job)

        wait_until(lambda: not kube.api.jobs())
        assert kube.api.pods() == []
        assert any(log == b"asked\n" for log in kube.api.logs.values())

    def test_one_that_does_not_listen_is_killed(self, kube, shell, launcher, job):
        shell("trap '' TERM; while :; do sleep 0.05; done")
        launcher.launch(job, [])
        wait_until(lambda: runs(kube))

        asked_at = time.monotonic()
        launcher.stop(job, force=True)

        wait_until(lambda: not kube.api.jobs())
        assert time.monotonic() - asked_at < 15.0, "it was given its pod's whole grace, of 20 s"

    def test_one_that_does_not_run_yet_never_does(self, kube, launcher, job):
        kube.nodes.hold = {}
        launcher.launch(job, [])
        wait_until(kube.api.pods)

        launcher.stop(job)
        assert ended(launcher, job).error is not None
        kube.nodes.hold = None

        assert kube.api.pods() == []

    def test_one_that_could_not_be_created_yet_is_not_created_later(self, kube, launcher, job):
        kube.api.fail("POST", 503, times=1000)
        launcher.launch(job, [])

        launcher.stop(job)
        kube.api.mend()

        assert ended(launcher, job).error is not None
        assert kube.api.created == []

    def test_what_has_ended_stays_to_be_read(self, kube, shell, launcher, job):
        shell("exit 0")
        launcher.launch(job, [])
        ended(launcher, job)

        launcher.discard(job, ended=True)

        assert len(names_of(kube)) == 1


class TestFaults:
    """What befalls pods, and how a job's error tells of it."""

    @pytest.mark.parametrize(
        ("what", "reason", "said"),
        [
            ("run_out_of_memory", Reason.OUT_OF_MEMORY, "for want of memory"),
            ("evict", Reason.WORKER_LOST, "Evicted: The node was low on resource"),
            ("preempt", Reason.WORKER_LOST, "PreemptionByScheduler"),
        ],
    )
    def test_a_worker_that_is_killed(self, kube, shell, launcher, job, what, reason, said):
        shell("sleep 60")
        launcher.launch(job, [])
        wait_until(lambda: runs(kube))

        getattr(kube.nodes, what)(*names_of(kube))
        error = wording.explanation(ended(launcher, job))

        assert error.reason == reason
        assert said in error.message

    def test_a_node_that_is_lost(self, kube, shell, launcher, job):
        """Only silence tells; the dispatcher then has the worker killed."""
        shell("sleep 60")
        launcher.launch(job, [])
        wait_until(lambda: runs(kube))

        kube.nodes.lose_node(*names_of(kube))
        wait_until(lambda: "Unknown" in str(launcher._cluster.pods.objects()))
        silent = launcher.poll(job)
        launcher.stop(job, force=True)

        assert silent is None
        assert "lost with its node node-1" in wording.explanation(ended(launcher, job)).message

    def test_a_worker_that_takes_too_long(self, kube, shell, launcher, job):
        shell("sleep 60", activeDeadlineSeconds=0)
        launcher.launch(job, [])

        end = ended(launcher, job)

        assert "activeDeadlineSeconds" in wording.explanation(end).message
        assert end.final

    def test_an_image_that_cannot_be_had_is_given_up_in_the_end(
        self, kube, launcher, job, monkeypatch
    ):
        """It may be mended meanwhile, which the job waits for."""
        state = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
        kube.nodes.hold = {"containerStatuses": [{"name": "worker", "state": state}]}
        launcher.launch(job, [])
        wait_until(lambda: "worker:1 cannot be had" in launcher.waiting(job))
        assert launcher.poll(job) is None

        monkeypatch.setattr(kubernetes, "_MEND_S", 0.0)
        end = ended(launcher, job)
        launcher.discard(job, ended=True)

        assert wording.explanation(end).reason == Reason.WORKER_CRASHED
        assert "ImagePullBackOff: not found" in wording.explanation(end).message
        assert end.final
        wait_until(lambda: not kube.api.jobs())
