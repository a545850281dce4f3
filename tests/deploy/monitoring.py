"""What the tests of monitoring share: the rules and queries of `deploy/monitoring`."""

from __future__ import annotations

import json
import re
import time

import yaml

from deploy.local.stack import GATEWAY, SERVICES, LocalStack
from deploy.monitoring.prometheus import FOLDER

OF_PROMETHEUS = {"up", "ALERTS"}
"""Metrics that no part shows, but that Prometheus makes itself."""

_FUNCTIONS = {"histogram_quantile", "max_over_time", "min_over_time", "avg_over_time"}
_WORD = re.compile(r"[a-zA-Z_:][\w:]*")
_STRING = re.compile(r'"[^"]*"')
_LABELS = re.compile(r"\{[^}]*\}|\b(?:by|on|without|ignoring)\s*\([^)]*\)")


def rules(kind: str) -> dict[str, str]:
    """Return the queries of all rules of a kind, `alert` or `record`, by name."""
    groups = [
        group
        for file in (FOLDER / "rules").glob("*.yaml")
        for group in yaml.safe_load(file.read_text())["groups"]
    ]
    return {rule[kind]: rule["expr"] for group in groups for rule in group["rules"] if kind in rule}


def dashboard() -> dict:
    """Return the dashboard."""
    return json.loads((FOLDER / "dashboards/nocode-vision.json").read_text())


def panels() -> list[dict]:
    """Return the panels that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard_queries(*, interval: str = "5m") -> list[tuple[str, str]]:
    """Return the title of a panel and a query, as Grafana sends it, for each query."""
    values = {"$__rate_interval": interval, "$part": "|".join((GATEWAY, *SERVICES))}
    found = []
    for panel in panels():
        for target in panel["targets"]:
            query = target["expr"]
            for variable, value in values.items():
                query = query.replace(variable, value)
            found.append((panel["title"], query))
    return found


def metrics_in(query: str) -> set[str]:
    """Return the names of metrics that a query asks for."""
    words = set(_WORD.findall(_LABELS.sub("", _STRING.sub('""', query))))
    return {word for word in words - _FUNCTIONS if "_" in word or word in OF_PROMETHEUS}


def targets_of(stack: LocalStack, *services: str) -> dict[str, str]:
    """Return where the gateway of a stack and some services show their metrics."""
    return {
        part: stack.metrics_url_of(part).removeprefix("http://").removesuffix("/metrics")
        for part in (GATEWAY, *services)
    }


def wait_for(ask, *, timeout_s: float = 60.0):
    """Return what a question gives, as soon as it gives something."""
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, "nothing yet"
        time.sleep(0.2)
    return answer
