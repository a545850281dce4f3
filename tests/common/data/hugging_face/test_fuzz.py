"""Damaged tables: they may be refused, and nothing else may happen."""

import random

import pytest

from common.data.findings import Report
from common.data.images import ImageError, probe
from common.errors import InvalidInput
from services.classification.task import ClassificationTask
from services.detection.task import DetectionTask
from services.segmentation.instance.task import InstanceTask
from services.segmentation.semantic.task import SemanticTask
from tests.common.data.formats.samples import hugging_face as sample
from tests.common.data.formats.samples import mask
from tests.common.data.hugging_face import tables
from tests.common.data.packing import jpeg
from tests.common.data.test_fuzz_import import mutated

TASKS = (ClassificationTask(), DetectionTask(), SemanticTask(), InstanceTask())
CARD = b"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
dataset_info:
  features:
  - name: label
    dtype: {class_label: {names: {'0': cat, '1': dog}}}
  - name: objects
    list:
    - name: category
      dtype: {class_label: {names: {'0': cat, '1': dog}}}
---
"""


def read_all(task, tree) -> int | None:
    """Return how many images can be used; None if the archive is refused."""
    entry = next(one for one in task.formats if one.name == "hugging_face")
    report, used = Report(), 0
    try:
        entry.detect(tree)
        reading = entry.read(tree, report, max_records=99)
    except InvalidInput:
        return None
    for record in reading.records:
        try:
            info = probe(tree.read(record.file), max_pixels=10**6)
        except ImageError:
            continue
        annotation = task.complete(record.annotation, record.file, info, report)
        if annotation is not None:
            assert all(index < len(reading.classes) for index in task.classes_of(annotation))
            used += 1
    report.findings()
    return used


COUNTS = [20, pytest.param(300, marks=pytest.mark.slow)]
ODD = [None, -1, 1e400, float("nan"), 10**400, "", "x" * 10_000, "\ud800", [], {}, [[]], [None]]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_mutated_parquet(task, count, tree_of):
    """Each part of a file is read or named; nothing but a refusal of all is raised."""
    chance = random.Random(0)
    good = sample.make(task.name) | {"README.md": CARD}
    refused = used = 0

    for _ in range(count):
        files = {
            path: mutated(content, chance) if chance.random() < 0.7 else content
            for path, content in good.items()
        }
        found = read_all(task, tree_of(files))
        refused += found is None
        used += found or 0

    assert refused < count
    assert count <= used < 9 * count


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_mutated_metadata(task, count, tree_of):
    """The same for tables beside images."""
    chance = random.Random(0)
    ring = [4, 5, 24, 5, 24, 35, 4, 35]
    objects = {"bbox": [[1, 2, 3, 4.5]], "segmentation": [[ring]], "category": [1], "crowd": [0]}
    rows = [
        {"file_name": f"{n}.jpg", "label": n % 2, "objects": objects, "mask_file_name": "m.png"}
        for n in range(4)
    ]
    csv = b'file_name,label,objects,mask_file_name\n5.jpg,1,"{""bbox"": [[1, 2, 3, 4]]}",m.png\n'
    pictures = {f"{n}.jpg": jpeg(n) for n in range(6)} | {"m.png": mask(64, 48, 0, 1)}
    refused = used = 0

    for _ in range(count):
        files = {
            "metadata.jsonl": tables.lines(*rows),
            "test/metadata.csv": csv,
            "README.md": CARD,
        }
        for path in chance.sample(sorted(files), 2):
            files[path] = mutated(files[path], chance)
        found = read_all(task, tree_of(files | pictures))
        refused += found is None
        used += found or 0

    assert refused < count // 2
    assert used >= count


def odd(value, chance: random.Random):
    """Return a value with something in it that nobody expects."""
    if chance.random() < 0.2 or not isinstance(value, dict | list) or not value:
        return chance.choice(ODD)
    if isinstance(value, dict):
        key = chance.choice(sorted(value))
        return value | {key: odd(value[key], chance)}
    place = chance.randrange(len(value))
    return [*value[:place], odd(value[place], chance), *value[place + 1 :]]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_odd_values(task, tree_of):
    """Any field may have anything; rows beside it are read."""
    chance = random.Random(1)
    ring = [4, 5, 24, 5, 24, 35, 4, 35]
    objects = {"bbox": [[1, 2, 3, 4.5]], "segmentation": [[ring]], "category": [1], "crowd": [0]}
    good = {"label": 1, "objects": objects, "mask_file_name": "m.png", "width": 64, "height": 48}
    pictures = {f"{n}.jpg": jpeg(n) for n in range(3)} | {"m.png": mask(64, 48, 0, 1)}
    used = 0

    for _ in range(40):
        rows = [{"file_name": f"{n}.jpg"} | good for n in range(3)]
        rows[1] = odd(odd(rows[1], chance), chance)
        if not isinstance(rows[1], dict):
            continue
        files = {"metadata.jsonl": tables.lines(*rows), "README.md": CARD}
        used += read_all(task, tree_of(files | pictures)) or 0

    assert used >= 60
