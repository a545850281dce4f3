"""The S3 server of the local overlay and of Compose: its real program, with their options."""

from __future__ import annotations

import base64
import socket
import sysconfig
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from common.errors import StorageUnavailable
from common.settings import StorageSettings
from common.storage.bucket import Bucket
from deploy.local.process import Process
from tests.deploy.k8s import build, named

SERVERS = ("s3", "master", "volume", "filer", "admin")
READY_S = 60.0


@pytest.fixture(scope="module")
def container():
    """The container of the server."""
    pod = named(build("local"), "StatefulSet", "s3")["spec"]["template"]["spec"]
    (found,) = pod["containers"]
    return found


@pytest.fixture(scope="module")
def settings(container, tmp_path_factory):
    """How to reach the server, started with the container's options but for folder and ports."""
    secret = named(build("local"), "Secret", "nocode-vision-s3")
    config = named(build("local"), "ConfigMap", "nocode-vision")["data"]
    keys = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    env = {}
    for variable in container["env"]:
        if "value" in variable:
            env[variable["name"]] = variable["value"]
        else:
            env[variable["name"]] = keys[variable["valueFrom"]["secretKeyRef"]["key"]]
    folder = tmp_path_factory.mktemp("s3")
    (folder / "data").mkdir()
    ports = free_ports(2 * len(SERVERS))
    changed = {"dir": folder / "data", "ip.bind": "127.0.0.1"}
    for index, server in enumerate(SERVERS):
        changed |= {f"{server}.port": ports[2 * index], f"{server}.port.grpc": ports[2 * index + 1]}
    options = [arg for arg in container["args"] if arg.split("=")[0].lstrip("-") not in changed]
    process = Process(
        "the S3 server",
        [
            str(Path(sysconfig.get_path("scripts")) / container["command"][0]),
            *options,
            *(f"-{name}={value}" for name, value in changed.items()),
        ],
        log=folder / "log",
        env=env,
    )
    made = StorageSettings(
        s3_endpoint=f"http://127.0.0.1:{ports[0]}",
        s3_access_key=keys["NOCODE_S3_ACCESS_KEY"],
        s3_secret_key=keys["NOCODE_S3_SECRET_KEY"],
        s3_bucket=config["NOCODE_S3_BUCKET"],
        s3_region=config["NOCODE_S3_REGION"],
    )
    try:
        wait_until_writable(process, made)
        yield made
    finally:
        process.kill()
        for port in ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()


def free_ports(count):
    """Return ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_until_writable(process, settings):
    """Return once the bucket, which the server makes itself, takes a write."""
    deadline = time.monotonic() + READY_S
    while True:
        process.check()
        try:
            Bucket(settings, give_up_after_s=0.0).check()
        except StorageUnavailable:
            assert time.monotonic() < deadline, process.tail()
            time.sleep(0.1)
        else:
            return


def status(url):
    """Return the HTTP status of a GET."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_bucket_is_there_for_who_has_the_keys(settings):
    """The server makes it at its first start."""
    Bucket(settings).check()


def test_nobody_else_reads_the_bucket(settings):
    """Without keys, or with wrong ones."""
    assert status(f"{settings.s3_endpoint}/{settings.s3_bucket}") == 403
    wrong = settings.model_copy(update={"s3_secret_key": "wrong"})
    with pytest.raises(StorageUnavailable, match="SignatureDoesNotMatch"):
        Bucket(wrong, give_up_after_s=0.0).check()


def test_the_probes_are_answered(settings, container):
    for kind in ("startup", "readiness", "liveness"):
        path = container[f"{kind}Probe"]["httpGet"]["path"]
        assert status(f"{settings.s3_endpoint}{path}") == 200
