"""`python -m deploy.monitoring.operator`: the rules as an object for the Prometheus operator."""

from __future__ import annotations

from typing import Any

import yaml

from deploy.monitoring.prometheus import FOLDER

OUTPUT = FOLDER / "prometheus-rule.yaml"

_HEAD = "# Made from rules/ by `python -m deploy.monitoring.operator`; a test keeps it so.\n"


def prometheus_rule() -> dict[str, Any]:
    """Return the object that holds all rules."""
    files = sorted((FOLDER / "rules").glob("*.yaml"), reverse=True)  # what is recorded goes first
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "nocode-vision"},
        "spec": {"groups": groups},
    }


if __name__ == "__main__":
    OUTPUT.write_text(_HEAD + yaml.safe_dump(prometheus_rule(), sort_keys=False, width=100))
