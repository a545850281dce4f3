"""What a bucket does when the network or the server fails, against a real server behind a proxy."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from common.errors import StorageUnavailable
from common.reasons import Reason
from common.storage.bucket import Bucket, PreconditionFailed
from common.storage.client import connect
from deploy.local.embedded_s3 import EmbeddedS3
from tests.common.storage.faulty_proxy import (
    FaultyProxy,
    cut_answer,
    do_no_harm,
    ignore_condition,
    lose_answer,
    lose_request,
    slow_down,
)


@pytest.fixture
def proxy(storage_settings):
    """A proxy that does no harm yet."""
    with FaultyProxy(storage_settings) as proxy:
        yield proxy


@pytest.fixture
def bucket(proxy):
    """A bucket behind the proxy."""
    return Bucket(proxy.settings)


@pytest.mark.parametrize("fault", [lose_request, lose_answer, slow_down])
def test_passing_faults_are_waited_out(bucket, proxy, fault):
    """Three in a row, in every kind of call."""
    content = random.Random(0).randbytes(10_000)
    calls = {
        "put": lambda: bucket.put("key", content),
        "get": lambda: bucket.get("key"),
        "stream": lambda: b"".join(bucket.stream("key", chunk_size=100)),
        "stat": lambda: bucket.stat("key").size,
        "list": lambda: [stat.key for stat in bucket.list("")],
        "delete": lambda: bucket.delete("key"),
    }
    expected = {"get": content, "stream": content, "stat": 10_000, "list": ["key"]}

    for name, call in calls.items():
        proxy.faults.extend([fault] * 3)
        result = call()

        assert not proxy.faults, name
        assert result == expected.get(name, result), name
    assert bucket.stat("key") is None


def test_a_repeated_conditional_put_knows_its_own_object(bucket, proxy):
    """The answer is lost, the repetition meets the object of the first try: that is no conflict."""
    proxy.faults.append(lose_answer)
    made = bucket.put("claim", b"same", if_absent=True)
    proxy.faults.append(lose_answer)
    changed = bucket.put("claim", b"newer", if_match=made)

    assert bucket.get_versioned("claim") == (b"newer", changed)


def test_a_repeated_conditional_put_knows_another_s_object(bucket, proxy, storage_settings):
    """Even one of equal content: two that claim the same must not both believe to have it."""
    other = Bucket(storage_settings)

    def lose_race(request) -> None:
        other.put("claim", b"same", if_absent=True)
        lose_request(request)

    proxy.faults.append(lose_race)

    with pytest.raises(PreconditionFailed):
        bucket.put("claim", b"same", if_absent=True)
    assert not proxy.faults


def test_a_broken_stream_goes_on_where_it_was(bucket, proxy):
    """No byte is sent twice to the caller, and none is missing."""
    content = random.Random(0).randbytes(1_000_000)
    bucket.put("key", content)
    before = proxy.request_count
    proxy.faults.extend([cut_answer] * 3)

    assert b"".join(bucket.stream("key", chunk_size=10_000)) == content
    assert proxy.request_count - before == 4


def test_a_stream_that_breaks_within_its_first_piece_is_read_again(bucket, proxy, tmp_path):
    """Most objects are smaller than a piece, and none of them is lost to one broken answer."""
    content = random.Random(0).randbytes(100_000)
    bucket.put("key", content)

    proxy.faults.extend([cut_answer] * 2)
    assert b"".join(bucket.stream("key")) == content
    proxy.faults.extend([cut_answer] * 2)
    bucket.get_file("key", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content
    assert not proxy.faults

    proxy.faults.extend([cut_answer] * 10)
    with pytest.raises(StorageUnavailable):
        list(bucket.stream("key"))
    assert len(proxy.faults) == 10 - 3


def test_a_stream_may_break_often_if_it_gets_on_in_between(bucket, proxy):
    """Only breaks in a row count."""
    content = random.Random(0).randbytes(1_000_000)
    bucket.put("key", content)
    proxy.faults.extend([cut_answer] * 6)

    assert b"".join(bucket.stream("key", chunk_size=10_000)) == content
    assert not proxy.faults


def test_a_broken_answer_is_read_again(bucket, proxy):
    """Half a content or half a list is never taken for the whole."""
    etag = bucket.put("key", b"0123456789")

    proxy.faults.extend([cut_answer] * 2)
    assert bucket.get("key", offset=2, length=6) == b"234567"
    proxy.faults.extend([cut_answer] * 2)
    assert bucket.get_versioned("key") == (b"0123456789", etag)
    proxy.faults.extend([cut_answer] * 2)
    assert [stat.key for stat in bucket.list("")] == ["key"]
    assert not proxy.faults


def test_a_stream_never_mixes_two_versions(bucket, proxy, storage_settings):
    """The object is replaced while it is read, and the connection breaks."""
    bucket.put("key", b"a" * 100_000)
    proxy.faults.append(cut_answer)
    chunks = bucket.stream("key", chunk_size=1000)
    next(chunks)

    Bucket(storage_settings).put("key", b"b" * 100_000)

    with pytest.raises(PreconditionFailed):
        list(chunks)


def test_a_broken_multipart_upload_goes_on(bucket, proxy, tmp_path):
    """A fault in the middle costs a part, not the upload."""
    content = random.Random(0).randbytes(40 * 1024**2)
    proxy.faults.extend([lose_request, slow_down, lose_request])

    size = bucket.put_stream("key", (content[i : i + 10**6] for i in range(0, len(content), 10**6)))

    assert size == len(content)
    assert not proxy.faults
    assert bucket.get("key") == content


def test_a_multipart_upload_whose_end_is_repeated_is_whole(bucket, proxy):
    """The answer to its last request is lost."""
    size = 20 * 1024**2  # begin, two parts, end
    proxy.faults.extend([do_no_harm, do_no_harm, do_no_harm, lose_answer])

    bucket.put_stream("key", (b"x" * 1024**2 for _ in range(20)))

    assert not proxy.faults
    assert bucket.stat("key").size == size


def test_faults_that_last_are_an_outage(proxy):
    """Within the time given, with the server's own words."""
    bucket = Bucket(proxy.settings, give_up_after_s=1.0)
    proxy.faults.extend([slow_down] * 1000)
    start = time.monotonic()

    with pytest.raises(StorageUnavailable, match="SlowDown") as caught:
        bucket.get("key")

    assert caught.value.reason == Reason.STORAGE_UNAVAILABLE
    assert caught.value.retry_after_s is not None
    assert 0.9 < time.monotonic() - start < 5
    assert proxy.request_count < 30


def test_calls_survive_a_server_that_is_killed_and_started_again():
    """Acknowledged objects are there; calls made meanwhile wait; none fails."""
    with EmbeddedS3() as server:
        bucket = Bucket(server.settings, give_up_after_s=60.0)
        acknowledged: list[str] = []
        failures: list[Exception] = []
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                key = f"keys/{len(acknowledged):05}"
                try:
                    bucket.put(key, key.encode(), if_absent=True)
                except Exception as error:  # noqa: BLE001 - whatever it is, the test must show it
                    failures.append(error)
                    return
                acknowledged.append(key)

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(2):
            wait_for_more(acknowledged, 50)
            server.kill()
            with pytest.raises(StorageUnavailable, match="does not answer"):
                Bucket(server.settings, give_up_after_s=0.0).get("keys/00000")
            server.start()
        wait_for_more(acknowledged, 50)
        stop.set()
        writer.join()

        assert failures == []
        assert [stat.key for stat in bucket.list("keys/")] == acknowledged
        assert all(bucket.get(key) == key.encode() for key in acknowledged[::10])


def wait_for_more(items: list[str], count: int) -> None:
    """Return when a list has grown."""
    goal, deadline = len(items) + count, time.monotonic() + 60
    while len(items) < goal:
        assert time.monotonic() < deadline, "the writer stands still"
        time.sleep(0.01)


# What `check` says at the start of a service.


def problem(settings, **changes: str) -> StorageUnavailable:
    """Return what `check` says of changed settings."""
    with pytest.raises(StorageUnavailable) as caught:
        Bucket(settings.model_copy(update=changes), give_up_after_s=0.0).check()
    return caught.value


def test_right_settings_pass_and_leave_nothing(storage_settings):
    """The object that is written to see whether one can be is gone."""
    bucket = Bucket(storage_settings)

    bucket.check()

    assert list(bucket.list("")) == []


def test_an_endpoint_that_does_not_answer_is_named(storage_settings):
    """Nothing listens on the port."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"

        error = problem(storage_settings, s3_endpoint=endpoint)

    assert error.reason == Reason.STORAGE_UNAVAILABLE
    assert f"{endpoint} does not answer" in error.message
    assert "NOCODE_S3_ENDPOINT" in error.message


@pytest.mark.parametrize(
    "endpoint", ["", "127.0.0.1:9000", "ftp://host", "http://", "http://host/path"]
)
def test_what_is_no_endpoint_is_refused(storage_settings, endpoint):
    """Before anything is asked."""
    error = problem(storage_settings, s3_endpoint=endpoint)

    assert error.reason == Reason.STORAGE_MISCONFIGURED
    assert f"NOCODE_S3_ENDPOINT is {endpoint!r}" in error.message


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html><body>Hello<br></body></html>"), (200, b"{}"), (404, b"not here"), (200, b"")],
)
def test_a_server_that_speaks_no_s3_is_named(storage_settings, status, body):
    """A web server, for example."""

    class WebServer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), WebServer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        error = problem(storage_settings, s3_endpoint=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()

    assert error.reason == Reason.STORAGE_MISCONFIGURED
    assert "not an S3 server" in error.message
    assert "NOCODE_S3_ENDPOINT" in error.message


@pytest.mark.parametrize("field", ["s3_access_key", "s3_secret_key"])
def test_wrong_keys_are_named(storage_settings, field):
    """Without showing them."""
    error = problem(storage_settings, **{field: "wrong-key-value"})

    assert error.reason == Reason.STORAGE_MISCONFIGURED
    assert "refuses the keys" in error.message
    assert "NOCODE_S3_SECRET_KEY" in error.message
    assert "wrong-key-value" not in error.message


def test_a_missing_bucket_is_named(storage_settings):
    """With what to do."""
    error = problem(storage_settings, s3_bucket="no-such-bucket")

    assert error.reason == Reason.STORAGE_MISCONFIGURED
    assert "'no-such-bucket' does not exist" in error.message
    assert "NOCODE_S3_BUCKET" in error.message


def test_keys_that_may_only_read_are_named(storage_settings):
    """Found at the start, not by the first import."""
    forbid_writing(storage_settings)

    error = problem(storage_settings)

    assert error.reason == Reason.STORAGE_MISCONFIGURED
    assert "read, write, list and delete" in error.message


@pytest.mark.parametrize("place", [0, 1])
def test_a_server_that_ignores_a_condition_is_named(proxy, bucket, place):
    """Either one: on such a server claims and changes overwrite each other without a word."""
    list_put_get = [do_no_harm] * 3
    proxy.faults.extend([*list_put_get, *[do_no_harm] * place, ignore_condition])

    with pytest.raises(StorageUnavailable, match="ignores If-Match or If-None-Match") as caught:
        bucket.check()

    assert caught.value.reason == Reason.STORAGE_MISCONFIGURED
    assert proxy.settings.s3_endpoint in caught.value.message
    assert not proxy.faults
    assert list(bucket.list("")) == []


def forbid_writing(settings) -> None:
    """Have the server refuse puts to the bucket."""
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:PutObject"],
        "Resource": [f"arn:aws:s3:::{settings.s3_bucket}/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    connect(settings, 0.0).set_bucket_policy(settings.s3_bucket, json.dumps(policy))
