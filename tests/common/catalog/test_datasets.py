"""`Datasets` and `DatasetService`, over a real channel and a real S3 server."""

import asyncio
import errno
import hashlib
import tempfile
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry

from common.catalog import datasets as catalog
from common.catalog.datasets import Datasets
from common.errors import DomainError
from common.jobs import states
from common.jobs.store import Jobs
from common.reasons import Reason
from common.rpc import handlers
from common.rpc.metrics import ServerMetrics
from common.serving.servicers.datasets import DatasetServicer
from common.settings import ServiceSettings
from common.storage import resources
from nocode.vision.v1 import dataset_pb2 as pb
from nocode.vision.v1 import dataset_pb2_grpc, job_pb2
from services.classification.task import ClassificationTask

PARENT = "tasks/classification"
ARCHIVE = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
MIB = 1024**2


@pytest.fixture
def settings(storage_settings, tmp_path) -> ServiceSettings:
    return ServiceSettings(
        **storage_settings.model_dump(), work_dir=tmp_path, max_archive_bytes=6_000_000
    )


@pytest.fixture
def jobs(bucket) -> Jobs:
    return Jobs(bucket, queue_size=3)


@pytest.fixture
def datasets(bucket, settings, jobs) -> Datasets:
    return Datasets(bucket, settings, [ClassificationTask()], jobs)


@pytest.fixture
def archive(bucket) -> str:
    """The address of an object that could be an archive."""
    bucket.put("archives/a.zip", b"PK")
    return bucket.uri("archives/a.zip")


@pytest.fixture
def ask(datasets, archive):
    """Ask for an import."""

    def ask(**fields) -> job_pb2.Job:
        fields = {"parent": PARENT, "source": {"uri": archive}} | fields
        return datasets.import_(pb.ImportDatasetRequest(**fields))

    return ask


@pytest.fixture
def make(bucket, jobs, ask):
    """Do what a successful import does, in short."""

    def make(dataset_id: str) -> str:
        job = ask(dataset_id=dataset_id)
        name = job.import_spec.dataset
        bucket.put(f"{name}/manifest.jsonl", b"")
        bucket.put(f"{name}/shards/00000.tar", b"")
        resources.datasets(bucket).create(name, pb.Dataset(name=name, job=job.name))
        end(jobs, job, states.SUCCEEDED)
        return name

    return make


def end(jobs: Jobs, job: job_pb2.Job, state: job_pb2.Job.State.ValueType) -> None:
    def change(stored: job_pb2.Job) -> None:
        states.move(stored, states.RUNNING)
        states.move(stored, state)

    jobs.change(job.name, change)
    jobs.forget(job)


def refusal(call, *args, **values) -> DomainError:
    with pytest.raises(DomainError) as caught:
        call(*args, **values)
    assert caught.value.message.endswith(".")
    return caught.value


# Uploads.


@pytest.fixture
async def address(datasets):
    """A real server."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers.register(server, [DatasetServicer(datasets)], ServerMetrics(CollectorRegistry()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def stub(address):
    """A client on a real channel."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield dataset_pb2_grpc.DatasetServiceStub(channel)


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


# Asking for an import.


def test_import_queues_a_job(ask, archive):
    """At once, with all that it needs."""
    job = ask(dataset_id="pets", format="csv", display_name="Our pets")

    assert job.kind == job_pb2.Job.KIND_IMPORT
    assert job.state == states.QUEUED
    assert job.import_spec == job_pb2.ImportSpec(
        dataset="tasks/classification/datasets/pets",
        source={"uri": archive},
        format="csv",
        display_name="Our pets",
    )


def test_ids_are_chosen_by_the_server_if_need_be(ask):
    """Each its own."""
    names = {ask().import_spec.dataset for _ in range(2)}

    assert len(names) == 2
    assert all(name.startswith("tasks/classification/datasets/dataset-") for name in names)


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"parent": ""}, "FIELD_REQUIRED", "parent"),
        ({"parent": "tasks/detection"}, "TASK_UNKNOWN", "parent"),
        ({"parent": "tasks/-"}, "NAME_INVALID", "parent"),
        ({"dataset_id": "Pets"}, "NAME_INVALID", "dataset_id"),
        ({"display_name": "x" * 201}, "FIELD_TOO_LONG", "display_name"),
        ({"request_id": "x" * 129}, "FIELD_TOO_LONG", "request_id"),
        ({"format": "coco"}, "FORMAT_UNKNOWN", "format"),
        ({"source": {}}, "FIELD_REQUIRED", "source"),
        (
            {"source": {"hugging_face": {"path": "a/b"}}},
            "SOURCE_UNSUPPORTED",
            "source.hugging_face",
        ),
        ({"source": {"upload": "uploads/x"}}, "NAME_INVALID", "source.upload"),
        ({"source": {"upload": f"uploads/{SHA256}"}}, "UPLOAD_NOT_FOUND", "source.upload"),
        ({"source": {"uri": "http://x/y"}}, "URI_INVALID", "source.uri"),
        ({"source": {"uri": "s3://elsewhere/y"}}, "BUCKET_NOT_ALLOWED", "source.uri"),
    ],
)
def test_refused_at_once(fields, reason, field, ask, bucket):
    """No job is made, no id taken."""
    error = refusal(ask, dataset_id=fields.pop("dataset_id", "pets"), **fields)

    assert (error.reason, error.field) == (Reason[reason], field)
    assert not list(bucket.list("tasks/"))


def test_refused_at_once_for_what_lies_there(ask, bucket, archive):
    """The object is looked at, not read."""
    state = bucket.uri("tasks/classification/jobs/j/job.json")
    assert refusal(ask, source={"uri": state}).reason == Reason.BUCKET_NOT_ALLOWED
    missing = bucket.uri("archives/b.zip")
    assert refusal(ask, source={"uri": missing}).reason == Reason.OBJECT_NOT_FOUND
    announced = {"uri": archive, "sha256": "abc"}
    assert refusal(ask, source=announced).field == "source.sha256"
    bucket.put("archives/a.zip", bytes(6_000_001))
    assert refusal(ask).reason == Reason.ARCHIVE_TOO_LARGE


def test_idempotent_in_request_id(ask, datasets, bucket):
    """A retry gets the first job, even when the upload is imported and gone; nothing else does."""
    bucket.put(f"uploads/{SHA256}", ARCHIVE)
    source = {"upload": f"uploads/{SHA256}"}
    first = ask(request_id="a", source=source)
    bucket.delete(f"uploads/{SHA256}")

    assert ask(request_id="a", source=source).name == first.name
    error = refusal(ask, request_id="a", source=source, display_name="other")
    assert error.reason == Reason.REQUEST_ID_REUSED


def test_an_id_is_taken_from_the_moment_it_is_asked_for(ask, make):
    """By an import under way, and by what it makes."""
    ask(dataset_id="pets")
    error = refusal(ask, dataset_id="pets")
    assert (error.reason, error.field) == (Reason.RESOURCE_EXISTS, "dataset_id")
    assert "is being imported by tasks/classification/jobs/" in error.message

    make("cars")
    assert "exists already" in refusal(ask, dataset_id="cars").message


@pytest.mark.parametrize("state", [states.FAILED, states.CANCELLED])
def test_an_id_is_free_when_its_import_has_failed(state, ask, jobs):
    """Even before what it left is cleaned up."""
    job = ask(dataset_id="pets")
    if state == states.CANCELLED:
        jobs.change(job.name, lambda stored: states.move(stored, states.CANCELLED))
    else:
        end(jobs, job, state)

    assert ask(dataset_id="pets").name != job.name


def test_a_full_queue_takes_no_id(ask, bucket):
    for _ in range(3):
        ask()

    assert refusal(ask, dataset_id="pets").reason == Reason.QUEUE_FULL
    assert bucket.stat("tasks/classification/datasets/pets/reserved") is None


def test_an_id_reserved_for_a_job_that_was_never_made(ask, bucket):
    """The process died in between: the next one may have it."""
    key = "tasks/classification/datasets/pets/reserved"
    bucket.put(key, b"tasks/classification/jobs/job-none")

    job = ask(dataset_id="pets")

    assert bucket.get(key).decode() == job.name


# Reading and deleting.


async def test_get_list_delete(stub, make, bucket):
    """Newest first; what is deleted is gone with all its images."""
    names = [make(f"d{number}") for number in range(3)]

    assert (await stub.GetDataset(pb.GetDatasetRequest(name=names[0]))).name == names[0]
    page = await stub.ListDatasets(pb.ListDatasetsRequest(parent=PARENT, page_size=2))
    assert [dataset.name for dataset in page.datasets] == [names[2], names[1]]
    page = await stub.ListDatasets(
        pb.ListDatasetsRequest(parent=PARENT, page_token=page.next_page_token)
    )
    assert [dataset.name for dataset in page.datasets] == [names[0]]
    assert not page.next_page_token

    await stub.DeleteDataset(pb.DeleteDatasetRequest(name=names[1]))

    page = await stub.ListDatasets(pb.ListDatasetsRequest(parent="tasks/-"))
    assert [dataset.name for dataset in page.datasets] == [names[2], names[0]]
    assert not list(bucket.list(f"{names[1]}/"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.DeleteDataset(pb.DeleteDatasetRequest(name=names[1]))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_import_over_the_wire(stub, archive):
    job = await stub.ImportDataset(pb.ImportDatasetRequest(parent=PARENT, source={"uri": archive}))

    assert job.state == states.QUEUED


def test_a_deleted_id_may_be_used_again(make, datasets, ask):
    datasets.delete(make("pets"))

    assert ask(dataset_id="pets").state == states.QUEUED


def test_a_data_set_in_use_stays(make, datasets, bucket):
    """The pipelines are named."""
    name = make("pets")
    for number in range(7):
        bucket.put(f"{name}/used_by/p{number}", b"")

    error = refusal(datasets.delete, name)

    assert error.reason == Reason.DATASET_IN_USE
    assert "tasks/classification/pipelines/p0, " in error.message
    assert "p4 and others" in error.message
    assert datasets.get(name).name == name
    assert bucket.stat(f"{name}/shards/00000.tar") is not None


def test_a_pipeline_made_during_the_deletion_wins(make, datasets, bucket, monkeypatch):
    """It left its mark before the data set went, so the data set comes back as it was."""
    name = make("pets")
    before = datasets.get(name)
    delete = bucket.delete

    def mark_and_delete(key):
        if key.endswith("/dataset.json"):
            bucket.put(f"{name}/used_by/p", b"")
        delete(key)

    monkeypatch.setattr(bucket, "delete", mark_and_delete)

    assert refusal(datasets.delete, name).reason == Reason.DATASET_IN_USE
    assert datasets.get(name) == before
    assert [d.name for d in datasets.list(PARENT, 0, "")[0]] == [name]
    assert bucket.stat(f"{name}/shards/00000.tar") is not None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "FIELD_REQUIRED"),
        ("tasks/classification/jobs/x", "NAME_INVALID"),
        ("tasks/detection/datasets/x", "TASK_UNKNOWN"),
        ("tasks/classification/datasets/x", "RESOURCE_NOT_FOUND"),
    ],
)
@pytest.mark.parametrize("method", ["get", "delete"])
def test_names_that_are_none(method, name, reason, datasets):
    assert refusal(getattr(datasets, method), name).reason == Reason[reason]


def test_chunk_limit_is_the_documented_one():
    assert catalog.MAX_CHUNK_BYTES == MIB
