"""The sample of every format as a user meets it: imported through the gateway, no format named."""

import pytest

from nocode.vision.v1 import dataset_source_pb2
from tests.common.data.formats.test_choice import CASES, sample
from tests.common.data.packing import pack_zip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(("task", "entry"), CASES)
def test_a_sample_is_imported(task, entry, client, tmp_path):
    """As its format, with all that a count by hand finds in it."""
    module = sample(entry.name)
    expected = module.expected(task.name)
    archive = tmp_path / "archive.zip"
    archive.write_bytes(pack_zip(module.make(task.name)))

    source = dataset_source_pb2.DatasetSource(upload=client.upload(task.name, archive))
    job = client.wait(client.import_dataset(task.name, source).name)
    dataset = client.dataset(job.dataset)

    counted = {one.class_name: getattr(one, task.counted) for one in dataset.class_counts}
    assert dataset.format == entry.name
    assert dataset.image_count == expected.images
    assert counted == expected.classes
    assert {one.subset: one.image_count for one in dataset.given_splits} == expected.splits
