"""What a Kubernetes Job and its pods say of the worker: what it waits for, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common import names
from common.errors import Internal
from common.jobs.launchers import Exit
from common.jobs.launchers.manifests import NODE_RANK, QUEUE
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.errors import DomainError
    from common.jobs.launchers.manifests import Object

# Why a container does not start that will not start by itself, either: a person has to act.
_NEVER = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "ImageInspectError"}) | _NEVER
_CONTAINER = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_MESSAGE_LENGTH = 300
# A shell's way to say that a signal ended a process, which the kubelet has taken over.
_SIGNALLED = 128


def is_finished(job: Object) -> bool:
    """Whether the cluster is done with a Job."""
    return bool(_condition(job, "Complete") or _condition(job, "Failed"))


def is_over(pod: Object) -> bool:
    """Whether nothing of a pod runs any more."""
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def waiting(job: Object, pods: Sequence[Object]) -> str:
    """Return what a worker waits for that does not run yet, for a person; nothing if it does."""
    if job["spec"].get("suspend"):
        queue = (job["metadata"].get("labels") or {}).get(QUEUE, "")
        return f"Waits in the cluster's queue {queue}." if queue else "Its Job is suspended."
    if not pods:
        name = job["metadata"]["name"]
        return f"Waits for the cluster to make its pod; `kubectl describe job {name}` says more."
    return next((reason for pod in pods if (reason := _pod_waits_for(pod))), "")


def stuck(pods: Sequence[Object]) -> DomainError | None:
    """Return why a pod does not start that likely never will, though the cluster still tries."""
    for pod in pods:
        held = _container(pod).get("state", {}).get("waiting", {})
        if held.get("reason") in _IMAGE | _CONTAINER:
            return _unstartable(pod, held)
    return None


def is_hopeless(pods: Sequence[Object]) -> bool:
    """Whether the cluster does not even try to start a pod."""
    held = (_container(pod).get("state", {}).get("waiting", {}) for pod in pods)
    return any(state.get("reason") in _NEVER for state in held)


def ended(job: Object, pods: Sequence[Object]) -> tuple[Exit, Object | None] | None:
    """Return how a worker ended, and the pod whose log tells of it; None while it runs."""
    # The cluster says first that it will fail a Job, then ends its pods.
    failed = _condition(job, "Failed") or _condition(job, "FailureTarget")
    if failed and failed.get("reason") == "DeadlineExceeded":
        return Exit(1, out_of_memory=False, log_tail="", error=_too_long(job), final=True), None
    # Of a pod that is being deleted, its Job will tell why, or it goes on with another one.
    over = [
        pod
        for pod in pods
        if _is_worker_over(pod) and (is_finished(job) or "deletionTimestamp" not in pod["metadata"])
    ]
    over.sort(key=_ended_at)
    # Of several machines the first that failed is the cause; all is done when the first one is.
    for pod in over:
        if (end := _end_of(pod)).code:
            return end, pod
    for pod in over:
        if len(pods) == 1 or _rank(pod) == "0":
            return _end_of(pod), pod
    if is_finished(job):
        if known := _lost_with(pods):
            return known, None
        message = _cut((failed or {}).get("message", "")) or "it says no more"
        return _lost(f"The worker's pod is gone, and its Job has ended: {message}."), None
    return None


def gone(name: str, pods: Sequence[Object]) -> Exit:
    """Return how a worker ended whose Job was deleted, from what was last seen of its pods."""
    return _lost_with(pods) or _lost(f"The worker's Job {name} was deleted from the cluster.")


def _lost_with(pods: Sequence[Object]) -> Exit | None:
    """Return how a worker ended that did not end by itself, if what was last seen tells."""
    for pod in pods:
        node = _node_of(pod)
        ready = _condition(pod, "Ready", "Unknown") or {}
        is_unknown = pod.get("status", {}).get("phase") == "Unknown"
        if is_unknown or ready or pod.get("status", {}).get("reason") == "NodeLost":
            return _lost(f"The worker is lost with its node {node}, which was not heard of.")
        if removed := _condition(pod, "DisruptionTarget"):
            return _lost(_removed(pod, removed))
    return None


def _pod_waits_for(pod: Object) -> str:
    state = _container(pod).get("state", {})
    if "running" in state or _is_worker_over(pod):
        return ""
    held = state.get("waiting", {})
    if held.get("reason") in _IMAGE | _CONTAINER:
        return f"Waits to be started: {_unstartable(pod, held).message}"
    unscheduled = _condition(pod, "PodScheduled", "False")
    if unscheduled:
        reason = unscheduled.get("reason", "")
        if reason == "SchedulingGated":
            return "Waits for the cluster to let its pod be scheduled."
        return f"Waits for a machine: {_cut(unscheduled.get('message', '')) or reason}"
    node = _node_of(pod)
    return f"Is being started on {node}." if node else "Waits for a machine."


def _is_worker_over(pod: Object) -> bool:
    # Not the pod's phase alone: what an operator puts beside the worker may never end.
    return is_over(pod) or "terminated" in _container(pod).get("state", {})


def _end_of(pod: Object) -> Exit:
    """Return how the worker in a pod ended."""
    status = pod.get("status", {})
    last = _container(pod).get("state", {}).get("terminated")
    code = int(last.get("exitCode", 1)) if last else int(status.get("phase") != "Succeeded")
    if last and last.get("reason") == "OOMKilled":
        return Exit(_code(code), out_of_memory=True, log_tail="")
    if code and (removed := _condition(pod, "DisruptionTarget") or _removal(status)):
        return _lost(_removed(pod, removed), code=_code(code))
    if last is None and code:
        message = _cut(status.get("message", "")) or "the cluster says no more"
        return _lost(f"The worker's pod failed before it ran: {message}.")
    return Exit(_code(code), out_of_memory=False, log_tail="")


def _removal(status: Object) -> Object | None:
    """Return why the node gave up a pod, e.g. `Evicted`; None if it did not."""
    return status if status.get("reason") else None


def _removed(pod: Object, why: Object) -> str:
    said = ": ".join(filter(None, (why.get("reason", ""), _cut(why.get("message", "")))))
    return f"The worker was removed from {_node_of(pod) or 'its machine'} ({said})."


def _lost(message: str, code: int = 1) -> Exit:
    error = Internal(Reason.WORKER_LOST, message)
    return Exit(code, out_of_memory=False, log_tail="", error=error)


def _too_long(job: Object) -> DomainError:
    seconds = job["spec"].get("activeDeadlineSeconds")
    return Internal(
        Reason.WORKER_LOST,
        f"The worker was stopped after {seconds} s, its time to wait and to run. Ask the operator "
        "for a longer activeDeadlineSeconds in the template of the service's Jobs, or train for "
        "fewer epochs.",
        seconds=seconds,
    )


def _unstartable(pod: Object, held: Object) -> DomainError:
    worker = pod["spec"]["containers"][0]
    said = _cut(held.get("message", "")) or "the cluster says no more"
    if held["reason"] in _IMAGE:
        what = f"the image {worker.get('image')} cannot be had"
        remedy = "Ask the operator to mend the image in the template of the service's Jobs."
    else:
        what = "its container cannot be made"
        remedy = "Ask the operator to mend the template of the service's Jobs."
    return Internal(
        Reason.WORKER_CRASHED,
        f"The worker does not start, as {what} ({held['reason']}: {said}). {remedy}",
        cluster_reason=held["reason"],
    )


def _container(pod: Object) -> Object:
    """Return the status of the worker's container; empty while there is none."""
    name = pod["spec"]["containers"][0]["name"]
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return next((status for status in statuses if status["name"] == name), {})


def _condition(thing: Object, kind: str, status: str = "True") -> Any:
    """Return a condition of an object that has this status; None if there is none."""
    for condition in thing.get("status", {}).get("conditions") or ():
        if condition["type"] == kind and condition["status"] == status:
            return condition
    return None


def _ended_at(pod: Object) -> str:
    last = _container(pod).get("state", {}).get("terminated") or {}
    # RFC 3339 in UTC, which sorts as text. One that never ran ended last.
    return last.get("finishedAt") or "~"


def _rank(pod: Object) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(NODE_RANK, ""))


def _node_of(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") or "")


def _code(code: int) -> int:
    return _SIGNALLED - code if code > _SIGNALLED else code


def _cut(message: str) -> str:
    return names.shorten(message.strip().rstrip("."), _MESSAGE_LENGTH)
