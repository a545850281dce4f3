"""The sample of every format, imported as a worker does it, with no format named."""

import random
import zlib

import pytest

from common.errors import InvalidInput
from tests.common.data.formats.test_choice import CASES, TASKS, sample
from tests.common.data.formats.test_fuzz_samples import MAX_PIXELS, damage
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


DAMAGED_COUNT = 300
FORMATS = sorted({entry.name for task in TASKS for entry in task.formats})


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_samples_are_imported_or_refused(name, import_archive):
    """For each task in turn. Nothing is left of those refused, and no other error is raised."""
    chance = random.Random(zlib.crc32(name.encode()))
    tasks = [task for task in TASKS if name in {entry.name for entry in task.formats}]
    samples = [sample(name).make(task.name) for task in tasks]
    importer = import_archive.with_settings(max_image_pixels=MAX_PIXELS)
    imported, refused = set(), 0
    for number in range(DAMAGED_COUNT):
        importer.task = tasks[number % len(tasks)]
        try:
            archive = pack_zip(damage(samples[number % len(tasks)], chance))
            imported.add(importer(archive).dataset.name)
        except InvalidInput:
            refused += 1

    assert len(imported) > DAMAGED_COUNT // 10
    assert len(imported) + refused == DAMAGED_COUNT
    keys = [stat.key for stat in importer.bucket.list("") if "/datasets/" in stat.key]
    made = {"/".join(key.split("/")[:4]) for key in keys if "/index/" not in key}
    assert made == imported
