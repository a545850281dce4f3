"""The whole system as real processes, as `make run` and the end-to-end tests start it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import grpc
import psutil
import pytest

from common.storage.bucket import Bucket
from deploy.local.__main__ import buf_calls, grpcurl_calls
from deploy.local.process import REPOSITORY, ProcessFailed
from deploy.local.stack import LocalStack
from nocode.vision.v1 import dataset_pb2, dataset_pb2_grpc

TASK = "tasks/classification"
GRPCURL = REPOSITORY / ".venv/bin/grpcurl"
# Nobody listens there.
DEAD_PROXY = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Where the stack of this module keeps its data."""
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def stack(directory):
    """A stack that these tests may harm."""
    with LocalStack(directory, env={"gateway": {"NOCODE_DRAIN_S": "1"}}) as running:
        yield running


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def list_datasets(address: str, *, timeout: float = 30) -> int:
    """Ask for the data sets, which takes all parts, and return how many there are."""
    with grpc.insecure_channel(address) as channel:
        request = dataset_pb2.ListDatasetsRequest(parent=TASK)
        stub = dataset_pb2_grpc.DatasetServiceStub(channel)
        return len(stub.ListDatasets(request, timeout=timeout).datasets)


def wait_until_listed(address: str) -> int:
    """Return the number of data sets, as soon as the gateway has found the service again."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return list_datasets(address)
        except grpc.RpcError as error:
            if time.monotonic() > deadline or error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(0.1)


def test_a_call_reaches_the_bucket_through_the_gateway(stack):
    """And the service can be called without it."""
    assert list_datasets(stack.address) == 0
    assert list_datasets(stack.address_of("classification")) == 0


@pytest.mark.parametrize("part", ["gateway", "classification"])
def test_metrics_are_where_it_says(stack, part):
    """In the format of Prometheus."""
    list_datasets(stack.address)

    with urllib.request.urlopen(stack.metrics_url_of(part), timeout=10) as answer:
        assert b"grpc_server_handled_total" in answer.read()


def test_a_killed_service_comes_back_at_its_address(stack):
    """Meanwhile the gateway says which one is missing."""
    address, pid = stack.address_of("classification"), stack.pid("classification")

    stack.kill("classification")
    with pytest.raises(grpc.RpcError) as caught:
        list_datasets(stack.address)
    with pytest.raises(ProcessFailed, match="The classification service ended with status -9"):
        stack.check()
    stack.restart("classification")

    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "classification" in caught.value.details()
    assert stack.address_of("classification") == address
    assert stack.pid("classification") != pid
    assert wait_until_listed(stack.address) == 0
    stack.check()


def test_a_killed_s3_server_comes_back_with_its_data(stack):
    """The service needs no restart."""
    bucket = Bucket(stack.storage)
    bucket.put("kept", b"x")

    stack.kill("s3")
    stack.restart("s3")

    assert bucket.get("kept") == b"x"
    assert list_datasets(stack.address) == 0


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param(
            grpcurl_calls,
            id="grpcurl",
            marks=pytest.mark.skipif(not GRPCURL.exists(), reason="not for this machine"),
        ),
        pytest.param(buf_calls, id="buf"),
    ],
)
def test_the_system_can_be_called_by_reflection(stack, calls):
    """With either program that `make run` may name; the contract and the data are seen."""
    printed = [
        subprocess.run(
            shlex.split(call), cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        for call in calls(stack.address)
    ]

    assert "nocode.vision.v1.PipelineService" in printed[0]
    assert '"mobilenet_v3_small"' in printed[-2]
    assert printed[-1].split() in (["{", "}"], ["{}"])  # no data sets


def storage_variables(pid: int) -> set[str]:
    """Return the variables of a process that say how to reach the bucket."""
    return {name for name in psutil.Process(pid).environ() if name.startswith("NOCODE_S3_")}


def test_the_gateway_is_given_no_storage_keys(stack):
    """It has no use for them."""
    assert "NOCODE_BACKENDS" in psutil.Process(stack.pid("gateway")).environ()
    assert storage_variables(stack.pid("classification"))
    assert not storage_variables(stack.pid("gateway"))


def test_a_part_that_does_not_come_up_ends_the_others(tmp_path):
    """The error shows its log."""
    stack = LocalStack(tmp_path, env={"classification": {"NOCODE_JOB_SLOTS": "-1"}})
    before = set(psutil.Process().children(recursive=True))

    with pytest.raises(ProcessFailed, match=r"service ended[^$]*NOCODE_JOB_SLOTS"), stack:
        pass

    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.fixture
def make_run(tmp_path):
    """Starts what `make run` does, and returns it with what it has printed up to its last line."""
    started = []

    def start(**env: str) -> tuple[subprocess.Popen, str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local"],
            cwd=REPOSITORY,
            env=os.environ | {"NOCODE_RUN_DIR": str(tmp_path / "run"), "NOCODE_PORT": "0"} | env,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        printed = ""
        for line in process.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        return process, printed

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_make_run_prints_commands_that_work_and_stops_cleanly(make_run, tmp_path, monkeypatch):
    """Every command that it prints; at Ctrl-C nothing stays behind but the data.

    Also on a machine that downloads through a proxy, which knows nothing of 127.0.0.1.
    """
    monkeypatch.delenv("no_proxy")
    process, printed = make_run(**DEAD_PROXY)
    commands = re.findall(r"^  (\.venv/bin/.*)$", printed, re.MULTILINE)
    address = re.search(r"^  gateway +(\S+),", printed, re.MULTILINE)[1]
    for command in [*commands, f".venv/bin/nocode-vision --address {address} datasets"]:
        subprocess.run(
            shlex.split(command),
            cwd=REPOSITORY,
            env=os.environ | DEAD_PROXY,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    children = psutil.Process(process.pid).children(recursive=True)

    process.send_signal(signal.SIGINT)

    assert process.wait(120) == 0
    assert len(commands) >= 4
    assert len(children) >= 3
    assert not [child for child in children if child.is_running()]
    assert "Stopped." in process.stdout.read()
    assert (tmp_path / "run" / "logs" / "gateway.log").exists()


def test_make_run_uses_the_s3_server_it_is_told_to(make_run, storage_settings):
    """And starts none, nor does the gateway get its keys. `kill` ends it like Ctrl-C does."""
    metrics_port = free_port()
    process, printed = make_run(
        NOCODE_METRICS_PORT=str(metrics_port),
        NOCODE_S3_ENDPOINT=storage_settings.s3_endpoint,
        NOCODE_S3_ACCESS_KEY=storage_settings.s3_access_key,
        NOCODE_S3_SECRET_KEY=storage_settings.s3_secret_key,
        NOCODE_S3_BUCKET=storage_settings.s3_bucket,
    )
    children = psutil.Process(process.pid).children(recursive=True)
    names = {child.name() for child in children}
    gateway = next(child for child in children if child.cmdline()[-2:] == ["-m", "gateway"])
    keys = storage_variables(gateway.pid)
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=10) as answer:
        metrics = answer.read()

    process.send_signal(signal.SIGTERM)

    assert process.wait(120) == 0
    assert not [child for child in children if child.is_running()]
    assert f"{storage_settings.s3_endpoint}, bucket {storage_settings.s3_bucket}" in printed
    assert "weed" not in names
    assert not keys
    assert b"grpc_server_handled_total" in metrics
    assert f"http://127.0.0.1:{metrics_port}/metrics" in printed


def test_make_run_says_which_part_ended(make_run):
    """And ends the others."""
    process, _ = make_run()
    children = psutil.Process(process.pid).children(recursive=True)
    (weed,) = (child for child in children if child.name() == "weed")

    weed.kill()

    assert process.wait(120) == 1
    assert not [child for child in children if child.is_running()]
