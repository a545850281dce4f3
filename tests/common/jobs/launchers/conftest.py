"""A cluster: its API, what runs pods, and a launcher that knows it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from common.jobs.launchers import cluster, kubernetes
from common.jobs.launchers.kubernetes import KubernetesLauncher
from nocode.vision.v1 import job_pb2 as pb
from tests.common.jobs.kube_api import KubeApi
from tests.common.jobs.kube_nodes import KubeNodes

TASK = "classification"


@dataclass
class Kube:
    """A cluster.

    Attributes:
        api: Its API.
        nodes: What runs its pods.
        environment: What a service needs to know of it.
    """

    api: KubeApi
    nodes: KubeNodes
    environment: dict[str, str]

    def write_template(self, *command: str, **spec) -> None:
        """Say what workers run; `spec` is of the Job."""
        worker = {"name": "worker", "image": "worker:1", "command": list(command)}
        pod = {"containers": [worker], "terminationGracePeriodSeconds": 20}
        template = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "spec": {**spec, "template": {"spec": pod}},
        }
        path = Path(self.environment["NOCODE_KUBERNETES_JOB_TEMPLATE"])
        path.write_text(yaml.safe_dump(template))


@pytest.fixture
def kube(environment, tmp_path, monkeypatch):
    """A cluster that runs the workers of `workload`, as processes of this machine."""
    api = KubeApi()
    api.start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(api.kubeconfig())
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    nodes = KubeNodes(api, environment)
    own = {
        "KUBECONFIG": str(kubeconfig),
        "NOCODE_LAUNCHER": "kubernetes",
        "NOCODE_KUBERNETES_JOB_TEMPLATE": str(tmp_path / "job.yaml"),
    }
    made = Kube(api, nodes, own)
    made.write_template(sys.executable, "-m", "tests.common.jobs.workload")
    nodes.start()
    yield made
    nodes.close()
    api.close()


@pytest.fixture
def launcher_of(kube, settings):
    """Make a launcher, as a service does at its start; all are closed at the end."""
    made: list[KubernetesLauncher] = []

    def launcher_of(**changes) -> KubernetesLauncher:
        values = {
            "launcher": "kubernetes",
            "kubernetes_job_template": Path(kube.environment["NOCODE_KUBERNETES_JOB_TEMPLATE"]),
            **changes,
        }
        made.append(KubernetesLauncher(settings.model_copy(update=values), [TASK]))
        return made[-1]

    yield launcher_of
    for launcher in made:
        launcher.close()


@pytest.fixture
def launcher(launcher_of):
    return launcher_of()


@pytest.fixture
def short_pauses(monkeypatch):
    """Let nobody wait for long before asking the API again."""
    monkeypatch.setattr(cluster, "_PAUSE_S", 0.1)
    monkeypatch.setattr(cluster, "_RETRY_S", 0.1)
    monkeypatch.setattr(kubernetes, "_ASK_S", 0.1)


@pytest.fixture
def shell(kube):
    """Let workers be a script."""

    def shell(script: str, **spec) -> None:
        kube.write_template("/bin/sh", "-c", script, **spec)

    return shell


@pytest.fixture
def job():
    """One that is claimed; it is in no bucket."""
    return pb.Job(
        name="tasks/classification/jobs/job-1", owner="pod-7-ab", attempt=1, kind=pb.Job.KIND_TRAIN
    )


def ended(launcher, job, timeout_s=20.0):
    """Return how the worker ends."""
    deadline = time.monotonic() + timeout_s
    while (end := launcher.poll(job)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)  # between looks; the deadline is above
    return end


def names_of(kube):
    """Return the names of all Jobs there are."""
    return [job["metadata"]["name"] for job in kube.api.jobs()]


def runs(kube):
    """Whether any worker runs."""
    return any("running" in str(pod["status"]) for pod in kube.api.pods())
