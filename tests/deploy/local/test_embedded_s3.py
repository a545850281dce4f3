"""The S3 server of `make run`: private, persistent, and gone when it should be."""

from __future__ import annotations

import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import urllib3

from common.errors import StorageUnavailable
from common.storage.bucket import Bucket
from deploy.local.embedded_s3 import EmbeddedS3
from deploy.local.process import ProcessFailed


def test_it_listens_on_loopback_only(s3):
    """Every one of its ports."""
    connections = psutil.Process(s3.process.pid).net_connections("inet")
    listening = {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}

    assert listening == {"127.0.0.1"}


def test_it_talks_to_nobody_outside(s3, bucket):
    """No telemetry: all of its connections are to itself and to us."""
    bucket.put("key", b"x")

    connections = psutil.Process(s3.process.pid).net_connections("inet")

    assert {c.raddr.ip for c in connections if c.raddr} <= {"127.0.0.1"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_it_refuses_who_has_no_keys(s3, bucket, method):
    """Reading, writing and deleting."""
    bucket.put("key", b"x")

    answer = urllib3.request(
        method, f"{s3.settings.s3_endpoint}/{bucket.name}/key", body=b"y", retries=False
    )

    assert answer.status == 403
    assert bucket.get("key") == b"x"


def test_keys_are_random_and_private(tmp_path):
    """Two servers have different ones, in files that only the owner reads."""
    with EmbeddedS3(tmp_path / "a") as a, EmbeddedS3(tmp_path / "b") as b:
        assert a.settings.s3_access_key != b.settings.s3_access_key
        assert a.settings.s3_secret_key != b.settings.s3_secret_key
        secret = a.settings.s3_secret_key
        holders = [
            path
            for path in (tmp_path / "a").rglob("*")
            if path.is_file() and secret.encode() in path.read_bytes()
        ]
        with pytest.raises(StorageUnavailable, match="refuses the keys"):
            Bucket(b.settings.model_copy(update={"s3_secret_key": secret})).check()

    assert {path.name for path in holders} >= {"identity.json", "s3.json"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in holders)


def test_data_and_keys_outlive_the_server(tmp_path):
    """At the same address, or at another one if somebody has taken a port meanwhile."""
    with EmbeddedS3(tmp_path) as server:
        first = server.settings
        Bucket(first).put("key", b"content")
    with EmbeddedS3(tmp_path) as server:
        second = server.settings
        assert Bucket(second).get("key") == b"content"
    assert second == first

    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", int(first.s3_endpoint.rpartition(":")[2])))
        thief.listen()
        with EmbeddedS3(tmp_path) as server:
            bucket = Bucket(server.settings)
            bucket.put("more", b"x")
            assert bucket.get("key") == b"content"
            assert server.settings.s3_endpoint != first.s3_endpoint
            assert server.settings.s3_secret_key == first.s3_secret_key


def test_a_killed_server_leaves_what_it_acknowledged(tmp_path):
    """And starts again at the same address."""
    with EmbeddedS3(tmp_path) as server:
        bucket = Bucket(server.settings)
        for number in range(100):
            bucket.put(f"keys/{number:02}", b"x" * number)
        server.kill()
        server.start()

        assert [found.size for found in bucket.list("keys/")] == list(range(100))


def test_one_folder_has_one_server(tmp_path):
    """A second one would ruin the first one's data."""
    with EmbeddedS3(tmp_path), pytest.raises(ProcessFailed, match="already runs"):
        EmbeddedS3(tmp_path)


def test_a_closed_server_leaves_nothing_behind():
    """No process, no temporary data, no socket."""
    with EmbeddedS3() as server:
        process = psutil.Process(server.process.pid)
        log = server.process.log
        ports = {c.laddr.port for c in process.net_connections("inet")}

    assert not process.is_running()
    assert not log.parent.exists()
    left = {path.name for path in Path("/tmp").glob("seaweedfs-*.sock")}
    assert not {name for name in left if any(f"-{port}.sock" in name for port in ports)}


def test_a_server_that_cannot_start_says_why(tmp_path):
    """And where to read more."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "filerldb2").write_text("in the way of its database")

    with pytest.raises(ProcessFailed, match=r"ended with status \d+[^$]*s3.log"):
        EmbeddedS3(tmp_path).start()


def test_many_buckets_fit(s3):
    """Each takes a volume, of which there are a few dozen by default."""

    def fill(number: int) -> bytes:
        bucket = Bucket(s3.settings, f"many-{number:03}")
        bucket.make()
        bucket.put("key", b"x")
        return bucket.get("key")

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(fill, range(120))) == [b"x"] * 120
