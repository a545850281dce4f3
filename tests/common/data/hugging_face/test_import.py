"""Whole imports of an archive with parquet files, for each task."""

import pytest

from services.classification.task import ClassificationTask
from services.detection.task import DetectionTask
from services.segmentation.instance.task import InstanceTask
from services.segmentation.semantic.task import SemanticTask
from tests.common.data.formats.samples import hugging_face as sample
from tests.common.data.hugging_face import tables
from tests.common.data.packing import jpeg, pack_zip

TASKS = (ClassificationTask(), DetectionTask(), SemanticTask(), InstanceTask())


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task(task, import_archive):
    """Images and labels are those of the rows, with no format named."""
    import_archive.task = task

    imported = import_archive(pack_zip(sample.make(task.name)))

    expected = sample.expected(task.name)
    counts = {one.class_name: one for one in imported.dataset.class_counts}
    assert imported.dataset.format == "hugging_face"
    assert imported.dataset.image_count == expected.images
    assert {n: getattr(one, task.counted) for n, one in counts.items()} == expected.classes
    splits = {one.subset: one.image_count for one in imported.dataset.given_splits}
    assert splits == expected.splits
    read = [imported.reader.read(entry) for entry in imported.entries]
    assert read == [jpeg(n) for n in (6, 7, 8, 0, 1, 2, 3, 4, 5)]


def test_rows_without_a_usable_image(import_archive):
    """They are left out and named by table, row and column."""
    images = [tables.image(one) for one in (jpeg(0), jpeg(1)[:200], b"text", None, jpeg(4))]
    content = tables.parquet({"image": images, "label": list("ababb")})

    imported = import_archive(pack_zip({"x.parquet": content}))

    assert imported.labels == {"x.parquet/0000001/image": "a", "x.parquet/0000005/image": "b"}
    assert imported.dataset.skipped_count == 3
    assert imported.findings["IMAGE_TRUNCATED"] == ["x.parquet/0000002/image"]
    assert imported.findings["IMAGE_NOT_AN_IMAGE"] == ["x.parquet/0000003/image"]
    assert imported.findings["IMAGE_EMPTY_FILE"] == ["x.parquet/0000004/image"]
