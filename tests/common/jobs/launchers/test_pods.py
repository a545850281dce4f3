"""What a Job and its pods say, as the API of a cluster shows them: one case for each reason."""

from __future__ import annotations

import pytest

from common.jobs import wording
from common.jobs.launchers import pods
from common.reasons import Reason


def a_job(*, conditions=(), **spec):
    labels = {"kueue.x-k8s.io/queue-name": "training"}
    return {
        "metadata": {"name": "job-1-abc-1", "labels": labels},
        "spec": {"activeDeadlineSeconds": 60, **spec},
        "status": {"conditions": list(conditions)},
    }


def a_pod(phase="Pending", state=None, conditions=(), index=0, **status):
    statuses = [{"name": "beside", "state": {"running": {}}}]
    if state:
        statuses.append({"name": "worker", "state": state})
    return {
        "metadata": {
            "name": f"pod-{index}",
            "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "worker", "image": "registry/worker:1"}, {"name": "beside"}],
        },
        "status": {
            "phase": phase,
            "containerStatuses": statuses,
            "conditions": list(conditions),
            **status,
        },
    }


def terminated(code, reason="Error", at="2026-01-01T00:00:00Z"):
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at}}


def condition(kind, status="True", reason="", message=""):
    return {"type": kind, "status": status, "reason": reason, "message": message}


RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
FAILED = condition("Failed", reason="BackoffLimitExceeded", message="reached the limit")
COMPLETE = condition("Complete")
UNSCHEDULABLE = condition(
    "PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient gpu."
)
PREEMPTED = condition("DisruptionTarget", reason="PreemptionByScheduler", message="for another pod")
TAINTED = condition("DisruptionTarget", reason="DeletionByTaintManager", message="node is away")
NODE_AWAY = condition("Ready", "Unknown", "NodeStatusUnknown")


def pulling(reason, message="no such image"):
    return {"waiting": {"reason": reason, "message": message}}


class TestWaiting:
    """What is shown of a job whose worker does not run yet."""

    @pytest.mark.parametrize(
        ("job", "its_pods", "said"),
        [
            pytest.param(a_job(suspend=True), [], "queue training", id="Kueue"),
            pytest.param(a_job(), [], "kubectl describe job job-1-abc-1", id="no pod"),
            pytest.param(
                a_job(),
                [a_pod(conditions=[UNSCHEDULABLE])],
                "Waits for a machine: 0/3 nodes are available: 3 Insufficient gpu",
                id="Unschedulable",
            ),
            pytest.param(
                a_job(),
                [a_pod(state=pulling("ImagePullBackOff"))],
                "image registry/worker:1 cannot be had (ImagePullBackOff: no such image)",
                id="ImagePullBackOff",
            ),
            pytest.param(
                a_job(), [a_pod(state=pulling("ErrImagePull"))], "ErrImagePull", id="ErrImagePull"
            ),
            pytest.param(
                a_job(),
                [a_pod(state=pulling("CreateContainerConfigError", 'secret "s3" not found'))],
                'secret "s3" not found',
                id="CreateContainerConfigError",
            ),
            pytest.param(
                a_job(),
                [a_pod(state={"waiting": {"reason": "ContainerCreating"}})],
                "Is being started on node-1.",
                id="ContainerCreating",
            ),
            pytest.param(
                a_job(),
                [a_pod("Running", RUNNING), a_pod(conditions=[UNSCHEDULABLE], index=1)],
                "Waits for a machine",
                id="one of two machines",
            ),
        ],
    )
    def test_it_is_said_what_for(self, job, its_pods, said):
        assert said in pods.waiting(job, its_pods)
        assert pods.ended(job, its_pods) is None

    def test_a_worker_that_runs_waits_for_nothing(self):
        assert pods.waiting(a_job(), [a_pod("Running", RUNNING)]) == ""
        assert pods.ended(a_job(), [a_pod("Running", RUNNING)]) is None

    @pytest.mark.parametrize(
        ("reason", "is_stuck", "is_hopeless"),
        [
            ("ContainerCreating", False, False),
            ("ImagePullBackOff", True, False),
            ("CreateContainerConfigError", True, False),
            ("InvalidImageName", True, True),
        ],
    )
    def test_what_a_person_has_to_mend_is_told_from_what_passes(
        self, reason, is_stuck, is_hopeless
    ):
        its_pods = [a_pod(state=pulling(reason))]

        assert (pods.stuck(its_pods) is not None) == is_stuck
        assert pods.is_hopeless(its_pods) == is_hopeless


class TestEnded:
    """What a job's error says of a worker that did not say it itself."""

    @pytest.mark.parametrize(
        ("job", "its_pods", "reason", "said"),
        [
            pytest.param(
                a_job(),
                [a_pod("Failed", terminated(137, "OOMKilled"))],
                Reason.OUT_OF_MEMORY,
                "killed by SIGKILL for want of memory",
                id="OOMKilled",
            ),
            pytest.param(
                a_job(),
                [a_pod("Failed", terminated(139))],
                Reason.WORKER_CRASHED,
                "killed by SIGSEGV",
                id="a signal",
            ),
            pytest.param(
                a_job(),
                [a_pod("Failed", terminated(2))],
                Reason.WORKER_CRASHED,
                "exit status 2",
                id="an exit status",
            ),
            pytest.param(
                a_job(),
                [a_pod("Running", terminated(2))],
                Reason.WORKER_CRASHED,
                "exit status 2",
                id="while what is beside it goes on",
            ),
            pytest.param(
                a_job(),
                [
                    a_pod(
                        "Failed", reason="Evicted", message="The node was low on resource: memory."
                    )
                ],
                Reason.WORKER_LOST,
                "removed from node-1 (Evicted: The node was low on resource: memory)",
                id="Evicted",
            ),
            pytest.param(
                a_job(),
                [a_pod("Failed", terminated(137), [PREEMPTED])],
                Reason.WORKER_LOST,
                "PreemptionByScheduler: for another pod",
                id="preempted",
            ),
            pytest.param(
                a_job(conditions=[FAILED]),
                [a_pod("Running", RUNNING, [TAINTED])],
                Reason.WORKER_LOST,
                "DeletionByTaintManager",
                id="its node was given up",
            ),
            pytest.param(
                a_job(conditions=[condition("Failed", reason="DeadlineExceeded")]),
                [],
                Reason.WORKER_LOST,
                "after 60 s",
                id="DeadlineExceeded",
            ),
            pytest.param(
                a_job(conditions=[FAILED]),
                [],
                Reason.WORKER_LOST,
                "its Job has ended: reached the limit",
                id="nothing is left",
            ),
            pytest.param(
                a_job(),
                [a_pod("Failed", message="Pod was rejected: no GPU")],
                Reason.WORKER_LOST,
                "failed before it ran: Pod was rejected: no GPU",
                id="rejected by its node",
            ),
        ],
    )
    def test_it_is_said_why(self, job, its_pods, reason, said):
        end, _ = pods.ended(job, its_pods)
        error = wording.explanation(end)

        assert error.reason == reason
        assert said in error.message

    @pytest.mark.parametrize(
        ("its_pods", "said"),
        [
            pytest.param([], "job-1-abc-1 was deleted", id="deleted by hand"),
            pytest.param(
                [a_pod("Running", RUNNING, [NODE_AWAY])], "with its node node-1", id="lost"
            ),
            pytest.param([a_pod("Unknown", RUNNING)], "with its node node-1", id="phase Unknown"),
            pytest.param([a_pod("Running", RUNNING, [PREEMPTED])], "Preemption", id="preempted"),
        ],
    )
    def test_of_one_that_is_gone_what_was_seen_last_counts(self, its_pods, said):
        error = wording.explanation(pods.gone("job-1-abc-1", its_pods))

        assert error.reason == Reason.WORKER_LOST
        assert said in error.message

    def test_of_a_pod_that_is_deleted_its_job_tells_why(self):
        """It ran for too long, say; or Kueue has suspended the Job, and lets it go on later."""
        deleted = a_pod("Failed", terminated(143))
        deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        late = condition("FailureTarget", reason="DeadlineExceeded")

        assert pods.ended(a_job(suspend=True), [deleted]) is None
        assert "after 60 s" in pods.ended(a_job(conditions=[late]), [deleted])[0].error.message
        assert pods.ended(a_job(conditions=[FAILED]), [deleted])[0].code == -15

    def test_one_that_did_its_work_ends_with_0(self):
        end, pod = pods.ended(a_job(conditions=[COMPLETE]), [a_pod("Succeeded", terminated(0))])

        assert (end.code, end.error, end.final) == (0, None, False)
        assert pod["metadata"]["name"] == "pod-0"

    def test_only_what_would_happen_again_is_final(self):
        late = a_job(conditions=[condition("Failed", reason="DeadlineExceeded")])

        assert pods.ended(late, [])[0].final
        assert not pods.ended(a_job(), [a_pod("Failed", reason="Evicted")])[0].final

    def test_of_several_machines_the_first_to_fail_is_the_cause(self):
        """The others end because of it."""
        first = a_pod("Failed", terminated(3, at="2026-01-01T00:00:01Z"), index=1)
        then = a_pod("Failed", terminated(1, at="2026-01-01T00:00:02Z"), index=0)

        end, pod = pods.ended(a_job(), [then, first])

        assert end.code == 3
        assert pod["metadata"]["name"] == "pod-1"

    def test_of_several_machines_the_first_one_has_the_last_word(self):
        """The others may end their part before it has saved the model."""
        other = a_pod("Succeeded", terminated(0), index=1)

        assert pods.ended(a_job(), [a_pod("Running", RUNNING), other]) is None
        assert pods.ended(a_job(), [a_pod("Succeeded", terminated(0)), a_pod(index=1)])
