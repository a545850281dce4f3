"""`python -m gateway`, as an operator and a supervisor see it."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from nocode.vision.v1 import job_pb2, job_pb2_grpc
from tests.gateway.conftest import until_health
from tests.gateway.remote import OPTIONS, SERVING


class _Running:
    def __init__(self, process, ports, channel, log):
        self.process = process
        self.ports = ports
        self.channel = channel
        self.log = log
        self.jobs = job_pb2_grpc.JobServiceStub(channel)

    async def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 20)


@pytest.fixture
async def running(tmp_path, remote, monkeypatch):
    """The process, once its backend is serving."""
    ready, log = tmp_path / "ready.json", tmp_path / "log"
    monkeypatch.setenv("NOCODE_READY_FILE", str(ready))
    monkeypatch.setenv(
        "NOCODE_BACKENDS", json.dumps({"classification": f"127.0.0.1:{remote.port}"})
    )
    with log.open("w") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", stderr=stderr
        )
    try:
        async with asyncio.timeout(30):
            while not ready.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.02)
        ports = json.loads(ready.read_text())
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{ports['port']}", options=OPTIONS
        ) as channel:
            await until_health(channel, "classification", SERVING)
            yield _Running(process, ports, channel, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def job(kind):
    return job_pb2.GetJobRequest(name=f"tasks/classification/jobs/{kind}")


async def test_it_drains_at_sigterm(running, remote):
    """The call under way ends as it should; the process ends after it, with status 0."""
    under_way = running.jobs.GetJob(job("slow"))
    await remote.begun.wait()
    stopped = asyncio.create_task(running.stop())
    async with asyncio.timeout(10):
        await _until_refused(running.ports["port"])
    remote.released.set()

    assert (await under_way).name
    assert await stopped == 0


async def _until_refused(port):
    """Call, each time over a new connection, until the server takes none."""
    code = None
    while code is not grpc.StatusCode.UNAVAILABLE:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            except grpc.aio.AioRpcError as error:
                # A call that was taken in as the server stopped may be cancelled.
                code = error.code()
                assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
async def test_idle_it_takes_less_than_120_mb(running):
    status = await asyncio.to_thread(Path(f"/proc/{running.process.pid}/status").read_text)

    assert int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) < 120_000


async def test_it_logs_a_call_that_failed_as_one_line_of_json(running):
    """With the id that the caller has, so that the line can be found."""
    with pytest.raises(grpc.aio.AioRpcError):
        await running.jobs.GetJob(job("refused"), metadata=[("x-request-id", "mine")])
    await running.stop()

    lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    calls = [line for line in lines if line.get("request_id") == "mine"]

    assert [line["message"] for line in calls] == [
        "/nocode.vision.v1.JobService/GetJob FAILED_PRECONDITION"
    ]
    assert calls[0]["ms"] > 0


async def test_it_serves_reflection_without_a_backend(running, remote):
    await remote.stop()
    stub = reflection_pb2_grpc.ServerReflectionStub(running.channel)
    request = reflection_pb2.ServerReflectionRequest(
        file_containing_symbol="nocode.vision.v1.PipelineService"
    )

    answers = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]

    assert len(answers[0].file_descriptor_response.file_descriptor_proto) > 0


def test_it_imports_neither_torch_nor_storage():
    script = (
        "import sys, gateway.__main__\n"
        "print([m for m in ('torch', 'numpy', 'minio', 'services', 'common.storage')"
        " if m in sys.modules])"
    )

    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert output.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("backends", "said"),
    [
        pytest.param(None, "NOCODE_BACKENDS", id="not set"),
        pytest.param("{}", "at least one", id="empty"),
        pytest.param("classification=a:1", "backends", id="not JSON"),
        pytest.param('{"sorting": "a:1"}', "'sorting', which is no service", id="unknown"),
        pytest.param('{"detection": "a"}', "'a', which is not host:port", id="no port"),
        pytest.param('{"detection": "a:70000"}', "not host:port", id="port out of range"),
        pytest.param('{"detection": "http://a:1"}', "not host:port", id="with a scheme"),
    ],
)
def test_wrong_backends_are_told_at_the_start(monkeypatch, backends, said):
    monkeypatch.delenv("NOCODE_BACKENDS", raising=False)
    if backends is not None:
        monkeypatch.setenv("NOCODE_BACKENDS", backends)

    output = subprocess.run(
        [sys.executable, "-m", "gateway"], capture_output=True, text=True, timeout=30, check=False
    )

    assert output.returncode == 2
    assert said in output.stderr
    assert "Traceback" not in output.stderr
