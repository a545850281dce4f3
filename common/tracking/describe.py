"""What is told of a job: parameters, tags and metrics, made of our own messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor

from common import names
from common.tracking.pages import PIPELINE_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from nocode.vision.v1 import evaluation_pb2, model_pb2
    from nocode.vision.v1 import job_pb2 as pb

JOB_TAG = "nocode.job"
"""The tag by which the next attempt at a job finds the run of the one before."""

_NUMBERS = {
    FieldDescriptor.CPPTYPE_DOUBLE,
    FieldDescriptor.CPPTYPE_FLOAT,
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
}


def tags_of_training(job: pb.Job, dataset: str, architecture: str) -> dict[str, str]:
    """Say what a TRAIN job's run is about, in names of resources."""
    spec = job.train_spec
    return {
        PIPELINE_TAG: spec.pipeline,
        "nocode.model": spec.model,
        "nocode.dataset": dataset,
        "nocode.architecture": architecture,
        "mlflow.runName": f"train {spec.pipeline.rpartition('/')[2]}",
    }


def tags_of_evaluation(job: pb.Job, model: model_pb2.Model) -> dict[str, str]:
    """The same for an EVALUATE job's."""
    spec = job.evaluate_spec
    model_id = names.parse(model.name, "models").id
    return {
        PIPELINE_TAG: model.pipeline,
        "nocode.model": model.name,
        "nocode.dataset": spec.dataset,
        "nocode.architecture": model.architecture,
        "mlflow.runName": f"evaluate {model_id} on {spec.subset or spec.dataset}",
    }


def fields(message: Message) -> dict[str, str]:
    """Return all plain fields of a message, those at their default included, as text."""
    return {
        field.name: str(getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.is_repeated and field.message_type is None
    }


def metrics(evaluation: evaluation_pb2.Evaluation) -> dict[str, float]:
    """Return an evaluation's numbers by subset and field, e.g. `test/macro.f1`.

    Those of single classes are left out, as there may be thousands; they are in the file.
    """
    kind = evaluation.WhichOneof("metrics")
    if kind is None:
        return {}
    prefix = f"{evaluation.subset or 'all'}/"
    return {prefix + name: value for name, value in _numbers(getattr(evaluation, kind))}


def _numbers(message: Message) -> Iterator[tuple[str, float]]:
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            continue
        value = getattr(message, field.name)
        if field.message_type is not None:
            for name, number in _numbers(value) if message.HasField(field.name) else ():
                yield f"{field.name}.{name}", number
        elif field.cpp_type in _NUMBERS:
            yield field.name, float(value)
