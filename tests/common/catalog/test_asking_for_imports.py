"""`Datasets.import_`, on a real S3 server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from common.catalog import splitting
from common.errors import AlreadyExists
from common.jobs import states
from common.reasons import Reason
from nocode.vision.v1 import job_pb2
from tests.common.catalog.calls import end, refusal

SHA256 = "0" * 64


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
        ({"void_index": 0}, "OPTION_UNSUPPORTED", "void_index"),
        ({"source": {}}, "FIELD_REQUIRED", "source"),
        (
            {"source": {"hugging_face": {"path": "a/b/c"}}},
            "NAME_INVALID",
            "source.hugging_face.path",
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
    bucket.put(f"uploads/{SHA256}", b"PK")
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


def test_an_id_reserved_for_a_job_that_was_never_made(ask, bucket, monkeypatch):
    """The process died in between: the next one may have it, once that is certain."""
    key = "tasks/classification/datasets/pets/reserved"
    bucket.put(key, b"tasks/classification/jobs/job-none")
    assert refusal(ask, dataset_id="pets").reason == Reason.RESOURCE_EXISTS

    monkeypatch.setattr(splitting, "ABANDONED", -splitting.ABANDONED)
    job = ask(dataset_id="pets")

    assert bucket.get(key).decode() == job.name


def test_an_id_reserved_for_a_job_that_is_just_being_made(ask, jobs, monkeypatch):
    """The second to ask is told so, and the first has its job."""
    create = jobs.create

    def ask_again_and_create(*args, **values):
        monkeypatch.setattr(jobs, "create", create)
        error = refusal(ask, dataset_id="pets")
        assert (error.reason, error.field) == (Reason.RESOURCE_EXISTS, "dataset_id")
        return create(*args, **values)

    monkeypatch.setattr(jobs, "create", ask_again_and_create)

    assert ask(dataset_id="pets").state == states.QUEUED


def test_one_of_eight_who_ask_for_an_id_at_once_has_it(ask):
    def try_it(_: int) -> bool:
        try:
            ask(dataset_id="pets")
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(try_it, range(8)))

    assert won.count(True) == 1
