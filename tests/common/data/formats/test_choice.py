"""Every format that a task has, on its sample: it alone takes it, and nothing of it is lost."""

from collections import Counter
from importlib import import_module

import pytest

from common.data import formats, images
from common.data.findings import Report
from services.classification.task import ClassificationTask
from services.detection.task import DetectionTask
from services.segmentation.instance.task import InstanceTask
from services.segmentation.semantic.task import SemanticTask

TASKS = (ClassificationTask(), DetectionTask(), SemanticTask(), InstanceTask())
CASES = [
    pytest.param(task, entry, id=f"{task.name}-{entry.name}")
    for task in TASKS
    for entry in task.formats
]


def sample(name):
    """Return the module that makes archives of a format."""
    return import_module(f"tests.common.data.formats.samples.{name}")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_names_are_unique(task):
    """A name in a request means one format."""
    names = [entry.name for entry in task.formats]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("task", "entry"), CASES)
def test_no_other_format_takes_it(task, entry, tree_of):
    """A user need not name it."""
    tree = tree_of(**sample(entry.name).make(task.name))

    assert formats.choose(task.formats, "", tree).name == entry.name


@pytest.mark.parametrize(("task", "entry"), CASES)
def test_counts(task, entry, tree_of):
    """Images, classes and splits are those of the archive, counted by hand."""
    module = sample(entry.name)
    tree = tree_of(**module.make(task.name))
    report = Report()

    reading = entry.read(tree, report, max_records=1000)

    found: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    for record in reading.records:
        info = images.probe(tree.read(record.file), max_pixels=1_000_000)
        annotation = task.complete(record.annotation, record.file, info, report)
        assert annotation is not None
        for index, count in task.classes_of(annotation).items():
            found[reading.classes[index]] += count
        if record.split:
            splits[record.split] += 1
    expected = module.expected(task.name)
    assert len(reading.records) == expected.images
    assert found == expected.classes
    assert splits == expected.splits
    if expected.findings is not None:
        assert {finding.id for finding in report.findings()} == expected.findings


@pytest.mark.parametrize(("task", "entry"), CASES)
def test_its_description_is_a_line(task, entry):
    """As refusals list it."""
    assert entry.description
    assert "\n" not in entry.description
