"""`ExportDataset`, `ListFormats` and imports that only validate, on a real S3 server."""

import grpc
import pytest

from common.errors import Exhausted
from common.jobs import states
from common.reasons import Reason
from nocode.vision.v1 import dataset_pb2 as pb
from nocode.vision.v1 import job_pb2
from tests.common.catalog.calls import PARENT, end, refusal


async def test_an_export_is_queued(stub, make):
    """In the first format of the task, unless another is named."""
    name = make("pets")

    job = await stub.ExportDataset(pb.ExportDatasetRequest(name=name))

    assert (job.kind, job.state) == (job_pb2.Job.KIND_EXPORT, states.QUEUED)
    assert job.export_spec == job_pb2.ExportSpec(dataset=name, format="image_folder")


def test_a_retry_is_answered_even_if_the_data_set_is_gone(make, datasets, jobs):
    name = make("pets")
    first = datasets.export(name, "", "a")
    end(jobs, first, states.SUCCEEDED)
    datasets.delete(name)

    assert datasets.export(name, "", "a").name == first.name
    assert refusal(datasets.export, name, "", "b").reason == Reason.RESOURCE_NOT_FOUND


@pytest.mark.parametrize(
    ("name", "format_", "reason", "field"),
    [
        ("tasks/classification/datasets/pets", "coco", Reason.FIELD_NOT_A_CHOICE, "format"),
        ("tasks/classification/datasets/none", "", Reason.RESOURCE_NOT_FOUND, ""),
        ("tasks/classification/models/pets", "", Reason.NAME_INVALID, "name"),
        ("tasks/detection/datasets/pets", "", Reason.TASK_UNKNOWN, "name"),
    ],
)
def test_refused_exports(name, format_, reason, field, make, datasets):
    make("pets")

    error = refusal(datasets.export, name, format_, "")

    assert (error.reason, error.field or "") == (reason, field)


def test_a_data_set_stays_while_it_is_exported(make, datasets, jobs):
    """The job is named."""
    name = make("pets")
    job = datasets.export(name, "", "")

    error = refusal(datasets.delete, name)

    assert error.reason == Reason.DATASET_IN_USE
    assert job.name in error.message
    end(jobs, job, states.SUCCEEDED)
    datasets.delete(name)


async def test_formats_are_listed(stub):
    first = await stub.ListFormats(pb.ListFormatsRequest(parent=PARENT, page_size=1))
    rest = await stub.ListFormats(
        pb.ListFormatsRequest(parent=PARENT, page_token=first.next_page_token)
    )

    assert [one.name for one in first.formats] == ["image_folder"]
    assert "csv" in [one.name for one in rest.formats]
    assert not rest.next_page_token
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListFormats(pb.ListFormatsRequest(parent="tasks/detection"))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_what_only_validates_takes_no_id(ask, make, bucket):
    """So that the import itself can follow at once; one that is taken is refused."""
    job = ask(dataset_id="pets", validate_only=True, label_mapping={"a": "b"})

    assert job.import_spec.validate_only
    assert dict(job.import_spec.label_mapping) == {"a": "b"}
    assert not list(bucket.list("tasks/classification/datasets/"))
    make("pets")
    assert refusal(ask, dataset_id="pets", validate_only=True).reason == Reason.RESOURCE_EXISTS


def test_a_full_queue_frees_no_id_of_others(ask, bucket):
    """What only validates has none to free."""
    ask(dataset_id="pets")
    ask()
    ask()

    with pytest.raises(Exhausted):
        ask(dataset_id="pets", validate_only=True)

    assert bucket.get("tasks/classification/datasets/pets/reserved")


def test_a_mapping_is_checked_at_once(ask, bucket):
    error = refusal(ask, dataset_id="pets", label_mapping={"a": "x" * 201})

    assert (error.reason, error.field) == (Reason.FIELD_TOO_LONG, "label_mapping")
    assert not list(bucket.list("tasks/"))
