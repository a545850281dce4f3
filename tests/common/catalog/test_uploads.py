"""`DatasetService.UploadArchive`, over a real channel and a real S3 server."""

import asyncio
import errno
import hashlib
import tempfile
from pathlib import Path

import grpc
import pytest

from common.catalog import datasets as catalog
from common.data import sources
from common.errors import StorageUnavailable
from common.reasons import Reason
from nocode.vision.v1 import dataset_pb2 as pb
from nocode.vision.v1 import dataset_pb2_grpc
from tests.common.catalog.calls import PARENT

ARCHIVE = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
MIB = 1024**2


def pieces(content: bytes = ARCHIVE, size: int = MIB, **first) -> list[pb.UploadArchiveRequest]:
    chunks = [content[i : i + size] for i in range(0, len(content), size)]
    requests = [pb.UploadArchiveRequest(chunk=chunk) for chunk in chunks] or [
        pb.UploadArchiveRequest()
    ]
    requests[0].MergeFrom(pb.UploadArchiveRequest(**{"parent": PARENT} | first))
    return requests


def left_behind(bucket, settings) -> list[str]:
    """What a failed upload has left, in the bucket and on disk."""
    folder: Path = settings.work_dir / "uploads"
    files = [str(path) for path in folder.iterdir()] if folder.exists() else []
    return [stat.key for stat in bucket.list("")] + files


@pytest.mark.parametrize("sha256", ["", SHA256, SHA256.upper()])
@pytest.mark.parametrize("size", [70_000, MIB])
async def test_upload(sha256, size, stub, bucket, settings):
    """What is sent is kept under its own SHA-256."""
    answer = await stub.UploadArchive(iter(pieces(size=size, sha256=sha256)))

    assert answer == pb.UploadArchiveResponse(
        upload=f"uploads/{SHA256}", sha256=SHA256, size_bytes=len(ARCHIVE)
    )
    assert bucket.get(answer.upload) == ARCHIVE
    assert left_behind(bucket, settings) == [answer.upload]


async def test_first_message_need_not_have_a_chunk(stub, bucket):
    requests = [pb.UploadArchiveRequest(parent=PARENT), *pieces(parent="")]

    answer = await stub.UploadArchive(iter(requests))

    assert answer.sha256 == SHA256


async def test_the_same_upload_twice_is_one_object(stub, bucket, settings):
    for _ in range(2):
        await stub.UploadArchive(iter(pieces()))

    assert left_behind(bucket, settings) == [f"uploads/{SHA256}"]


DAY_S = 86_400.0


@pytest.fixture
def ages(monkeypatch):
    """The age of each upload, by its key; one that is not here is new."""
    ages = {}
    monkeypatch.setattr(sources, "_age_s", lambda stat: ages.get(stat.key, 0.0))
    return ages


async def test_an_upload_makes_away_with_old_ones_that_no_import_needs(stub, ask, bucket, ages):
    """They would be there for ever: their import has failed, or was never asked for."""
    old, waiting, younger = (f"uploads/{digit * 64}" for digit in "abc")
    for key in (old, waiting, younger):
        bucket.put(key, b"PK")
    ages |= {old: 7.1 * DAY_S, waiting: 7.1 * DAY_S, younger: 6.9 * DAY_S}
    ask(source={"upload": waiting})

    new = (await stub.UploadArchive(iter(pieces()))).upload

    assert {stat.key for stat in bucket.list("uploads/")} == {waiting, younger, new}


@pytest.mark.parametrize(("age_s", "times"), [(0.0, 0), (3.4 * DAY_S, 0), (3.6 * DAY_S, 1)])
async def test_what_is_uploaded_again_is_kept_for_days_again(
    age_s, times, stub, bucket, ages, monkeypatch
):
    """It is stored again only if its time has come near."""
    key = (await stub.UploadArchive(iter(pieces()))).upload
    ages[key] = age_s
    stored = []
    put_stream = bucket.put_stream

    def store(key, chunks):
        stored.append(key)
        return put_stream(key, chunks)

    monkeypatch.setattr(bucket, "put_stream", store)

    await stub.UploadArchive(iter(pieces()))

    assert stored == [key] * times
    assert bucket.get(key) == ARCHIVE


def test_age_is_that_in_the_bucket(bucket, jobs):
    bucket.put("uploads/x", b"PK")

    sources.sweep(bucket, jobs, keep_s=600.0)
    assert bucket.stat("uploads/x") is not None
    sources.sweep(bucket, jobs, keep_s=-600.0)
    assert bucket.stat("uploads/x") is None


async def test_an_upload_is_kept_though_old_ones_cannot_be_deleted(stub, bucket, monkeypatch):
    """That can wait."""

    def fail(*_args, **_values):
        raise StorageUnavailable(Reason.STORAGE_UNAVAILABLE, "Gone.")

    monkeypatch.setattr(bucket, "list", fail)

    key = (await stub.UploadArchive(iter(pieces()))).upload

    assert bucket.get(key) == ARCHIVE


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        (pieces(sha256="0" * 64), "CHECKSUM_MISMATCH"),
        (pieces(sha256="xyz"), "CHECKSUM_MISMATCH"),
        (pieces(bytes(6_000_001)), "ARCHIVE_TOO_LARGE"),
        (pieces(bytes(2 * MIB), size=MIB + 1), "FIELD_OUT_OF_RANGE"),
        (pieces(b""), "FIELD_REQUIRED"),
        ([], "FIELD_REQUIRED"),
        (pieces(parent=""), "FIELD_REQUIRED"),
        (pieces(parent="tasks/detection"), "TASK_UNKNOWN"),
        (pieces(parent="tasks/-"), "NAME_INVALID"),
    ],
)
async def test_refused_uploads_leave_nothing(requests, reason, address, bucket, settings):
    def send() -> None:
        # grpc.aio's client at times loses the status of a call that ends while it still sends.
        with grpc.insecure_channel(address) as channel:
            dataset_pb2_grpc.DatasetServiceStub(channel).UploadArchive(iter(requests))

    with pytest.raises(grpc.RpcError) as caught:
        await asyncio.to_thread(send)

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason.encode() in dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert left_behind(bucket, settings) == []


async def test_a_full_disk_is_said_in_words(stub, bucket, settings, monkeypatch):
    """A retry makes sense."""

    def fail(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UploadArchive(iter(pieces(b"PK")))

    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "NOCODE_WORK_DIR" in caught.value.details()
    assert left_behind(bucket, settings) == []


async def test_a_broken_stream_leaves_nothing(stub, bucket, settings):
    """The client goes away in the middle."""
    arrived = asyncio.Event()

    async def requests():
        yield pieces()[0]
        arrived.set()
        await asyncio.Event().wait()

    call = stub.UploadArchive(requests())
    await arrived.wait()
    folder = settings.work_dir / "uploads"
    await eventually(folder.exists)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    await eventually(lambda: open_files(folder) == 0)
    assert left_behind(bucket, settings) == []


def open_files(folder: Path) -> int:
    """Files of this process, which is the server too, that lie in a folder without a name."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            count += str(link.readlink()).startswith(str(folder))
        except FileNotFoundError:
            continue
    return count


async def eventually(condition, deadline_s: float = 20.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - a file does not say when it is closed
            await asyncio.sleep(0.01)


def test_chunk_limit_is_the_documented_one():
    assert catalog.MAX_CHUNK_BYTES == MIB
