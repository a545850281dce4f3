"""What the contract promises of `ModelService`, over a real channel."""

import grpc
import pytest

from common.catalog.models import resolve_model
from common.errors import WrongState
from common.jobs import states
from common.names import parse
from nocode.vision.v1 import job_pb2, pipeline_pb2
from nocode.vision.v1 import model_pb2 as pb

from .calls import failure
from .conftest import QUEUE_SIZE

PARENT = "tasks/classification"


async def pipeline_of(service, name):
    return await service.pipelines.GetPipeline(pipeline_pb2.GetPipelineRequest(name=name))


# GetModel, ListModels.


async def test_a_model_is_returned_and_noted_by_its_pipeline(service, trained):
    """What a training has left can be had by its own name."""
    pipeline, model = await trained()

    got = await service.models.GetModel(pb.GetModelRequest(name=model))

    assert (got.name, got.pipeline) == (model, pipeline)
    assert list(got.classes) == ["zero", "one", "two"]
    assert (await pipeline_of(service, pipeline)).model == model


async def test_models_are_listed_newest_first_in_pages(service, trained):
    """All of them, each once; `tasks/-` lists all tasks."""
    made = [(await trained(f"p{index}"))[1] for index in range(5)]

    listed, token = [], ""
    while token or not listed:
        response = await service.models.ListModels(
            pb.ListModelsRequest(parent=PARENT, page_size=2, page_token=token)
        )
        assert 0 < len(response.models) <= 2
        listed += [model.name for model in response.models]
        token = response.next_page_token

    everything = await service.models.ListModels(pb.ListModelsRequest(parent="tasks/-"))
    assert listed == made[::-1] == [model.name for model in everything.models]


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        ({"parent": PARENT, "page_size": -1}, "FIELD_OUT_OF_RANGE", "page_size"),
        ({"parent": PARENT, "page_token": "nonsense"}, "PAGE_TOKEN_INVALID", "page_token"),
        ({"parent": "tasks/detection"}, "TASK_UNKNOWN", "parent"),
        ({"parent": ""}, "FIELD_REQUIRED", "parent"),
    ],
)
async def test_a_list_refuses_what_is_no_page(service, request_, reason, field):
    """The error names the field."""
    failed = await failure(service.models.ListModels(pb.ListModelsRequest(**request_)))

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (failed.reason, failed.field) == (reason, field)


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        (f"{PARENT}/models/none", grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"),
        (f"{PARENT}/datasets/none", grpc.StatusCode.INVALID_ARGUMENT, "NAME_INVALID"),
        ("tasks/detection/models/m", grpc.StatusCode.INVALID_ARGUMENT, "TASK_UNKNOWN"),
        ("", grpc.StatusCode.INVALID_ARGUMENT, "FIELD_REQUIRED"),
    ],
)
async def test_what_names_no_model_is_refused(service, name, code, reason):
    """By every method that takes the name of one."""
    for call in (
        service.models.GetModel(pb.GetModelRequest(name=name)),
        service.models.DeleteModel(pb.DeleteModelRequest(name=name)),
        service.models.Evaluate(pb.EvaluateRequest(name=name)),
        service.models.ExportModel(pb.ExportModelRequest(name=name)),
    ):
        failed = await failure(call)

        assert (failed.code, failed.reason) == (code, reason)


# DeleteModel.


async def test_a_deleted_model_is_gone_with_weights_and_exports(service, trained, bucket):
    """Its pipeline has none until it is trained again."""
    pipeline, model = await trained()
    bucket.put(f"{model}/exports/model.onnx", b"onnx")

    await service.models.DeleteModel(pb.DeleteModelRequest(name=model))

    failed = await failure(service.models.GetModel(pb.GetModelRequest(name=model)))
    assert failed.code is grpc.StatusCode.NOT_FOUND
    assert not (await service.models.ListModels(pb.ListModelsRequest(parent=PARENT))).models
    assert not [stat.key for stat in bucket.list("") if model in stat.key]
    assert not (await pipeline_of(service, pipeline)).model
    failed = await failure(service.models.Evaluate(pb.EvaluateRequest(name=pipeline)))
    assert failed.reason == "PIPELINE_NOT_TRAINED"


async def test_deleting_an_older_model_leaves_the_pipeline_its_latest(
    service, add_pipeline, add_model
):
    """Only the model that is deleted is forgotten."""
    pipeline = await add_pipeline()
    models = []
    for _ in range(2):
        job = await service.pipelines.Train(pipeline_pb2.TrainRequest(name=pipeline.name))
        models.append(add_model(pipeline, job).name)

    await service.models.DeleteModel(pb.DeleteModelRequest(name=models[0]))

    assert (await pipeline_of(service, pipeline.name)).model == models[1]


async def test_a_model_outlives_its_pipeline_and_can_be_deleted(service, trained):
    """There is no pipeline left that could forget it."""
    pipeline, model = await trained()
    await service.pipelines.DeletePipeline(pipeline_pb2.DeletePipelineRequest(name=pipeline))

    await service.models.DeleteModel(pb.DeleteModelRequest(name=model))

    failed = await failure(service.models.GetModel(pb.GetModelRequest(name=model)))
    assert failed.code is grpc.StatusCode.NOT_FOUND


# Evaluate.


@pytest.mark.parametrize("by", ["model", "pipeline"])
@pytest.mark.parametrize(
    ("sent", "measured"), [("", "test"), ("test", "test"), ("val", "val"), ("train", "train")]
)
async def test_a_model_is_measured_on_a_side_of_its_split(service, trained, by, sent, measured):
    """On test unless told otherwise; the job says on what."""
    pipeline, model = await trained()
    name = model if by == "model" else pipeline

    job = await service.models.Evaluate(pb.EvaluateRequest(name=name, subset=sent))

    assert job.state == states.QUEUED
    assert job.kind == job_pb2.Job.KIND_EVALUATE
    dataset = (await pipeline_of(service, pipeline)).dataset
    assert job.evaluate_spec == job_pb2.EvaluateSpec(model=model, subset=measured, dataset=dataset)


async def test_a_model_is_measured_on_all_images_of_another_data_set(service, trained, add_dataset):
    """One class in common, by name, is enough to begin with."""
    _, model = await trained()
    other = add_dataset("other", labels=(0, 1), classes=("nine", "two"))

    job = await service.models.Evaluate(pb.EvaluateRequest(name=model, dataset=other))

    assert job.evaluate_spec == job_pb2.EvaluateSpec(model=model, dataset=other)


async def test_a_data_set_without_a_class_of_the_model_is_refused(service, trained, add_dataset):
    """The message shows both lists."""
    _, model = await trained()
    other = add_dataset("other", labels=(0, 1), classes=("cat", "dog"))

    failed = await failure(service.models.Evaluate(pb.EvaluateRequest(name=model, dataset=other)))

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (failed.reason, failed.field) == ("CLASSES_DIFFER", "dataset")
    assert "cat, dog" in failed.message
    assert "zero, one, two" in failed.message


@pytest.mark.parametrize(
    ("fields", "code", "reason", "field"),
    [
        pytest.param(
            {"subset": "holdout"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_NOT_A_CHOICE",
            "subset",
            id="no such subset",
        ),
        pytest.param(
            {"subset": "test", "dataset": f"{PARENT}/datasets/of-p"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_NOT_ALLOWED",
            "subset",
            id="subset of another data set",
        ),
        pytest.param(
            {"dataset": f"{PARENT}/datasets/none"},
            grpc.StatusCode.NOT_FOUND,
            "RESOURCE_NOT_FOUND",
            "dataset",
            id="no such data set",
        ),
        pytest.param(
            {"dataset": "tasks/detection/datasets/d"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_NOT_ALLOWED",
            "dataset",
            id="data set of another task",
        ),
        pytest.param(
            {"dataset": "digits"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "NAME_INVALID",
            "dataset",
            id="no name of a data set",
        ),
        pytest.param(
            {"request_id": "r" * 129},
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_TOO_LONG",
            "request_id",
            id="long request id",
        ),
    ],
)
async def test_what_cannot_be_measured_on_is_refused(
    service, trained, bucket, fields, code, reason, field
):
    """No job is queued; the error names the field."""
    _, model = await trained()
    before = [stat.key for stat in bucket.list("")]

    failed = await failure(service.models.Evaluate(pb.EvaluateRequest(name=model, **fields)))

    assert (failed.code, failed.reason, failed.field) == (code, reason, field)
    assert [stat.key for stat in bucket.list("")] == before


async def test_a_side_without_images_is_refused(service, trained):
    """A pipeline may have been split without a test part."""
    split_config = pipeline_pb2.SplitConfig(train_fraction=0.8, val_fraction=0.2)
    _, model = await trained(split_config=split_config)

    failed = await failure(service.models.Evaluate(pb.EvaluateRequest(name=model)))

    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SPLIT_INVALID",
    )
    assert failed.field == "subset"


async def test_a_model_whose_split_was_deleted_is_measured_on_data_sets_alone(
    service, trained, add_dataset
):
    """A newer pipeline of the same name has another split, which does not count."""
    pipeline, model = await trained("p")
    await service.pipelines.DeletePipeline(pipeline_pb2.DeletePipelineRequest(name=pipeline))
    other = add_dataset("other")

    gone = await failure(service.models.Evaluate(pb.EvaluateRequest(name=model)))
    await service.pipelines.CreatePipeline(
        pipeline_pb2.CreatePipelineRequest(
            parent=PARENT,
            pipeline=pipeline_pb2.Pipeline(architecture="resnet18", dataset=other),
            pipeline_id="p",
        )
    )
    replaced = await failure(service.models.Evaluate(pb.EvaluateRequest(name=model)))

    for failed in (gone, replaced):
        assert failed.code is grpc.StatusCode.NOT_FOUND
        assert "Evaluate on a data set instead" in failed.message
    await service.models.Evaluate(pb.EvaluateRequest(name=model, dataset=other))


# ExportModel.


@pytest.mark.parametrize(
    ("sent", "written"), [("", "onnx"), ("onnx", "onnx"), ("safetensors", "safetensors")]
)
async def test_an_export_is_queued(service, trained, sent, written):
    """ONNX unless told otherwise; of a pipeline, its model."""
    pipeline, model = await trained()

    job = await service.models.ExportModel(pb.ExportModelRequest(name=pipeline, format=sent))

    assert job.state == states.QUEUED
    assert job.kind == job_pb2.Job.KIND_EXPORT
    assert job.export_spec == job_pb2.ExportSpec(model=model, format=written)


async def test_an_unknown_export_format_is_refused(service, trained):
    """The message lists those there are."""
    _, model = await trained()

    failed = await failure(
        service.models.ExportModel(pb.ExportModelRequest(name=model, format="pickle"))
    )

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (failed.reason, failed.field) == ("FIELD_NOT_A_CHOICE", "format")
    assert "onnx, safetensors" in failed.message


# Both.


def evaluate(service, **fields):
    return service.models.Evaluate(pb.EvaluateRequest(**fields))


def export(service, **fields):
    return service.models.ExportModel(pb.ExportModelRequest(**fields))


@pytest.mark.parametrize("ask", [evaluate, export])
async def test_a_pipeline_without_a_model_is_refused(service, add_pipeline, bucket, ask):
    """It was never trained with success."""
    pipeline = await add_pipeline()

    failed = await failure(ask(service, name=pipeline.name))

    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "PIPELINE_NOT_TRAINED",
    )
    with pytest.raises(WrongState):
        resolve_model(bucket, parse(pipeline.name))


@pytest.mark.parametrize("ask", [evaluate, export])
async def test_a_retry_returns_the_first_job_though_the_pipeline_has_a_newer_model(
    service, trained, add_model, ask
):
    """A retry asks for what was asked for; a new request for the model of now."""
    pipeline, model = await trained()
    first = await ask(service, name=pipeline, request_id="once")
    job = await service.pipelines.Train(pipeline_pb2.TrainRequest(name=pipeline))
    newer = add_model(await pipeline_of(service, pipeline), job).name

    again = await ask(service, name=pipeline, request_id="once")
    other = await ask(service, name=pipeline, request_id="two")

    assert again == first
    spec = first.WhichOneof("spec")
    assert getattr(first, spec).model == model
    assert getattr(other, spec).model == newer


@pytest.mark.parametrize(
    ("ask", "fields"), [(evaluate, {"subset": "val"}), (export, {"format": "safetensors"})]
)
async def test_a_request_id_used_for_something_else_is_refused(service, trained, ask, fields):
    """A retry that asks for something else is no retry."""
    _, model = await trained()
    await ask(service, name=model, request_id="once")

    failed = await failure(ask(service, name=model, request_id="once", **fields))

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (failed.reason, failed.field) == ("REQUEST_ID_REUSED", "request_id")


@pytest.mark.parametrize("ask", [evaluate, export])
async def test_a_full_queue_is_said(service, trained, ask):
    """As for every job."""
    _, model = await trained()
    for index in range(QUEUE_SIZE):
        await ask(service, name=model, request_id=str(index))

    failed = await failure(ask(service, name=model))

    assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")


# GetTrackingUrl.


@pytest.mark.parametrize(
    "name", [PARENT, f"{PARENT}/pipelines/p", f"{PARENT}/models/m", f"{PARENT}/jobs/j"]
)
async def test_without_a_tracking_server_there_is_no_url(service, name):
    """Of whatever may be asked for."""
    failed = await failure(service.models.GetTrackingUrl(pb.GetTrackingUrlRequest(name=name)))

    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "TRACKING_OFF",
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (f"{PARENT}/datasets/d", "NAME_INVALID"),
        ("tasks/cooking", "TASK_UNKNOWN"),
        ("", "FIELD_REQUIRED"),
    ],
)
async def test_a_tracking_url_of_nothing_known_is_refused(service, name, reason):
    """The error names the field."""
    failed = await failure(service.models.GetTrackingUrl(pb.GetTrackingUrlRequest(name=name)))

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (failed.reason, failed.field) == (reason, "name")
