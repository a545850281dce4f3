"""How `PipelineService` sets pipelines up, over a real channel."""

import asyncio

import grpc
import pytest

from common.catalog import splitting, uses
from common.names import parse
from common.storage import resources
from nocode.vision.v1 import pipeline_pb2 as pb

from .calls import PARENT, create, failure, keys


async def test_a_pipeline_is_created_as_sent_with_the_fractions_in_force(service, add_dataset):
    """The name sent is ignored, output-only fields are the server's, settings stay as sent."""
    dataset = add_dataset()

    made = await create(
        service,
        dataset,
        pipeline_id="my-pipeline",
        name="ignored",
        display_name="D" * 200,
        training_config=pb.TrainingConfig(epoch_count=3),
        split_config=pb.SplitConfig(seed=7),
        model="ignored",
        latest_job="ignored",
    )

    assert made.name == f"{PARENT}/pipelines/my-pipeline"
    assert made.display_name == "D" * 200
    assert made.training_config == pb.TrainingConfig(epoch_count=3)
    assert made.split_config == pb.SplitConfig(
        train_fraction=0.7, val_fraction=0.15, test_fraction=0.15, seed=7
    )
    assert not made.model
    assert not made.latest_job
    assert made.HasField("create_time")
    assert made == await service.pipelines.GetPipeline(pb.GetPipelineRequest(name=made.name))


async def test_the_server_chooses_an_id_if_none_is_sent(service, add_dataset):
    """Twice the same request without a request id makes two pipelines."""
    dataset = add_dataset()

    first, second = await create(service, dataset), await create(service, dataset)

    assert first.name != second.name
    assert parse(first.name, "pipelines").id.startswith("pipeline-")


@pytest.mark.parametrize(
    ("fields", "code", "reason", "field"),
    [
        pytest.param(
            {"dataset": f"{PARENT}/datasets/none"},
            grpc.StatusCode.NOT_FOUND,
            "RESOURCE_NOT_FOUND",
            "pipeline.dataset",
            id="no such data set",
        ),
        pytest.param(
            {"dataset": ""},
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_REQUIRED",
            "pipeline.dataset",
            id="no data set",
        ),
        pytest.param(
            {"dataset": "tasks/detection/datasets/digits"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_NOT_ALLOWED",
            "pipeline.dataset",
            id="data set of another task",
        ),
        pytest.param(
            {"architecture": "resnet19"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "ARCHITECTURE_UNKNOWN",
            "pipeline.architecture",
            id="no such architecture",
        ),
        pytest.param(
            {"architecture": ""},
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_REQUIRED",
            "pipeline.architecture",
            id="no architecture",
        ),
        pytest.param(
            {"display_name": "D" * 201},
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_TOO_LONG",
            "pipeline.display_name",
            id="long display name",
        ),
        pytest.param(
            {"training_config": pb.TrainingConfig(epoch_count=1001)},
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_OUT_OF_RANGE",
            "pipeline.training_config.epoch_count",
            id="setting out of range",
        ),
        pytest.param(
            {"training_config": pb.TrainingConfig(image_size_px=100)},
            grpc.StatusCode.INVALID_ARGUMENT,
            "IMAGE_SIZE_NOT_A_MULTIPLE",
            "pipeline.training_config.image_size_px",
            id="image size",
        ),
        pytest.param(
            {"split_config": pb.SplitConfig(train_fraction=0.5)},
            grpc.StatusCode.INVALID_ARGUMENT,
            "SPLIT_INVALID",
            "pipeline.split_config.train_fraction",
            id="fractions",
        ),
        pytest.param(
            {"split_config": pb.SplitConfig(group_by="column:patient")},
            grpc.StatusCode.INVALID_ARGUMENT,
            "SPLIT_INVALID",
            "pipeline.split_config.group_by",
            id="group_by",
        ),
        pytest.param(
            {"pipeline_id": "Not-An-Id"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "NAME_INVALID",
            "pipeline_id",
            id="id",
        ),
        pytest.param(
            {"request_id": "r" * 129},
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_TOO_LONG",
            "request_id",
            id="long request id",
        ),
        pytest.param(
            {"parent": "tasks/detection"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "TASK_UNKNOWN",
            "parent",
            id="task of another service",
        ),
        pytest.param(
            {"parent": "tasks/-"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "NAME_INVALID",
            "parent",
            id="all tasks",
        ),
    ],
)
async def test_a_refused_pipeline_leaves_nothing(
    service, add_dataset, bucket, fields, code, reason, field
):
    """The error names the field by its path in the request."""
    dataset = add_dataset()
    before = keys(bucket)

    failed = await failure(create(service, **{"dataset": dataset} | fields))

    assert (failed.code, failed.reason, failed.field) == (code, reason, field)
    assert keys(bucket) == before


async def test_a_request_without_a_pipeline_is_refused(service):
    """There is nothing to create."""
    failed = await failure(
        service.pipelines.CreatePipeline(pb.CreatePipelineRequest(parent=PARENT))
    )

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (failed.reason, failed.field) == ("FIELD_REQUIRED", "pipeline")


async def test_too_few_images_are_refused(service, add_dataset, bucket):
    """A pipeline that could not be trained or measured is not made."""
    dataset = add_dataset(labels=(0, 1))
    before = keys(bucket)

    failed = await failure(create(service, dataset))

    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SPLIT_INVALID")
    assert keys(bucket) == before


async def test_a_taken_id_is_refused(service, add_dataset):
    """Even if everything else is the same."""
    dataset = add_dataset()
    await create(service, dataset, pipeline_id="p")

    failed = await failure(create(service, dataset, pipeline_id="p"))

    assert (failed.code, failed.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RESOURCE_EXISTS")
    assert failed.field == "pipeline_id"


@pytest.mark.parametrize("pipeline_id", ["", "p"])
async def test_a_retry_returns_the_pipeline_made_the_first_time(
    service, add_dataset, bucket, pipeline_id
):
    """The same request id and content; chosen ids included."""
    dataset = add_dataset()
    first = await create(service, dataset, pipeline_id=pipeline_id, request_id="once")
    before = keys(bucket)

    again = await create(service, dataset, pipeline_id=pipeline_id, request_id="once")

    assert again == first
    assert first.request_id == "once"
    assert keys(bucket) == before


async def test_a_request_id_used_for_something_else_is_refused(service, add_dataset):
    """A retry that asks for something else is no retry."""
    dataset = add_dataset()
    await create(service, dataset, request_id="once")

    failed = await failure(create(service, dataset, request_id="once", architecture="resnet18"))

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (failed.reason, failed.field) == ("REQUEST_ID_REUSED", "request_id")


async def test_of_requests_for_one_id_one_wins_with_its_own_split(service, add_dataset, bucket):
    """Eight at once, all different: one pipeline, its split, and its data set marked, are left."""
    datasets = [add_dataset(f"d{index}") for index in range(8)]

    outcomes = await asyncio.gather(
        *(
            create(service, dataset, pipeline_id="p", split_config=pb.SplitConfig(seed=index + 1))
            for index, dataset in enumerate(datasets)
        ),
        return_exceptions=True,
    )

    (winner,) = (outcome for outcome in outcomes if isinstance(outcome, pb.Pipeline))
    split = await service.pipelines.GetSplits(pb.GetSplitsRequest(name=winner.name))
    assert split.random_seed == winner.split_config.seed
    assert split.dataset_path == bucket.uri(f"{winner.dataset}/")
    assert [key for key in keys(bucket) if "/used_by/" in key] == [f"{winner.dataset}/used_by/p"]
    codes = {outcome.code() for outcome in outcomes if outcome is not winner}
    assert codes <= {grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.ABORTED}


async def test_a_crash_before_the_last_write_leaves_nothing_visible(service, add_dataset, bucket):
    """Split and mark without a pipeline are no pipeline, and a retry goes on from there."""
    dataset = add_dataset()
    made = await create(service, dataset, pipeline_id="p", request_id="once")
    bucket.delete(f"{made.name}/pipeline.json")

    failed = await failure(service.pipelines.GetPipeline(pb.GetPipelineRequest(name=made.name)))
    listed = await service.pipelines.ListPipelines(pb.ListPipelinesRequest(parent=PARENT))
    assert failed.code is grpc.StatusCode.NOT_FOUND
    assert not listed.pipelines

    again = await create(service, dataset, pipeline_id="p", request_id="once")
    assert again.name == made.name
    listed = await service.pipelines.ListPipelines(pb.ListPipelinesRequest(parent=PARENT))
    assert list(listed.pipelines) == [again]


async def test_what_a_crash_left_long_ago_is_taken_over(service, add_dataset, bucket, monkeypatch):
    """The split of a dead request blocks its name, and its mark the data set, for a while only."""
    dataset = add_dataset()
    made = await create(service, dataset, pipeline_id="p")
    bucket.delete(f"{made.name}/pipeline.json")
    other = {"pipeline_id": "p", "split_config": pb.SplitConfig(seed=9)}
    owner = parse(dataset, "datasets")

    assert (await failure(create(service, dataset, **other))).code is grpc.StatusCode.ABORTED
    assert [str(name) for name in uses.users(bucket, owner)] == [made.name]

    monkeypatch.setattr(splitting, "ABANDONED", -splitting.ABANDONED)
    assert not list(uses.users(bucket, owner))
    await create(service, dataset, **other)
    split = await service.pipelines.GetSplits(pb.GetSplitsRequest(name=made.name))
    assert split.random_seed == 9
    assert [str(name) for name in uses.users(bucket, owner)] == [made.name]


async def test_a_data_set_deleted_in_the_meantime_takes_the_pipeline_with_it(
    service, add_dataset, bucket, monkeypatch
):
    """The mark came too late to keep the data set, so nothing is left that counts on it."""
    dataset = add_dataset()
    before = [key for key in keys(bucket) if "dataset" not in key]

    def mark_late(bucket, dataset, pipeline):
        resources.datasets(bucket).delete(dataset)
        mark(bucket, dataset, pipeline)

    mark = uses.mark
    monkeypatch.setattr(uses, "mark", mark_late)

    failed = await failure(create(service, dataset))

    assert failed.code is grpc.StatusCode.NOT_FOUND
    assert failed.field == "pipeline.dataset"
    assert [key for key in keys(bucket) if "dataset" not in key] == before
    assert not any("used_by" in key or "splits" in key for key in keys(bucket))
