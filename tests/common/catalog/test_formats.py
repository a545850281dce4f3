"""The formats as the API serves them, over all that are registered."""

import pytest

from common.catalog import formats
from common.errors import InvalidInput
from common.reasons import Reason
from services.classification.task import ClassificationTask
from services.detection.task import DetectionTask
from services.segmentation.instance.task import InstanceTask
from services.segmentation.semantic.task import SemanticTask

TASKS = {
    task.name: task
    for task in (ClassificationTask(), DetectionTask(), SemanticTask(), InstanceTask())
}
ALL = [formats.describe(name, entry) for name, task in TASKS.items() for entry in task.formats]


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: f"{entry.task}/{entry.name}")
def test_every_format_says_all_of_itself(entry):
    """A list is of use only if nothing is missing; sentences end as such, and lines are short."""
    assert entry.name
    assert entry.description
    assert not entry.description.endswith(".")
    for text in (entry.detection, entry.kept, entry.dropped):
        assert text.endswith(".")
        assert text[0].isupper() or text[0] == "."
        assert "  " not in text
    assert entry.layout
    assert all(len(line) <= 100 for line in entry.layout.splitlines())


def test_names_are_unique_within_a_task():
    places = [f"{entry.task}/{entry.name}" for entry in ALL]

    assert sorted(set(places)) == sorted(places)


@pytest.mark.parametrize("parent", ["tasks/-", *(f"tasks/{name}" for name in TASKS)])
def test_pages(parent):
    """Of any size, they are the whole list in its order."""
    wanted = [entry for entry in ALL if parent in {"tasks/-", entry.task}]
    listed, token = [], ""
    while True:
        page, token = formats.page(TASKS, parent, 3, token)
        listed += page
        if not token:
            break
        assert len(page) == 3

    assert listed == wanted
    assert formats.page(TASKS, parent, 0, "")[0] == wanted[:50]


@pytest.mark.parametrize(
    ("parent", "size", "reason"),
    [
        ("tasks/flying", 1, Reason.TASK_UNKNOWN),
        ("tasks", 1, Reason.NAME_INVALID),
        ("tasks/-", -1, Reason.FIELD_OUT_OF_RANGE),
    ],
)
def test_refused(parent, size, reason):
    with pytest.raises(InvalidInput) as caught:
        formats.page(TASKS, parent, size, "")

    assert caught.value.reason == reason


def test_only_tasks_that_are_served():
    with pytest.raises(InvalidInput):
        formats.page({"detection": TASKS["detection"]}, "tasks/classification", 1, "")
