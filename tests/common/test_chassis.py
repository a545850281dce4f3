"""A task service as an operator meets it: the real process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.jobs import states
from common.jobs.store import Jobs
from nocode.vision.v1 import job_pb2 as pb
from nocode.vision.v1 import job_pb2_grpc

COMMAND = [sys.executable, "-m", "services.classification"]
START_S = 120


@pytest.fixture
def environment(storage_settings, tmp_path):
    return {
        **os.environ,
        "NOCODE_S3_ENDPOINT": storage_settings.s3_endpoint,
        "NOCODE_S3_ACCESS_KEY": storage_settings.s3_access_key,
        "NOCODE_S3_SECRET_KEY": storage_settings.s3_secret_key,
        "NOCODE_S3_BUCKET": storage_settings.s3_bucket,
        "NOCODE_WORK_DIR": str(tmp_path / "work"),
        "NOCODE_READY_FILE": str(tmp_path / "ready.json"),
        "NOCODE_DRAIN_S": "5",
    }


class Service:
    """A running service, with what it has printed."""

    def __init__(self, environment, log):
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(COMMAND, env=environment, stderr=output)
        ready = log.parent / "ready.json"
        deadline = time.monotonic() + START_S
        while not ready.exists():
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        self.ports = json.loads(ready.read_text())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@pytest.fixture
def service(environment, tmp_path):
    service = Service(environment, tmp_path / "service.log")
    yield service
    service.process.kill()
    service.process.wait()


@pytest.fixture
def channel(service):
    with grpc.insecure_channel(f"127.0.0.1:{service.ports['port']}") as channel:
        yield channel


def run_until_exit(environment):
    return subprocess.run(
        COMMAND, check=False, env=environment, capture_output=True, text=True, timeout=START_S
    )


def test_it_serves_and_stops(service, channel, environment, bucket):
    """It answers, runs jobs in workers, shows figures, logs JSON, and ends at SIGTERM."""
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", "nocode.vision.v1.JobService"):
        assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == 1

    jobs = Jobs(bucket, queue_size=10)
    name = jobs.name_for(pb.Job.KIND_IMPORT, "tasks/classification", "")
    jobs.create(name, pb.ImportSpec(dataset="tasks/classification/datasets/d"))
    stub = job_pb2_grpc.JobServiceStub(channel)
    seen = [job.state for job in stub.WatchJob(pb.WatchJobRequest(name=str(name)), timeout=60)]
    listed = stub.ListJobs(pb.ListJobsRequest(parent="tasks/-")).jobs
    url = f"http://127.0.0.1:{service.ports['metrics_port']}/metrics"
    metrics = urllib.request.urlopen(url).read().decode()

    assert seen[-1] == states.FAILED  # it has no source
    assert [job.name for job in listed] == [str(name)]
    assert 'nocode_vision_jobs{kind="train",state="queued"} 0.0' in metrics
    assert 'grpc_server_handled_total{grpc_code="OK"' in metrics

    assert service.stop() == 0
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert any(
        f"listening on 127.0.0.1:{service.ports['port']}" in line["message"] for line in lines
    )
    assert all(line["level"] in {"INFO", "WARNING"} for line in lines), lines


def test_wrong_settings_are_named(environment):
    del environment["NOCODE_S3_BUCKET"]
    environment["NOCODE_JOB_SLOTS"] = "many"

    ended = run_until_exit(environment)

    assert ended.returncode == 2
    assert "NOCODE_S3_BUCKET: Field required" in ended.stderr
    assert "NOCODE_JOB_SLOTS" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        pytest.param("NOCODE_S3_SECRET_KEY", "wrong", "key", id="wrong key"),
        pytest.param("NOCODE_S3_BUCKET", "no-such-bucket", "no-such-bucket", id="no such bucket"),
    ],
)
def test_a_bucket_that_cannot_be_used_ends_the_start_with_a_line(
    environment, variable, value, said
):
    environment[variable] = value

    ended = run_until_exit(environment)

    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_taken_port_ends_the_start_with_a_line(environment):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment["NOCODE_PORT"] = str(taken.getsockname()[1])
        ended = run_until_exit(environment)

    assert ended.returncode != 0
    assert "NOCODE_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_worker_that_imports_data_has_no_torch():
    """It would cost 0.7 GiB and seconds for nothing."""
    code = """
import sys
import services.classification.__main__, common.chassis, common.jobs.worker, common.jobs.ending
import common.data.importing
heavy = {"torch", "torchvision", "matplotlib", "onnx"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr


def test_the_threads_of_torch_are_settled_before_it_is_imported(environment):
    code = """
import os, sys
from common import chassis
from common.settings import ServiceSettings, load
chassis._set_threads(load(ServiceSettings))
assert "torch" not in sys.modules
print(os.environ["OMP_WAIT_POLICY"], os.environ["OMP_NUM_THREADS"])
"""
    environment["NOCODE_TORCH_THREADS"] = "3"
    environment.pop("OMP_WAIT_POLICY", None)
    ended = subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True
    )

    assert ended.stdout.split() == ["PASSIVE", "3"]
