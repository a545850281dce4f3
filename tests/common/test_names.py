"""Resource names are parsed in one place, and refused with what one looks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import names
from common.errors import InvalidInput
from common.reasons import Reason

ids = st.from_regex(names.ID_PATTERN, fullmatch=True)


@given(st.sampled_from(names.TASKS), st.sampled_from(names.COLLECTIONS), ids)
def test_a_name_is_read_back_as_it_was_written(task, collection, resource_id):
    """`parse` undoes `str`."""
    name = names.ResourceName(task, collection, resource_id)

    assert names.parse(str(name)) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("", Reason.FIELD_REQUIRED, id="empty"),
        pytest.param("jobs/a", Reason.NAME_INVALID, id="no task"),
        pytest.param("tasks/classification/jobs/", Reason.NAME_INVALID, id="empty id"),
        pytest.param("tasks/classification/jobs/a/b", Reason.NAME_INVALID, id="too long"),
        pytest.param("tasks/classification/jobs/A", Reason.NAME_INVALID, id="upper case"),
        pytest.param("tasks/classification/jobs/a-", Reason.NAME_INVALID, id="hyphen at the end"),
        pytest.param("tasks/classification/jobs/..", Reason.NAME_INVALID, id="path"),
        pytest.param("tasks/classification/jobs/a\n", Reason.NAME_INVALID, id="line break"),
        pytest.param("tasks/classification/models/a", Reason.NAME_INVALID, id="not a job"),
        pytest.param("tasks/poetry/jobs/a", Reason.TASK_UNKNOWN, id="unknown task"),
        pytest.param("tasks/-/jobs/a", Reason.NAME_INVALID, id="all tasks"),
    ],
)
def test_what_is_not_a_jobs_name_is_refused(name, reason):
    """With the field, and the form that is needed."""
    with pytest.raises(InvalidInput) as refused:
        names.parse(name, "jobs", field="job")

    assert refused.value.reason == reason
    assert refused.value.field == "job"
    assert "job" in refused.value.message


def test_the_parent_of_all_tasks_is_allowed_only_where_asked_for():
    """`tasks/-` lists; nothing can be made in it."""
    assert names.parse_task("tasks/-", wildcard=True) == names.ALL_TASKS
    with pytest.raises(InvalidInput):
        names.parse_task("tasks/-")


@pytest.mark.parametrize("parent", ["", "tasks", "tasks/", "classification", "tasks/a/b", "task/x"])
def test_what_is_not_a_parent_is_refused(parent):
    """With the tasks there are."""
    with pytest.raises(InvalidInput, match="classification"):
        names.parse_task(parent)


@given(st.text(max_size=300))
def test_a_refusal_is_short_whatever_was_sent(text):
    """A caller's megabyte does not come back in the message."""
    with pytest.raises(InvalidInput) as refused:
        names.check_id(text + "!", field="dataset_id")

    assert len(refused.value.message) < 1000


def test_new_ids_can_be_chosen_by_a_caller_too():
    """The server's ids follow its own rule, and differ."""
    made = {names.new_id("job") for _ in range(100)}

    assert len(made) == 100
    assert all(names.check_id(one, field="id") for one in made)
