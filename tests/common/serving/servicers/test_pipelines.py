"""What the contract promises of `PipelineService`, over a real channel."""

import asyncio
import json

import grpc
import pytest
import torchvision

from common.catalog import splitting, uses
from common.jobs import states
from common.names import parse
from common.storage import resources
from nocode.vision.v1 import job_pb2, model_pb2
from nocode.vision.v1 import pipeline_pb2 as pb
from services.classification.task import ClassificationTask

from .calls import failure
from .conftest import QUEUE_SIZE

PARENT = "tasks/classification"
ARCHITECTURES = [
    "resnet18",
    "resnet50",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "vgg16",
]


def keys(bucket):
    return [stat.key for stat in bucket.list("")]


def create(service, dataset, *, parent=PARENT, pipeline_id="", request_id="", **fields):
    pipeline = pb.Pipeline(**{"architecture": "mobilenet_v3_small", "dataset": dataset} | fields)
    return service.pipelines.CreatePipeline(
        pb.CreatePipelineRequest(
            parent=parent, pipeline=pipeline, pipeline_id=pipeline_id, request_id=request_id
        )
    )


# ListArchitectures.


@pytest.mark.parametrize("parent", [PARENT, "tasks/-"])
async def test_architectures_are_listed_with_recipe_and_settings(service, parent):
    """Each says all that is needed to choose it and to set it up."""
    response = await service.pipelines.ListArchitectures(pb.ListArchitecturesRequest(parent=parent))

    assert sorted(a.name for a in response.architectures) == sorted(ARCHITECTURES)
    assert not response.next_page_token
    fields = [field.name for field in pb.TrainingConfig.DESCRIPTOR.fields]
    for architecture in response.architectures:
        assert architecture.task == PARENT
        assert architecture.display_name
        assert architecture.paper_uri.startswith("https://")
        assert architecture.parameter_count > 1_000_000
        assert architecture.parameter_count_class_count == 2
        assert architecture.pretrained_weights
        assert [setting.field for setting in architecture.settings] == fields
        for setting in architecture.settings:
            value = getattr(architecture.recipe, setting.field)
            default = setting.default_value
            assert value == (default.string_value or default.number_value)


async def test_architectures_are_listed_in_pages(service):
    """Every architecture is on one page, in the order in which we would try them."""
    listed, token = [], ""
    while token or not listed:
        response = await service.pipelines.ListArchitectures(
            pb.ListArchitecturesRequest(parent=PARENT, page_size=4, page_token=token)
        )
        assert 0 < len(response.architectures) <= 4
        listed += [architecture.name for architecture in response.architectures]
        token = response.next_page_token

    whole = await service.pipelines.ListArchitectures(
        pb.ListArchitecturesRequest(parent=PARENT, page_size=5000)
    )
    assert listed == [architecture.name for architecture in whole.architectures]
    assert listed == [entry.name for entry in ClassificationTask().learner().registry]


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        ({"parent": PARENT, "page_size": -1}, "FIELD_OUT_OF_RANGE", "page_size"),
        ({"parent": PARENT, "page_token": "nonsense"}, "PAGE_TOKEN_INVALID", "page_token"),
        ({"parent": "tasks/detection"}, "TASK_UNKNOWN", "parent"),
        ({"parent": "tasks/cooking"}, "TASK_UNKNOWN", "parent"),
        ({"parent": ""}, "FIELD_REQUIRED", "parent"),
        ({"parent": "pipelines"}, "NAME_INVALID", "parent"),
    ],
)
async def test_lists_refuse_what_is_no_page(service, request_, reason, field):
    """Architectures and pipelines alike."""
    for call in (
        service.pipelines.ListArchitectures(pb.ListArchitecturesRequest(**request_)),
        service.pipelines.ListPipelines(pb.ListPipelinesRequest(**request_)),
    ):
        failed = await failure(call)

        assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (failed.reason, failed.field) == (reason, field)


async def test_a_page_token_is_bound_to_its_parent(service):
    """A token of `tasks/-` says nothing about another parent's pages."""
    response = await service.pipelines.ListArchitectures(
        pb.ListArchitecturesRequest(parent="tasks/-", page_size=1)
    )

    failed = await failure(
        service.pipelines.ListArchitectures(
            pb.ListArchitecturesRequest(parent=PARENT, page_token=response.next_page_token)
        )
    )

    assert failed.reason == "PAGE_TOKEN_INVALID"


# CreatePipeline.


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


# GetPipeline, ListPipelines.


async def test_pipelines_are_listed_newest_first_in_pages(service, add_dataset):
    """All of them, each once; `tasks/-` lists all tasks."""
    dataset = add_dataset()
    made = [await create(service, dataset, pipeline_id=f"p{index}") for index in range(5)]

    listed, token = [], ""
    while token or not listed:
        response = await service.pipelines.ListPipelines(
            pb.ListPipelinesRequest(parent=PARENT, page_size=2, page_token=token)
        )
        assert 0 < len(response.pipelines) <= 2
        listed += response.pipelines
        token = response.next_page_token

    everything = await service.pipelines.ListPipelines(pb.ListPipelinesRequest(parent="tasks/-"))
    assert listed == made[::-1] == list(everything.pipelines)


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        (f"{PARENT}/pipelines/none", grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"),
        (f"{PARENT}/models/none", grpc.StatusCode.INVALID_ARGUMENT, "NAME_INVALID"),
        ("tasks/detection/pipelines/p", grpc.StatusCode.INVALID_ARGUMENT, "TASK_UNKNOWN"),
        ("", grpc.StatusCode.INVALID_ARGUMENT, "FIELD_REQUIRED"),
    ],
)
async def test_what_names_no_pipeline_is_refused(service, name, code, reason):
    """By every method that takes the name of one."""
    for call in (
        service.pipelines.GetPipeline(pb.GetPipelineRequest(name=name)),
        service.pipelines.DeletePipeline(pb.DeletePipelineRequest(name=name)),
        service.pipelines.GetSplits(pb.GetSplitsRequest(name=name)),
        service.pipelines.Train(pb.TrainRequest(name=name)),
    ):
        failed = await failure(call)

        assert (failed.code, failed.reason) == (code, reason)


# GetSplits.


async def test_the_split_is_kept_as_json_and_returned(service, add_dataset, bucket):
    """The keys are those promised, and no image is on two sides."""
    made = await create(service, add_dataset(), split_config=pb.SplitConfig(seed=3))

    split = await service.pipelines.GetSplits(pb.GetSplitsRequest(name=made.name))

    content = json.loads(bucket.get(f"{made.name}/dataset_splits.json"))
    assert list(content)[:5] == ["train", "val", "test", "random_seed", "dataset_path"]
    for side in ("train", "val", "test"):
        assert content[side] == list(getattr(split, side))
    assert content["random_seed"] == split.random_seed == 3
    assert split.dataset_path == bucket.uri(f"{made.dataset}/") == content["dataset_path"]
    assert split.method == "stratified"
    assert sorted([*split.train, *split.val, *split.test]) == list(range(60))
    assert (len(split.train), len(split.val), len(split.test)) == (42, 9, 9)


async def test_a_split_says_what_it_could_not_do(service, add_dataset):
    """A class of a single image is in train alone."""
    made = await create(service, add_dataset(labels=(0, 1) * 20 + (2,)))

    split = await service.pipelines.GetSplits(pb.GetSplitsRequest(name=made.name))

    findings = {finding.id: list(finding.examples) for finding in split.findings}
    assert findings == {"CLASS_NOT_IN_VAL": ["two"], "CLASS_NOT_IN_TEST": ["two"]}


async def test_a_split_in_the_data_is_kept(service, add_dataset):
    """And a validation part that it lacks is taken from its train part."""
    sides = ["train"] * 50 + ["test"] * 10
    made = await create(service, add_dataset(split=sides))

    split = await service.pipelines.GetSplits(pb.GetSplitsRequest(name=made.name))

    assert list(split.test) == list(range(50, 60))
    assert sorted([*split.train, *split.val]) == list(range(50))
    assert split.method == "given+carved"


# Train.


async def test_training_is_queued_at_once_and_noted(service, add_pipeline):
    """The job says what it trains and what model it will leave."""
    pipeline = await add_pipeline()

    job = await service.pipelines.Train(pb.TrainRequest(name=pipeline.name))

    assert job.state == states.QUEUED
    assert job.kind == job_pb2.Job.KIND_TRAIN
    assert job.train_spec.pipeline == pipeline.name
    assert parse(job.train_spec.model, "models").task == "classification"
    noted = await service.pipelines.GetPipeline(pb.GetPipelineRequest(name=pipeline.name))
    assert noted.latest_job == job.name


async def test_a_retried_training_is_the_first_one(service, add_pipeline):
    """The same job with the same model to be; another request id is another training."""
    pipeline = await add_pipeline()

    first = await service.pipelines.Train(pb.TrainRequest(name=pipeline.name, request_id="once"))
    again = await service.pipelines.Train(pb.TrainRequest(name=pipeline.name, request_id="once"))
    other = await service.pipelines.Train(pb.TrainRequest(name=pipeline.name, request_id="two"))

    assert again == first
    assert first.request_id == "once"
    assert other.name != first.name
    assert other.train_spec.model != first.train_spec.model


async def test_a_late_retry_does_not_turn_back_the_latest_job(service, add_pipeline):
    """The last training is the one that was asked for last."""
    pipeline = await add_pipeline()
    await service.pipelines.Train(pb.TrainRequest(name=pipeline.name, request_id="once"))
    last = await service.pipelines.Train(pb.TrainRequest(name=pipeline.name))

    await service.pipelines.Train(pb.TrainRequest(name=pipeline.name, request_id="once"))

    noted = await service.pipelines.GetPipeline(pb.GetPipelineRequest(name=pipeline.name))
    assert noted.latest_job == last.name


async def test_a_full_queue_is_said_with_when_to_try_again(service, add_pipeline):
    """A retry of what is queued already is answered all the same."""
    pipeline = await add_pipeline()
    for index in range(QUEUE_SIZE):
        await service.pipelines.Train(pb.TrainRequest(name=pipeline.name, request_id=str(index)))

    failed = await failure(service.pipelines.Train(pb.TrainRequest(name=pipeline.name)))
    again = await service.pipelines.Train(pb.TrainRequest(name=pipeline.name, request_id="0"))

    assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert again.request_id == "0"


async def test_required_weights_that_cannot_be_had_fail_at_once(service, add_pipeline, bucket):
    """No job is queued; once the weights are mirrored in the bucket, one is."""
    pipeline = await add_pipeline(training_config=pb.TrainingConfig(pretrained="required"))

    failed = await failure(service.pipelines.Train(pb.TrainRequest(name=pipeline.name)))

    assert failed.code is grpc.StatusCode.FAILED_PRECONDITION
    assert failed.reason == "PRETRAINED_UNAVAILABLE"
    assert not any("/jobs/" in key for key in keys(bucket))

    weights = torchvision.models.get_weight("MobileNet_V3_Small_Weights.IMAGENET1K_V1")
    bucket.put(f"weights/{weights.url.rpartition('/')[2]}", b"weights")
    job = await service.pipelines.Train(pb.TrainRequest(name=pipeline.name))
    assert job.state == states.QUEUED


# DeletePipeline.


async def test_a_deleted_pipeline_is_gone_and_its_models_stay(service, trained, bucket):
    """Pipeline, split and mark are gone; the model is as it was."""
    pipeline, model = await trained()

    await service.pipelines.DeletePipeline(pb.DeletePipelineRequest(name=pipeline))

    for call in (
        service.pipelines.GetPipeline(pb.GetPipelineRequest(name=pipeline)),
        service.pipelines.GetSplits(pb.GetSplitsRequest(name=pipeline)),
    ):
        assert (await failure(call)).code is grpc.StatusCode.NOT_FOUND
    assert not any("/pipelines/" in key or "/used_by/" in key for key in keys(bucket))
    kept = await service.models.GetModel(model_pb2.GetModelRequest(name=model))
    assert kept.pipeline == pipeline


async def test_a_pipeline_at_work_is_not_deleted(service, add_pipeline, jobs, end):
    """Any training of it that has not ended counts, not the latest alone."""
    pipeline = await add_pipeline()
    first = await service.pipelines.Train(pb.TrainRequest(name=pipeline.name))
    second = await service.pipelines.Train(pb.TrainRequest(name=pipeline.name))
    jobs.cancel(parse(second.name, "jobs"))

    failed = await failure(
        service.pipelines.DeletePipeline(pb.DeletePipelineRequest(name=pipeline.name))
    )

    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "PIPELINE_BUSY",
    )
    assert failed.metadata["job"] == first.name
    await service.pipelines.GetPipeline(pb.GetPipelineRequest(name=pipeline.name))

    end(first, states.FAILED)
    await service.pipelines.DeletePipeline(pb.DeletePipelineRequest(name=pipeline.name))


async def test_a_pipeline_whose_model_is_measured_is_not_deleted(service, trained, jobs):
    """The evaluation needs the split; work on other pipelines does not count."""
    pipeline, model = await trained("p")
    other, _ = await trained("q")
    job = await service.models.Evaluate(model_pb2.EvaluateRequest(name=model))

    failed = await failure(
        service.pipelines.DeletePipeline(pb.DeletePipelineRequest(name=pipeline))
    )
    await service.pipelines.DeletePipeline(pb.DeletePipelineRequest(name=other))

    assert failed.reason == "PIPELINE_BUSY"
    jobs.cancel(parse(job.name, "jobs"))
    await service.pipelines.DeletePipeline(pb.DeletePipelineRequest(name=pipeline))


async def test_a_deleted_id_can_be_used_again(service, add_pipeline, add_dataset):
    """With another data set and split."""
    pipeline = await add_pipeline("p")
    await service.pipelines.DeletePipeline(pb.DeletePipelineRequest(name=pipeline.name))

    again = await create(
        service, add_dataset("other"), pipeline_id="p", split_config=pb.SplitConfig(seed=5)
    )

    split = await service.pipelines.GetSplits(pb.GetSplitsRequest(name=again.name))
    assert split.random_seed == 5
