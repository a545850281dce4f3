"""Data sets read and deleted, directly and over a real channel, on a real S3 server."""

import grpc
import pytest

from common.errors import StorageUnavailable
from common.jobs import states
from common.reasons import Reason
from nocode.vision.v1 import dataset_pb2 as pb
from nocode.vision.v1 import job_pb2
from tests.common.catalog.calls import PARENT, end, refusal


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
    assert bucket.get(f"{name}/reserved").decode() == before.job


def test_a_data_set_that_is_being_evaluated_on_stays(make, datasets, jobs):
    """Until the evaluation has ended; those of other data sets do not matter."""
    name, other = make("pets"), make("cars")
    model = "tasks/classification/models/m"
    evaluations = [
        jobs.create(
            jobs.name_for(job_pb2.Job.KIND_EVALUATE, model, ""),
            job_pb2.EvaluateSpec(model=model, dataset=dataset),
        )
        for dataset in (name, other)
    ]

    error = refusal(datasets.delete, name)

    assert error.reason == Reason.DATASET_IN_USE
    assert error.details["jobs"] == evaluations[0].name
    assert datasets.get(name).name == name
    end(jobs, evaluations[0], states.FAILED)
    datasets.delete(name)
    assert refusal(datasets.get, name).reason == Reason.RESOURCE_NOT_FOUND


# Deleting beside others, and what they can do to each other.


def during(monkeypatch, bucket, folder: str, act) -> None:
    """Do something at the one moment when a deletion has just removed a folder."""
    delete_prefix = bucket.delete_prefix

    def delete_and_act(prefix):
        count = delete_prefix(prefix)
        if prefix.endswith(f"/{folder}/"):
            monkeypatch.setattr(bucket, "delete_prefix", delete_prefix)
            act()
        return count

    monkeypatch.setattr(bucket, "delete_prefix", delete_and_act)


def fail() -> None:
    raise StorageUnavailable(Reason.STORAGE_UNAVAILABLE, "Gone.")


@pytest.mark.parametrize("folder", ["shards", "used_by"])
def test_a_deletion_that_was_cut_short_goes_on(folder, make, datasets, bucket, ask, monkeypatch):
    """The id is not free before nothing is left."""
    name = make("pets")
    during(monkeypatch, bucket, folder, fail)
    with pytest.raises(StorageUnavailable):
        datasets.delete(name)

    assert refusal(datasets.get, name).reason == Reason.RESOURCE_NOT_FOUND
    error = refusal(ask, dataset_id="pets")
    assert error.reason == Reason.RESOURCE_EXISTS
    assert "delete it again" in error.message

    datasets.delete(name)
    assert not list(bucket.list(f"{name}/"))
    assert refusal(datasets.delete, name).reason == Reason.RESOURCE_NOT_FOUND
    assert ask(dataset_id="pets").state == states.QUEUED


def test_no_import_begins_during_a_deletion(make, datasets, bucket, ask, monkeypatch):
    """What it wrote would be deleted."""
    name = make("pets")
    refusals = []
    during(monkeypatch, bucket, "shards", lambda: refusals.append(refusal(ask, dataset_id="pets")))

    datasets.delete(name)

    assert [error.reason for error in refusals] == [Reason.RESOURCE_EXISTS]
    assert not list(bucket.list(f"{name}/"))


def test_a_deletion_takes_nothing_from_an_import_that_came_after_another(
    make, datasets, bucket, ask, monkeypatch
):
    """A client was impatient and deleted twice; the second was faster."""
    name = make("pets")
    imports = []

    def delete_and_import() -> None:
        datasets.delete(name)
        imports.append(ask(dataset_id="pets").name)
        bucket.put(f"{name}/manifest.jsonl", b"")

    during(monkeypatch, bucket, "shards", delete_and_import)

    datasets.delete(name)

    assert bucket.get(f"{name}/reserved").decode() == imports[0]
    assert bucket.stat(f"{name}/manifest.jsonl") is not None


def test_an_import_under_way_is_not_deleted(ask, datasets, bucket):
    """There is no data set yet."""
    name = ask(dataset_id="pets").import_spec.dataset

    assert refusal(datasets.delete, name).reason == Reason.RESOURCE_NOT_FOUND
    assert bucket.stat(f"{name}/reserved") is not None


# Names.


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
