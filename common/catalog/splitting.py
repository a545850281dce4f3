"""The split of a pipeline: made from the data set, kept beside the pipeline, read by all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from common.data import splits
from common.data.manifest import read_chunks
from common.errors import AlreadyExists, Conflict, NotFound
from common.reasons import Reason
from common.storage import resources
from common.storage.bucket import KeyMissing, PreconditionFailed

if TYPE_CHECKING:
    from common.names import ResourceName
    from common.storage.bucket import Bucket
    from common.task import Task
    from nocode.vision.v1 import dataset_pb2, model_pb2, pipeline_pb2

ABANDONED = timedelta(minutes=10)
"""What was written for a pipeline that is not there is older only if whoever wrote it has died."""


def key_of(pipeline: str) -> str:
    """Return where a pipeline's split is kept."""
    return f"{pipeline}/dataset_splits.json"


def make(
    bucket: Bucket,
    task: Task,
    dataset: dataset_pb2.Dataset,
    config: pipeline_pb2.SplitConfig,
    *,
    prefix: str,
) -> pipeline_pb2.Splits:
    """Split a data set as `common.data.splits.split` does; reads its manifest piece by piece.

    Raises:
        InvalidInput: The data cannot be split so.
        NotFound: The data set has just been deleted.
    """
    try:
        images = splits.Images.collect(
            read_chunks(bucket.stream(f"{dataset.name}/manifest.jsonl")),
            task.classes_of,
            config.group_by,
            weighted=task.counted == "pixel_count",
            field=f"{prefix}group_by",
        )
    except (KeyMissing, PreconditionFailed):
        raise NotFound(
            Reason.RESOURCE_NOT_FOUND,
            f"pipeline.dataset is {dataset.name}, which has just been deleted.",
            field="pipeline.dataset",
            name=dataset.name,
        ) from None
    return splits.split(
        images,
        config,
        classes=dataset.classes,
        dataset_path=bucket.uri(f"{dataset.name}/"),
        prefix=prefix,
    )


def keep(bucket: Bucket, pipeline: ResourceName, split: pipeline_pb2.Splits) -> None:
    """Write the split of a pipeline to be, which claims its name; never over another's.

    Raises:
        AlreadyExists: The pipeline is there.
        Conflict: Somebody else is about to create a pipeline of the same name.
    """
    key, data = key_of(str(pipeline)), splits.to_json(split)
    try:
        bucket.put(key, data, if_absent=True)
    except PreconditionFailed:
        stat = bucket.stat(key)
    else:
        return
    try:
        if bucket.get(key) == data:
            return  # of an equal request, which was cut short or runs beside this one
    except KeyMissing:
        stat = None  # its pipeline is being deleted
    if resources.pipelines(bucket).exists(str(pipeline)):
        raise taken(pipeline)
    if stat and stat.last_modified and datetime.now(UTC) - stat.last_modified > ABANDONED:
        try:
            bucket.put(key, data, if_match=stat.etag)
        except PreconditionFailed:
            pass
        else:
            return
    raise Conflict(
        Reason.RESOURCE_CHANGED,
        f"Another request is about to create {pipeline}. Try again in a few minutes, or send "
        "another pipeline_id.",
        field="pipeline_id",
        name=pipeline,
    )


def taken(pipeline: ResourceName) -> AlreadyExists:
    """Return the error of a name that is taken."""
    return AlreadyExists(
        Reason.RESOURCE_EXISTS,
        f"{pipeline} exists. Send another pipeline_id, or none to have one chosen.",
        field="pipeline_id",
        name=pipeline,
    )


def read(bucket: Bucket, pipeline: str) -> pipeline_pb2.Splits:
    """Return a pipeline's split.

    Raises:
        NotFound: There is no such pipeline.
    """
    try:
        return splits.from_json(bucket.get(key_of(pipeline)))
    except KeyMissing:
        raise NotFound(
            Reason.RESOURCE_NOT_FOUND, f"{pipeline} does not exist.", name=pipeline
        ) from None


def of_model(bucket: Bucket, model: model_pb2.Model) -> pipeline_pb2.Splits:
    """Return the split that a model was trained with.

    A newer pipeline of the same name has another split: its test images may have been the
    model's training images, so it does not count.

    Raises:
        NotFound: The model's pipeline has been deleted.
    """
    try:
        pipeline = resources.pipelines(bucket).get(model.pipeline)
        if pipeline.create_time.ToNanoseconds() <= model.create_time.ToNanoseconds():
            return read(bucket, model.pipeline)
    except NotFound:
        pass
    raise NotFound(
        Reason.RESOURCE_NOT_FOUND,
        f"{model.pipeline}, which held the split of {model.name}, has been deleted. Evaluate on a "
        "data set instead.",
        name=model.pipeline,
    )
