"""Budgets and autoscalers: what they are for is there, and what they go by is measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.k8s import ALL, K8S, NAMESPACE, SERVICES, build, matches, of_kind, pods

ROOT = Path(__file__).parents[2]
METRIC = re.compile(r"nocode_vision_\w+")


@pytest.fixture(params=ALL)
def objects(request):
    """Everything of an overlay, or of a variant of one."""
    return build(request.param)


def scalers(objects):
    """Return what scales, with what it scales."""
    return [
        (made, made["spec"]["scaleTargetRef"])
        for made in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    ]


def test_every_server_has_a_budget_that_lets_nodes_be_drained(objects):
    """One pod at a time, also where there is only one."""
    servers = [pod for pod in pods(objects) if pod.owner["kind"] in {"Deployment", "StatefulSet"}]
    for pod in servers:
        budgets = [
            budget
            for budget in of_kind(objects, "PodDisruptionBudget")
            if matches(budget["spec"]["selector"], pod.labels)
        ]
        assert [budget["spec"]["maxUnavailable"] for budget in budgets] == [1], pod.name
    assert len(of_kind(objects, "PodDisruptionBudget")) == len(servers)


def test_what_is_scaled_is_there_and_is_scaled_once(objects):
    targets = [(target["kind"], target["name"]) for _, target in scalers(objects)]
    deployments = {("Deployment", d["metadata"]["name"]) for d in of_kind(objects, "Deployment")}

    assert set(targets) <= deployments
    assert len(targets) == len(set(targets))


def test_replicas_are_left_to_the_autoscaler(objects):
    """Otherwise each `kubectl apply` would set them back."""
    scaled = {target["name"] for _, target in scalers(objects)}
    for deployment in of_kind(objects, "Deployment"):
        assert ("replicas" in deployment["spec"]) == (deployment["metadata"]["name"] not in scaled)


@pytest.mark.parametrize("name", ["production", "local+prometheus-adapter+monitoring"])
def test_services_are_scaled_by_what_waits_and_by_their_gpus(name):
    text = {made["metadata"]["name"]: str(made["spec"]) for made, _ in scalers(build(name))}

    assert set(text) == {"gateway", *SERVICES}
    for service in SERVICES:
        assert set(METRIC.findall(text[service])) == {
            "nocode_vision_predict_waiting_images",
            "nocode_vision_gpu_utilization_ratio",
        }


def test_metrics_that_scale_are_measured():
    """A metric that nobody exports scales nothing, without a word."""
    exported = set()
    for file in (ROOT / "common").rglob("*.py"):
        exported |= set(re.findall(r'"(nocode_vision_\w+)"', file.read_text()))
    named = set()
    for file in K8S.rglob("*.yaml"):
        named |= set(METRIC.findall(file.read_text()))

    assert named
    assert named <= exported


def test_queries_ask_for_the_labels_that_scraping_makes():
    """`job` is the part, and the namespace is ours."""
    (monitor,) = of_kind(build("production"), "PodMonitor")
    assert monitor["spec"]["jobLabel"] == "app.kubernetes.io/component"
    scraped = {
        pod.labels["app.kubernetes.io/component"]
        for pod in pods(build("production"))
        if matches(monitor["spec"]["selector"], pod.labels)
    }
    assert scraped == {"gateway", *SERVICES}
    for made in of_kind(build("production"), "ScaledObject"):
        for trigger in made["spec"]["triggers"]:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', trigger["metadata"]["query"]))
            assert labels == {"namespace": NAMESPACE, "job": made["metadata"]["name"]}


def test_the_ports_that_are_scraped_are_there():
    (monitor,) = of_kind(build("production"), "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    for pod in pods(build("production")):
        if matches(monitor["spec"]["selector"], pod.labels):
            (container,) = pod.containers
            assert endpoint["port"] in {port["name"] for port in container["ports"]}


def test_the_adapter_serves_what_the_autoscalers_ask_for():
    """Each metric of a HorizontalPodAutoscaler has its rule."""
    rules = yaml.safe_load((K8S / "components/prometheus-adapter/rules.yaml").read_text())
    served = {METRIC.match(rule["seriesQuery"])[0] for rule in rules["rules"]["custom"]}
    asked = {
        metric["pods"]["metric"]["name"]
        for made in of_kind(build("local+prometheus-adapter+monitoring"), "HorizontalPodAutoscaler")
        for metric in made["spec"]["metrics"]
        if metric["type"] == "Pods"
    }

    assert served == asked
