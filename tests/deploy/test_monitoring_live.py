"""A real Prometheus and a collector of traces beside the real system, under a little load."""

from __future__ import annotations

import json
import time

import grpc
import numpy as np
import pytest

from client import Client
from deploy.local.stack import LocalStack
from deploy.monitoring.prometheus import Prometheus
from nocode.vision.v1 import dataset_source_pb2, pipeline_pb2, pipeline_pb2_grpc
from tests.common.otlp import Collector
from tests.deploy.monitoring import dashboard_queries, rules, targets_of, wait_for
from tests.e2e.data import CLASSES, archive, encoded, shape

TASK = "classification"
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"

# One that tells of GPUs shows nothing on a machine that has none, one that tells of failures
# nothing while none has happened.
EMPTY_WITHOUT_A_GPU = {"GPU memory", "GPU use", "instance_gpu:nocode_vision_gpu_memory_used:ratio"}
EMPTY_WITHOUT_A_FAULT = {"Failed in the last hour, by reason"}

# Starts the system and trains: half a minute of a core.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def collector():
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory, collector):
    """The gateway and one service, both traced."""
    service = {"NOCODE_TRAIN_THREADS": "1", "NOCODE_WEIGHTS_URL": ""}
    env = {"gateway": collector.environment, TASK: collector.environment | service}
    with LocalStack(tmp_path_factory.mktemp("stack"), services=[TASK], env=env) as running:
        yield running


@pytest.fixture(scope="module")
def client(stack):
    with Client(stack.address) as connected:
        yield connected


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory, stack):
    """Scrapes every second."""
    folder = tmp_path_factory.mktemp("prometheus")
    with Prometheus(folder, targets_of(stack, TASK), interval_s=1) as running:
        yield running


@pytest.fixture(scope="module")
def trained(stack, client, prometheus, tmp_path_factory):
    """The job of a training that a caller with a trace of its own has asked for."""
    path = tmp_path_factory.mktemp("data") / "shapes.zip"
    path.write_bytes(archive(8))
    source = dataset_source_pb2.DatasetSource(upload=client.upload(TASK, path))
    dataset = client.wait(client.import_dataset(TASK, source, dataset_id="shapes").name).dataset
    config = pipeline_pb2.TrainingConfig(epoch_count=3, image_size_px=32, batch_size=8, seed=1)
    pipeline = client.create_pipeline(
        TASK,
        pipeline_pb2.Pipeline(architecture="resnet18", dataset=dataset, training_config=config),
    )
    with grpc.insecure_channel(stack.address) as channel:
        job = pipeline_pb2_grpc.PipelineServiceStub(channel).Train(
            pipeline_pb2.TrainRequest(name=pipeline.name),
            metadata=[("traceparent", f"00-{TRACE}-{CALLER}-01")],
        )
    return client.wait(job.name)


def test_every_query_of_the_dashboard_and_every_recording_rule_returns_data(
    client, prometheus, trained
):
    """Those that may be empty are, so that none of them is listed in vain."""
    images = [encoded(shape(kind, np.random.default_rng(0))) for kind in CLASSES]
    end = time.monotonic() + 3
    while time.monotonic() < end:
        client.predict(trained.model, images)
    queries = [*dashboard_queries(interval="30s"), *((name, name) for name in rules("record"))]

    def empty() -> set[str]:
        return {name for name, query in queries if not prometheus.query(query)}

    expected = EMPTY_WITHOUT_A_FAULT | EMPTY_WITHOUT_A_GPU
    if prometheus.query("nocode_vision_gpu_memory_bytes"):
        expected = EMPTY_WITHOUT_A_FAULT
    # Rates need two scrapes, and rules of rules another.
    wait_for(lambda: empty() <= expected)

    assert empty() == expected


def test_what_was_done_is_what_is_counted(client, prometheus, trained):
    """Three epochs of the images to train on, and one training."""
    shown = len(client.splits(trained.train_spec.pipeline).train) * 3
    assert trained.trained_image_count == shown
    for query, value in [
        ("sum(nocode_vision_images_trained_total)", shown),
        ('sum(nocode_vision_jobs_ended_total{kind="train", state="succeeded"})', 1),
        ('sum(nocode_vision_jobs_ended_total{state="failed"})', 0),
        ("count(up == 1)", 2),
    ]:
        found = wait_for(
            lambda query=query, value=value: [
                sample for sample in prometheus.query(query) if float(sample["value"][1]) == value
            ]
        )
        assert len(found) == 1


def test_all_is_well(prometheus, trained):
    """No rule is broken, and no alert fires."""
    groups = prometheus.api("rules")["groups"]

    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}
    assert [
        alert for alert in prometheus.api("alerts")["alerts"] if alert["state"] == "firing"
    ] == []


def test_a_call_is_one_trace_across_gateway_service_and_worker(collector, trained):
    """Each is a child of the one before, and the first of the caller."""
    spans = collector.wait_for(
        lambda spans: any(span.trace_id == TRACE and span.name == "TRAIN" for span in spans)
    )
    by_id = {span.span_id: span for span in spans if span.trace_id == TRACE}
    worker = next(span for span in by_id.values() if span.name == "TRAIN")
    service = by_id[worker.parent_id]
    gateway = by_id[service.parent_id]

    assert gateway.parent_id == CALLER
    assert [span.process for span in (gateway, service, worker)] == [
        "nocode-vision-gateway",
        f"nocode-vision-{TASK}",
        f"nocode-vision-{TASK}-worker",
    ]
    assert gateway.name == service.name == "nocode.vision.v1.PipelineService/Train"
    assert worker.attributes == {"job": trained.name, "attempt": 1}
    assert trained.traceparent.split("-")[1:3] == [TRACE, service.span_id]


def test_the_log_of_a_worker_names_its_trace(stack, trained):
    """So that one leads to the other."""
    logs = stack.log(TASK).parents[1] / "work" / TASK / "logs"
    log = logs / f"{TASK}-{trained.name.rpartition('/')[2]}.log"
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]

    assert {line["trace_id"] for line in lines if "trace_id" in line} == {TRACE}
