"""Splits of pipelines whose data set, or whose namesake, goes away just then."""

import pytest

from common.catalog import splitting
from common.errors import Conflict, NotFound
from common.names import parse
from common.storage.bucket import PreconditionFailed
from nocode.vision.v1 import dataset_pb2, pipeline_pb2
from services.classification.task import ClassificationTask

PIPELINE = parse("tasks/classification/pipelines/p")
DATASET = dataset_pb2.Dataset(name="tasks/classification/datasets/d", classes=["a", "b"])


def make(bucket):
    config = pipeline_pb2.SplitConfig()
    return splitting.make(
        bucket, ClassificationTask(), DATASET, config, prefix="pipeline.split_config."
    )


def replaced(*_args):
    """Read an object that somebody replaces when the connection has just broken."""
    yield b""
    raise PreconditionFailed


@pytest.mark.parametrize("stream", [None, replaced], ids=["deleted", "deleted and made anew"])
def test_a_data_set_that_is_deleted_while_it_is_split(stream, bucket, monkeypatch):
    """The request is told, as if it had come a moment later."""
    if stream:
        monkeypatch.setattr(bucket, "stream", stream)

    with pytest.raises(NotFound, match="has just been deleted") as caught:
        make(bucket)

    assert caught.value.field == "pipeline.dataset"
    assert caught.value.details["name"] == DATASET.name


def test_a_pipeline_that_is_deleted_while_another_takes_its_name(bucket, monkeypatch):
    """Its split was there a moment ago: to try again makes sense."""
    bucket.put(splitting.key_of(str(PIPELINE)), b"{}")
    stat = bucket.stat

    def stat_and_delete(key):
        found = stat(key)
        bucket.delete(key)
        return found

    monkeypatch.setattr(bucket, "stat", stat_and_delete)

    with pytest.raises(Conflict):
        splitting.keep(bucket, PIPELINE, pipeline_pb2.Splits())

    monkeypatch.undo()
    splitting.keep(bucket, PIPELINE, pipeline_pb2.Splits())
