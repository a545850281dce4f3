"""Which objects a detector is measured on, in a data set with other classes than its own."""

import pytest

from common.data.manifest import Entry, write_line
from common.errors import InvalidInput
from common.evaluation.selection import choose
from common.jobs.context import JobContext
from common.settings import ServiceSettings
from common.storage import resources
from nocode.vision.v1 import dataset_pb2, job_pb2, model_pb2
from services.detection.task import DetectionTask

DATASET = "tasks/detection/datasets/others"


@pytest.fixture
def context(bucket, storage_settings, tmp_path):
    """A job, and a data set of two images: dust and a cell, and dust alone."""
    labels = [[0, 1], [0]]
    entries = [
        Entry(
            file=f"{number}.png",
            shard="00000.tar",
            offset=0,
            size=1,
            sha256=f"{number:064}",
            width=10,
            height=10,
            annotation={"objects": [{"label": label, "box": [0, 0, 5, 5]} for label in shown]},
        )
        for number, shown in enumerate(labels)
    ]
    bucket.put(f"{DATASET}/manifest.jsonl", b"".join(write_line(entry) for entry in entries))
    document = dataset_pb2.Dataset(name=DATASET, classes=["dust", "cell"])
    resources.datasets(bucket).create(DATASET, document)
    settings = ServiceSettings(**storage_settings.model_dump(), work_dir=tmp_path)
    job = job_pb2.Job(name="tasks/detection/jobs/j")
    return JobContext(job, task=DetectionTask(), bucket=bucket, settings=settings)


def model(*classes):
    return model_pb2.Model(
        name="tasks/detection/models/m",
        pipeline="tasks/detection/pipelines/gone",
        dataset="tasks/detection/datasets/gone",
        classes=classes,
    )


def test_objects_of_unknown_classes_are_left_out_and_their_images_stay(context):
    """The model can still be measured on what it knows, and what it finds beside that is wrong."""
    found = choose(context, model("blob", "cell"), DATASET, "")

    assert {index: entry.annotation["objects"] for index, entry in found.items()} == {
        0: [{"label": 1, "box": [0, 0, 5, 5]}],
        1: [],
    }
    findings = {finding.id: finding for finding in context.job.findings}
    assert findings["OBJECTS_OF_UNKNOWN_CLASSES"].count == 2
    assert list(findings["OBJECTS_OF_UNKNOWN_CLASSES"].examples) == ["dust"]
    assert "IMAGES_OF_UNKNOWN_CLASSES" not in findings


def test_a_data_set_without_a_known_class_is_refused(context):
    with pytest.raises(InvalidInput) as caught:
        choose(context, model("blob"), DATASET, "")

    assert caught.value.reason == "CLASSES_DIFFER"
