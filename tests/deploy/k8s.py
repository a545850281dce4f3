"""What `kubectl kustomize` makes of deploy/k8s, for the tests of it."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import yaml

K8S = Path(__file__).parents[2] / "deploy" / "k8s"
NAMESPACE = "nocode-vision"
SERVICES = ("classification", "detection", "segmentation")
PARTS = ("gateway", *SERVICES)
OVERLAYS = sorted(folder.name for folder in (K8S / "overlays").iterdir())
# What none of the overlays has, on top of the overlay that it is for.
VARIANTS = {
    "local+prometheus-adapter+monitoring": ("local", ("monitoring", "prometheus-adapter")),
    "local+jobs": (
        "local",
        ("release", "jobs/common", *(f"jobs/{service}" for service in SERVICES)),
    ),
    "local+gateway-api": ("local", ("gateway-api",)),
    "production+mlflow": ("production", ("mlflow",)),
    "production+oidc": ("production", ("oidc",)),
    "production+tracing": ("production", ("tracing",)),
}
ALL = (*OVERLAYS, *VARIANTS)
# Kinds that operators bring, whose schemas Kubernetes does not have, and what they come with.
CUSTOM_KINDS = {
    "ClusterQueue": "kueue.x-k8s.io/v1beta1",
    "GRPCRoute": "gateway.networking.k8s.io/v1",
    "Gateway": "gateway.networking.k8s.io/v1",
    "LocalQueue": "kueue.x-k8s.io/v1beta1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ResourceFlavor": "kueue.x-k8s.io/v1beta1",
    "ScaledObject": "keda.sh/v1alpha1",
}
CLUSTER_KINDS = {"Namespace", "PriorityClass"}

Object = dict[str, Any]


class Pod(NamedTuple):
    """Pods that an object makes.

    Attributes:
        name: For messages: the kind and name of what makes them.
        labels: Their labels.
        spec: Their spec.
        owner: What makes them; a Job comes from the template that a launcher uses.
    """

    name: str
    labels: dict[str, str]
    spec: Object
    owner: Object

    @property
    def containers(self) -> list[Object]:
        """All of them, those for starting included."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]


@cache
def build(name: str) -> tuple[Object, ...]:
    """Return the objects of an overlay or of one of `VARIANTS`; called again, the same ones."""
    if name not in VARIANTS:
        return kustomize(K8S / "overlays" / name)
    overlay, components = VARIANTS[name]
    # A kustomization of one's own beside the overlays, as an operator writes it.
    folder = K8S / "overlays" / overlay
    text = yaml.safe_dump(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": NAMESPACE,
            "resources": [str(folder)],
            "components": [str(K8S / "components" / component) for component in components],
        }
    )
    return _kustomize_text(text)


@cache
def kustomize(folder: Path) -> tuple[Object, ...]:
    """Return the objects that a folder is built to."""
    run = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return tuple(yaml.safe_load_all(run.stdout))


def _kustomize_text(text: str) -> tuple[Object, ...]:
    with TemporaryDirectory() as name:
        # kustomize takes no absolute paths.
        real = os.path.realpath(name)
        (Path(real) / "kustomization.yaml").write_text(
            text.replace(str(K8S), os.path.relpath(K8S, real))
        )
        return kustomize(Path(real))


def of_kind(objects: tuple[Object, ...], *kinds: str) -> list[Object]:
    """Return the objects of some kinds."""
    return [made for made in objects if made["kind"] in kinds]


def named(objects: tuple[Object, ...], kind: str, name: str) -> Object:
    """Return one object."""
    (found,) = [made for made in of_kind(objects, kind) if made["metadata"]["name"] == name]
    return found


def job_templates(objects: tuple[Object, ...]) -> dict[str, Object]:
    """Return the Jobs that launchers make workers from, by the name of their ConfigMap."""
    return {
        config["metadata"]["name"]: yaml.safe_load(config["data"]["job.yaml"])
        for config in of_kind(objects, "ConfigMap")
        if "job.yaml" in config["data"]
    }


def pods(objects: tuple[Object, ...]) -> list[Pod]:
    """Return the pods of all that makes pods, those of workers included."""
    found = [
        Pod(
            f"{made['kind']} {made['metadata']['name']}",
            made["spec"]["template"]["metadata"]["labels"],
            made["spec"]["template"]["spec"],
            made,
        )
        for made in of_kind(objects, "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
    ]
    return found + [
        Pod(
            f"Job of {name}",
            job["spec"]["template"]["metadata"]["labels"],
            job["spec"]["template"]["spec"],
            job,
        )
        for name, job in job_templates(objects).items()
    ]


def environment(objects: tuple[Object, ...], container: Object) -> dict[str, str]:
    """Return the variables that a container is given, those of Secrets as empty texts."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        if "configMapRef" in source:
            found |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container.get("env", ()):
        found[variable["name"]] = str(variable.get("value", ""))
    return found


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector of the API matches; an empty one matches everything."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions", ()):
        inside = labels.get(expression["key"]) in expression["values"]
        assert expression["operator"] in {"In", "NotIn"}, expression
        if inside != (expression["operator"] == "In"):
            return False
    return True


def size(quantity: str) -> int:
    """Return the bytes of a quantity, e.g. `2Gi`."""
    units = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
    return int(quantity[:-2]) * units[quantity[-2:]]
