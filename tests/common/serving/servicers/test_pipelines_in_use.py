"""What becomes of pipelines once they are set up: lists, splits, training, deletion."""

import json

import grpc
import pytest
import torchvision

from common.jobs import states
from common.names import parse
from nocode.vision.v1 import job_pb2, model_pb2
from nocode.vision.v1 import pipeline_pb2 as pb

from .calls import PARENT, create, failure, keys
from .conftest import QUEUE_SIZE


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
