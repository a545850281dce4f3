"""Splits of pipelines whose data set, or whose namesake, goes away just then."""

import pytest

from common.catalog import splitting
from common.data import splits
from common.data.manifest import Entry, write_line
from common.errors import Conflict, NotFound
from common.names import parse
from common.storage.bucket import PreconditionFailed
from nocode.vision.v1 import dataset_pb2, pipeline_pb2
from services.classification.task import ClassificationTask
from services.segmentation.semantic.task import SemanticTask

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


def test_sides_have_their_share_of_pixels_where_pixels_have_classes(bucket):
    """All images show both classes, four of twenty nearly all there is of one."""
    name = "tasks/semantic-segmentation/datasets/d"
    entries = [
        Entry(
            *(f"{number}.png", "00000.tar", 0, 1, f"{number:064}", 10, 10),
            annotation={"labels": [0, 1], "pixels": [900, 100 if number < 4 else 1], "void": 0},
        )
        for number in range(20)
    ]
    bucket.put(f"{name}/manifest.jsonl", b"".join(map(write_line, entries)))
    task = SemanticTask()
    config = pipeline_pb2.SplitConfig(train_fraction=0.5, val_fraction=0.25, test_fraction=0.25)
    dataset = dataset_pb2.Dataset(name=name, classes=["sky", "kite"])

    made = splitting.make(bucket, task, dataset, config, prefix="")

    rare = [sum(index < 4 for index in side) for side in (made.train, made.val, made.test)]
    assert rare == [2, 1, 1]
    unweighted = splits.Images.collect(entries, task.classes_of)
    other = splits.split(unweighted, config, classes=dataset.classes, dataset_path="")
    assert sum(index < 4 for index in other.train) != 2


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
