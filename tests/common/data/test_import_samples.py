"""The sample of every format, imported as a worker does it, with no format named."""

import pytest

from tests.common.data.formats.test_choice import CASES, sample
from tests.common.data.packing import pack_zip


@pytest.mark.parametrize(("task", "entry"), CASES)
def test_a_sample_is_imported(task, entry, import_archive):
    """As its format, with all that a count by hand finds in it; every image can be read again."""
    module = sample(entry.name)
    import_archive.task = task

    imported = import_archive(pack_zip(module.make(task.name)))

    expected = module.expected(task.name)
    counted = {one.class_name: getattr(one, task.counted) for one in imported.dataset.class_counts}
    assert imported.dataset.format == entry.name
    assert imported.dataset.image_count == expected.images
    assert counted == expected.classes
    assert {one.subset: one.image_count for one in imported.dataset.given_splits} == expected.splits
    assert all(imported.reader.read_many(imported.entries))
