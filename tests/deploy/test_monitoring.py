"""Rules, dashboard and runbooks: what they ask for is there, and they say what to do."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from functools import cache

import pytest
import yaml
from prometheus_client import CollectorRegistry

from common.gpu_metrics import Gpu, GpuCollector
from common.jobs.metrics import JobMetrics
from common.rpc import contract
from common.rpc.metrics import ServerMetrics, new_registry
from common.serving.metrics import PredictMetrics
from common.storage import metrics as storage_metrics
from deploy.local.process import REPOSITORY, ProcessFailed
from deploy.local.stack import GATEWAY, SERVICES
from deploy.monitoring import operator
from deploy.monitoring.__main__ import running
from deploy.monitoring.prometheus import FOLDER, tool
from tests.deploy.k8s import build, of_kind
from tests.deploy.monitoring import (
    OF_PROMETHEUS,
    dashboard,
    dashboard_queries,
    metrics_in,
    panels,
    rules,
)

RUNBOOKS = REPOSITORY / "docs" / "runbooks.md"
PARTS = {GATEWAY, *SERVICES}


@pytest.fixture
def promtool():
    """Run promtool, which comes with Prometheus, and return what it says."""

    def run(*arguments) -> str:
        command = [tool("promtool"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def registry() -> CollectorRegistry:
    """Everything that a service shows, on a machine with a GPU."""
    registry = new_registry()
    methods = ServerMetrics(registry)
    for service in contract.SERVICES:
        for method in service.methods:
            methods.method(contract.shape(method), service.full_name, method.name)
    JobMetrics(registry)
    PredictMetrics(registry)
    storage_metrics.show(registry)
    registry.register(GpuCollector(lambda: [Gpu(0, 1, 2, 0.5)]))
    return registry


@pytest.fixture(scope="module")
def metric_names(registry) -> set[str]:
    """The names of all series that a service shows or may come to show."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {
        metric.name + suffix
        for metric in registry.collect()
        for suffix in suffixes.get(metric.type, [""])
    }


def test_the_configuration_is_one_that_prometheus_takes(promtool):
    """With the rules, and with no targets other than the parts."""
    promtool("check", "config", FOLDER / "prometheus.yaml")
    targets = yaml.safe_load((FOLDER / "targets/compose.yaml").read_text())

    assert {group["labels"]["job"] for group in targets} == PARTS
    assert [group["targets"] for group in targets] == [
        [f"{group['labels']['job']}:9090"] for group in targets
    ]


def test_ours_are_told_from_others_by_a_label():
    """Rules and panels about any process go by `app`, which both ways to scrape give."""
    (scraped,) = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    (monitor,) = of_kind(build("production"), "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert scraped["relabel_configs"] == [{"target_label": "app", "replacement": "nocode-vision"}]
    assert endpoint["relabelings"] == [{"targetLabel": "app", "replacement": "nocode-vision"}]

    for _, query in (*rules("alert").items(), *dashboard_queries()):
        for selector in re.findall(r"\b(?:up|process_\w+)\{([^}]*)\}", query):
            assert 'app="nocode-vision"' in selector, query


def test_rules_do_what_their_unit_tests_say(promtool):
    """Each alert fires when it should, and not when it should not."""
    promtool("test", "rules", *sorted((FOLDER / "tests").glob("*.yaml")))


@pytest.mark.parametrize("alert", rules("alert"))
def test_every_alert_has_a_test_in_which_it_fires(alert):
    """A rule with a mistake in it is silent, as one is for which all is well."""
    assert alert in expected_samples()


@pytest.mark.parametrize("record", rules("record"))
def test_every_recording_rule_has_a_test_of_its_value(record):
    assert any(record in query for query in expected_samples(whole=True))


@cache
def expected_samples(*, whole: bool = False) -> set[str]:
    """Return the alerts, or the whole queries, of which a test expects samples."""
    found = set()
    for file in (FOLDER / "tests").glob("*.yaml"):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test["promql_expr_test"]:
                if "exp_samples" in case:
                    alert = re.search(r'alertname="(\w+)"', case["expr"])
                    found.add(alert[1] if alert and not whole else case["expr"])
    return found


@pytest.mark.parametrize(
    ("name", "query"),
    [*rules("alert").items(), *rules("record").items(), *dashboard_queries()],
)
def test_every_metric_that_is_asked_for_is_one_that_is_shown(metric_names, name, query):
    """A name that is misspelled gives no data, and no error either."""
    asked = metrics_in(query)

    assert asked
    assert asked <= metric_names | set(rules("record")) | OF_PROMETHEUS


def test_every_query_of_the_dashboard_parses(promtool, tmp_path):
    """Prometheus's own parser says so."""
    recorded = [
        {"record": f"query:{number}", "expr": query}
        for number, (_, query) in enumerate(dashboard_queries())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))

    assert f"{len(recorded)} rules found" in promtool("check", "rules", file)


def test_every_panel_can_be_seen_and_told_from_the_others():
    """None lies over another, and each has its own number and title."""
    everything = dashboard()["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in everything)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({panel["title"] for panel in panels()}) == len(panels())


def test_the_data_source_of_the_dashboard_can_be_chosen():
    """It is of whoever has a Prometheus, whatever they call it."""
    for panel in panels():
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    variables = [variable["name"] for variable in dashboard()["templating"]["list"]]
    assert variables == ["datasource", "part"]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    """Whoever is woken up reads what it means, where to look and what to do."""
    sections = re.split(r"^## ", RUNBOOKS.read_text(), flags=re.MULTILINE)[1:]
    titles = [section.partition("\n")[0] for section in sections]

    assert sorted(titles) == sorted(rules("alert"))
    for section in sections:
        for part in ("**Means**", "**Look**", "**Do**"):
            assert part in section


def test_every_alert_says_what_is_wrong_and_where_its_runbook_is():
    """With a severity of two: for now, or for today."""
    for group in operator.prometheus_rule()["spec"]["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                annotations = rule["annotations"]
                assert rule["labels"]["severity"] in {"critical", "warning"}
                assert annotations["summary"].endswith(".")
                assert len(annotations["description"]) > 60
                assert annotations["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"


def test_the_object_for_the_prometheus_operator_has_these_rules(promtool, tmp_path):
    """And Prometheus takes them as one file: names of groups may not repeat."""
    rule = yaml.safe_load(operator.OUTPUT.read_text())
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule["spec"]))

    assert rule == operator.prometheus_rule(), "run: python -m deploy.monitoring.operator"
    assert f"{len(rules('alert')) + len(rules('record'))} rules" in promtool("check", "rules", file)


def test_no_label_has_values_without_end(registry):
    """Prometheus keeps a series for each value; the names of jobs and models would fill it."""
    of_the_contract = {"grpc_type", "grpc_service", "grpc_method", "grpc_code"}
    of_closed_lists = {"kind", "state", "reason", "result", "operation", "le"}
    of_the_machine = {"gpu", "generation"}
    series = [sample for metric in registry.collect() for sample in metric.samples]
    labels = {label for sample in series if sample.name != "python_info" for label in sample.labels}

    assert labels <= of_the_contract | of_closed_lists | of_the_machine
    assert len(series) < 2000


def test_only_what_runs_is_watched(tmp_path):
    """The files that a stack leaves behind say where it was."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        for part, one in (("gateway", server), ("detection", taken)):
            ports = {"port": 1, "metrics_port": one.getsockname()[1]}
            (tmp_path / f"{part}.ready.json").write_text(json.dumps(ports))

        assert running(tmp_path) == {"gateway": f"127.0.0.1:{server.getsockname()[1]}"}
    with pytest.raises(ProcessFailed, match="make run"):
        running(tmp_path)
