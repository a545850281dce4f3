"""The contract of `Bucket`, against a real S3 server."""

from __future__ import annotations

import hashlib
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from common.storage.bucket import Bucket, KeyMissing, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024**2


def test_what_is_put_is_got(bucket):
    """Bytes come back as they were, with the ETag that the put returned."""
    etag = bucket.put("folder/key", b"content")

    assert bucket.get("folder/key") == b"content"
    assert bucket.get_versioned("folder/key") == (b"content", etag)


def test_an_empty_object_is_an_object(bucket):
    """Markers have no content."""
    bucket.put("marker", b"")

    assert bucket.get("marker") == b""
    assert bucket.stat("marker").size == 0
    assert list(bucket.stream("marker")) == []


def test_a_put_larger_than_the_servers_buffers_is_whole(bucket):
    """The server limits uploads in flight to 64 MB; one object may be larger."""
    content = random.Random(0).randbytes(80 * MIB)

    bucket.put("large", content)

    assert bucket.get("large") == content


@pytest.mark.parametrize(
    "key", ["plus+sign", "a space", "ümlaut/日本", "per%20cent", "quote'\"<&>", "a=b&c=d?e#f"]
)
def test_any_key_is_kept_as_it_is(bucket, key):
    """Keys with signs that addresses or XML treat specially are not changed."""
    bucket.put(key, b"x")

    assert [stat.key for stat in bucket.list("")] == [key]
    assert bucket.get(key) == b"x"
    assert bucket.delete_prefix(key.split("/")[0] + "/") == (1 if "/" in key else 0)


def test_a_missing_key_is_said_to_be_missing(bucket, tmp_path):
    """Every way of reading says so, and none leaves a file."""
    with pytest.raises(KeyMissing):
        bucket.get("nothing")
    with pytest.raises(KeyMissing):
        bucket.get("nothing", offset=3, length=4)
    with pytest.raises(KeyMissing):
        bucket.get_versioned("nothing")
    with pytest.raises(KeyMissing):
        next(bucket.stream("nothing"))
    with pytest.raises(KeyMissing):
        bucket.get_file("nothing", tmp_path / "file")
    with pytest.raises(KeyMissing):
        bucket.copy("nothing", "something")
    assert bucket.stat("nothing") is None
    assert list(tmp_path.iterdir()) == []


def test_deleting_twice_is_no_error(bucket):
    """A retried delete succeeds."""
    bucket.put("key", b"x")

    bucket.delete("key")
    bucket.delete("key")

    assert bucket.stat("key") is None


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        pytest.param(0, 3, b"012", id="from the start"),
        pytest.param(4, 3, b"456", id="inside"),
        pytest.param(7, None, b"789", id="to the end"),
        pytest.param(8, 5, b"89", id="beyond the end"),
        pytest.param(10, 5, b"", id="behind the end"),
        pytest.param(2, 0, b"", id="nothing"),
    ],
)
def test_a_range_is_read(bucket, offset, length, expected):
    """As from a file: less is returned where the object ends sooner."""
    bucket.put("digits", b"0123456789")

    assert bucket.get("digits", offset=offset, length=length) == expected
    assert b"".join(bucket.stream("digits", offset=offset, length=length)) == expected


def test_an_unchanged_object_is_not_sent_again(bucket):
    """Polling costs no content."""
    first = bucket.put("key", b"one")

    assert bucket.get_versioned("key", unless_etag=first) is None

    second = bucket.put("key", b"two")

    assert bucket.get_versioned("key", unless_etag=first) == (b"two", second)


def test_one_of_sixteen_writers_makes_an_absent_object(bucket):
    """If-absent has one winner, and the object is the winner's."""

    def write(writer: int) -> bool:
        try:
            bucket.put("claim", f"writer {writer}".encode(), if_absent=True)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        won = list(threads.map(write, range(16)))

    assert won.count(True) == 1
    assert bucket.get("claim") == f"writer {won.index(True)}".encode()


def test_a_compare_and_swap_counter_counts(bucket):
    """No increment of 8 writers is lost."""
    bucket.put("counter", b"0")

    def increment(_: int) -> None:
        while True:
            content, etag = bucket.get_versioned("counter")
            try:
                bucket.put("counter", str(int(content) + 1).encode(), if_match=etag)
            except PreconditionFailed:
                continue
            return

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(increment, range(80)))

    assert bucket.get("counter") == b"80"


def test_a_condition_on_a_missing_object_fails(bucket):
    """Servers answer 404 or 412; we have one error for it."""
    with pytest.raises(PreconditionFailed):
        bucket.put("nothing", b"x", if_match="0" * 32)

    assert bucket.stat("nothing") is None


def test_a_failed_condition_leaves_the_object_alone(bucket):
    """Neither content nor ETag changes."""
    etag = bucket.put("key", b"old")

    with pytest.raises(PreconditionFailed):
        bucket.put("key", b"new", if_absent=True)
    with pytest.raises(PreconditionFailed):
        bucket.put("key", b"new", if_match="0" * 32)

    assert bucket.get_versioned("key") == (b"old", etag)


def test_a_folder_is_listed_in_key_order(bucket):
    """By bytes, in whatever order the objects were written."""
    keys = ["a/1", "a/10", "a/2", "a/B", "a/b", "a/b-c", "a/b.c", "a/bb", "a/é", "a/日"]
    for key in random.Random(0).sample(keys, len(keys)):
        bucket.put(key, b"x")

    assert [stat.key for stat in bucket.list("a/")] == sorted(keys, key=str.encode)
    assert [stat.key for stat in bucket.list("a/1")] == ["a/1", "a/10"]


def test_a_list_reaches_into_folders(bucket):
    """A prefix finds everything below it, at any depth, once."""
    keys = {"a", "b/1", "b-c", "b.c", "bb", "c/d/e", "c/f", "c/d.e/g"}
    for key in keys:
        bucket.put(key, b"x")

    listed = [stat.key for stat in bucket.list("")]

    assert len(listed) == len(keys)
    assert set(listed) == keys
    assert {stat.key for stat in bucket.list("c/")} == {"c/d/e", "c/f", "c/d.e/g"}


def test_a_list_starts_behind_a_key_and_ends_at_a_limit(bucket):
    """What a page of a list is made of."""
    for number in range(10):
        bucket.put(f"page/{number}", b"x")

    def listed(**options: object) -> str:
        return "".join(stat.key[-1] for stat in bucket.list("page/", **options))

    assert listed(limit=3) == "012"
    assert listed(start_after="page/2", limit=3) == "345"
    assert listed(start_after="page/25") == "3456789"
    assert listed(start_after="page/9") == ""
    assert listed(limit=0) == ""


def test_a_long_list_is_complete(bucket):
    """The server sends at most 1000 keys at once."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: bucket.put(f"many/{n:04}", b""), range(1203)))

    assert [stat.key for stat in bucket.list("many/")] == [f"many/{n:04}" for n in range(1203)]
    assert len(list(bucket.list("many/", limit=1100))) == 1100
    assert bucket.delete_prefix("many/") == 1203
    assert list(bucket.list("")) == []


def test_a_folder_is_deleted_and_its_neighbour_is_not(bucket):
    """`jobs/a` and `jobs/a1` start alike."""
    for key in ("jobs/a/1", "jobs/a/b/2", "jobs/a1/3"):
        bucket.put(key, b"x")

    assert bucket.delete_prefix("jobs/a/") == 2
    assert [stat.key for stat in bucket.list("")] == ["jobs/a1/3"]


@pytest.mark.parametrize("prefix", ["", "/", "jobs/a"])
def test_what_is_not_a_folder_is_not_deleted(bucket, prefix):
    """An empty variable must not empty the bucket."""
    with pytest.raises(ValueError, match="not a folder"):
        bucket.delete_prefix(prefix)


def test_a_file_goes_up_and_down(bucket, tmp_path):
    """In several parts; parent folders are made."""
    content = random.Random(0).randbytes(12 * MIB)
    (tmp_path / "up").write_bytes(content)

    bucket.put_file("file", tmp_path / "up")
    bucket.get_file("file", tmp_path / "new" / "down")

    assert (tmp_path / "new" / "down").read_bytes() == content
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["down"]


def test_an_object_is_copied(bucket):
    """On the server."""
    bucket.put("here", b"content")

    bucket.copy("here", "there")

    assert bucket.get("there") == b"content"


def test_streams_hold_little_in_memory(bucket):
    """100 MiB go up and down within 60 MiB: two parts of 16 MiB and what copies of them take."""
    size = 100 * MIB
    sent = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        for number in range(size // MIB):
            chunk = number.to_bytes(4, "big") * (MIB // 4)
            sent.update(chunk)
            yield chunk

    tracemalloc.start()
    written = bucket.put_stream("stream", chunks())
    received = hashlib.sha256()
    for chunk in bucket.stream("stream"):
        assert len(chunk) <= MIB
        received.update(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert written == size
    assert received.digest() == sent.digest()
    assert peak < 60 * MIB


@pytest.mark.parametrize("size", [0, 1, 16 * MIB, 16 * MIB + 1])
def test_a_stream_of_any_size_is_whole(bucket, size):
    """Around the size of a part."""
    chunks = (b"x" * min(MIB + 7, size - start) for start in range(0, size, MIB + 7))

    assert bucket.put_stream("stream", chunks) == size
    assert bucket.stat("stream").size == size


def test_nothing_is_kept_of_a_stream_that_breaks_off(bucket):
    """The error passes through."""

    def chunks() -> Iterator[bytes]:
        yield b"x" * (40 * MIB)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        bucket.put_stream("stream", chunks())

    assert list(bucket.list("")) == []


def test_many_threads_share_a_bucket(bucket):
    """Each reads what it wrote."""

    def write_and_read(number: int) -> bool:
        content = random.Random(number).randbytes(10_000)
        bucket.put(f"threads/{number}", content)
        return bucket.get(f"threads/{number}") == content

    with ThreadPoolExecutor(32) as threads:
        assert all(threads.map(write_and_read, range(200)))


def test_another_bucket_of_the_same_server(storage_settings):
    """`name` overrides that of the settings."""
    other = Bucket(storage_settings, f"{storage_settings.s3_bucket}-other")
    other.make()
    other.make()
    other.put("key", b"x")

    assert other.uri("key") == f"s3://{storage_settings.s3_bucket}-other/key"
    assert list(Bucket(storage_settings).list("")) == []
