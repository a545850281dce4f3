"""What makes pods of Jobs, and runs them: as real processes of this machine.

And what befalls pods, as the kubelet and the controllers report it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.common.jobs.kube_api import KubeApi, Object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STEP_S = 0.03
_NODE = "node-1"
_NOW = "2026-01-01T00:00:00Z"


class KubeNodes:
    """Controllers and a node, from `start` to `close`.

    Attributes:
        hold: What keeps new pods from being started: None, or their status while they are.
        seen_together: The largest number of processes of one job that ran at the same time.
    """

    def __init__(self, api: KubeApi, environment: Mapping[str, str]) -> None:
        self._api = api
        self._environment = {**os.environ, **environment}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._deadlines: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self.hold: Object | None = None
        self.seen_together = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kube-nodes", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        for process in self._processes.values():
            _signal(process, signal.SIGKILL)
            process.wait()

    def process(self, job: str) -> subprocess.Popen[bytes]:
        """Return the process of a Job's only pod."""
        (pod,) = self._api.pods(job)
        return self._processes[pod["metadata"]["name"]]

    # What befalls pods.

    def run_out_of_memory(self, job: str) -> None:
        """Kill a worker as the kernel does for its limit."""
        (pod,) = self._api.pods(job)
        self._reasons[pod["metadata"]["name"]] = "OOMKilled"
        _signal(self.process(job), signal.SIGKILL)

    def evict(self, job: str) -> None:
        """Kill a worker whose node is short of something."""
        self._end(
            job,
            reason="Evicted",
            message="The node was low on resource: ephemeral-storage.",
        )

    def preempt(self, job: str) -> None:
        """Kill a worker for another pod that counts more."""
        why = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": "preempting to accommodate a higher priority pod",
        }
        self._end(job, conditions=[why])

    def lose_node(self, job: str) -> None:
        """Freeze a worker on a node that is not heard of any more."""
        _signal(self.process(job), signal.SIGSTOP)
        why = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
        self._change_pod(job, lambda pod: pod["status"].update(conditions=[why]))

    def _end(self, job: str, **status: Any) -> None:
        process = self.process(job)
        self._change_pod(job, lambda pod: pod["status"].update(status))
        _signal(process, signal.SIGKILL)

    def _change_pod(self, job: str, change: Callable[[Object], Any]) -> None:
        with self._api.lock:
            (pod,) = self._api.pods(job)
            change(pod)
            self._api.put("pods", pod)

    # The loop.

    def _run(self) -> None:
        while not self._closed.wait(_STEP_S):
            with self._api.lock:
                for job in self._api.jobs():
                    self._see_to_job(job)
                for pod in self._api.pods():
                    self._see_to_pod(pod)
                self._count()

    def _see_to_job(self, job: Object) -> None:
        name = job["metadata"]["name"]
        pods = self._api.pods(name)
        if "deletionTimestamp" in job["metadata"]:
            self._delete_pods(pods)
            if not pods:
                self._api.remove("jobs", name)
        elif job["status"].get("conditions"):
            return
        elif job["spec"].get("suspend"):
            self._delete_pods(pods)
        elif not pods and name not in self._started:
            self._started[name] = time.monotonic()
            for index in range(job["spec"].get("completions", 1)):
                self._make_pod(job, index)
        elif self._is_late(job):
            self._delete_pods(pods)
            if not pods:
                self._finish(job, "Failed", "DeadlineExceeded", "was active for too long")
        elif pods and all(pod["status"]["phase"] == "Succeeded" for pod in pods):
            self._finish(job, "Complete", "CompletionsReached", "")
        elif not pods or any(pod["status"]["phase"] == "Failed" for pod in pods):
            self._finish(job, "Failed", "BackoffLimitExceeded", "Job has reached its backoff limit")

    def _is_late(self, job: Object) -> bool:
        started = self._started[job["metadata"]["name"]]
        return time.monotonic() - started > job["spec"]["activeDeadlineSeconds"]

    def _finish(self, job: Object, kind: str, reason: str, message: str) -> None:
        condition = {"type": kind, "status": "True", "reason": reason, "message": message}
        with self._api.lock:
            if ("jobs", job["metadata"]["name"]) in self._api.objects:
                job["status"]["conditions"] = [condition]
                self._api.put("jobs", job)

    def _delete_pods(self, pods: list[Object]) -> None:
        for pod in pods:
            if "deletionTimestamp" not in pod["metadata"]:
                pod["metadata"]["deletionTimestamp"] = _NOW
                self._api.put("pods", pod)

    def _make_pod(self, job: Object, index: int) -> None:
        template = job["spec"]["template"]
        name = f"{job['metadata']['name']}-{index}"
        labels = {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
        annotations = {"batch.kubernetes.io/job-completion-index": str(index)}
        self._api.put(
            "pods",
            {
                "metadata": {
                    "name": name,
                    "labels": {**template["metadata"]["labels"], **labels},
                    "annotations": {**template["metadata"]["annotations"], **annotations},
                },
                "spec": template["spec"],
                "status": {"phase": "Pending"},
            },
        )

    def _see_to_pod(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        process = self._processes.get(name)
        if process and (code := process.poll()) is not None:
            self._report(pod, code)
        if "deletionTimestamp" in pod["metadata"]:
            self._end_pod(pod, process)
        elif process is None and pod["status"]["phase"] == "Pending":
            if self.hold is not None:
                self._api.put("pods", {**pod, "status": {"phase": "Pending", **self.hold}})
            else:
                self._start_pod(pod)

    def _start_pod(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        worker = pod["spec"]["containers"][0]
        own = {entry["name"]: entry["value"] for entry in worker["env"] if "value" in entry}
        output, ours = os.pipe()
        self._processes[name] = subprocess.Popen(
            [*worker["command"], *worker["args"]],
            stdin=subprocess.DEVNULL,
            stdout=ours,
            stderr=subprocess.STDOUT,
            env=self._environment | own,
            start_new_session=True,
        )
        os.close(ours)
        threading.Thread(target=self._read_log, args=(name, output), daemon=True).start()
        self._set_state(pod, "Running", {"running": {"startedAt": _NOW}})

    def _read_log(self, name: str, output: int) -> None:
        while data := os.read(output, 65536):
            self._api.logs[name] = self._api.logs.get(name, b"") + data
        os.close(output)

    def _report(self, pod: Object, code: int) -> None:
        if pod["status"]["phase"] in {"Succeeded", "Failed"}:
            return
        name = pod["metadata"]["name"]
        ended = {
            "exitCode": 128 - code if code < 0 else code,
            "reason": self._reasons.get(name, "Error" if code else "Completed"),
            "finishedAt": f"2026-01-01T00:00:00.{time.monotonic_ns():020d}Z",
        }
        self._set_state(pod, "Failed" if code else "Succeeded", {"terminated": ended})

    def _set_state(self, pod: Object, phase: str, state: Object) -> None:
        pod["spec"]["nodeName"] = _NODE
        pod["status"]["phase"] = phase
        name = pod["spec"]["containers"][0]["name"]
        pod["status"]["containerStatuses"] = [{"name": name, "state": state}]
        self._api.put("pods", pod)

    def _end_pod(self, pod: Object, process: subprocess.Popen[bytes] | None) -> None:
        name = pod["metadata"]["name"]
        if process is None or process.poll() is not None:
            self._api.remove("pods", name)
            return
        grace_s = pod["spec"].get("terminationGracePeriodSeconds", 30)
        if name not in self._deadlines:
            self._deadlines[name] = time.monotonic() + grace_s
            os.kill(process.pid, signal.SIGTERM)
        is_forced = pod["metadata"].get("deletionGracePeriodSeconds") == 0
        if is_forced or time.monotonic() > self._deadlines[name]:
            _signal(process, signal.SIGKILL)

    def _count(self) -> None:
        """Note how many workers of one job run now."""
        jobs = [
            pod["metadata"]["labels"].get("vision.nocode/job")
            for pod in self._api.pods()
            if (process := self._processes.get(pod["metadata"]["name"])) and process.poll() is None
        ]
        self.seen_together = max([self.seen_together, *(jobs.count(job) for job in jobs)])


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
