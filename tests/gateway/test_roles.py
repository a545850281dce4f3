"""Roles, and the least one that each method needs."""

import pytest

from common import names
from common.rpc import contract
from gateway.roles import CHANGING, LEAST, Caller, Role, by_task, parse_role


def test_each_method_of_the_contract_has_its_least_role():
    """A new method is served to nobody until somebody has thought about it."""
    assert set(LEAST) == set(contract.METHODS)


@pytest.mark.parametrize("path", contract.METHODS)
def test_what_a_methods_name_says_fits_its_role(path):
    """Reading is for viewers, deleting for admins, and all that makes or changes is audited."""
    name = path.rpartition("/")[2]

    if name.startswith(("Get", "List", "Watch", "Download")):
        assert LEAST[path] is Role.VIEWER
    elif "Predict" in name:
        assert LEAST[path] is Role.PREDICTOR
    elif name.startswith("Delete"):
        assert LEAST[path] is Role.ADMIN
    else:
        assert LEAST[path] is Role.TRAINER
    assert (path in CHANGING) == (LEAST[path] >= Role.TRAINER)


def test_a_role_is_for_all_tasks_or_for_one():
    assert parse_role("trainer") == (Role.TRAINER, names.TASKS)
    assert parse_role("admin:detection") == (Role.ADMIN, ("detection",))


@pytest.mark.parametrize("text", ["", "root", "Admin", "admin:", "admin:sorting", ":detection"])
def test_other_words_are_no_roles(text):
    with pytest.raises(ValueError, match=r"is no role|names no task"):
        parse_role(text)


def test_the_greatest_role_in_a_task_counts():
    roles = by_task(map(parse_role, ["trainer:detection", "viewer", "predictor:detection"]))
    caller = Caller("a", roles)

    assert caller.has(Role.TRAINER, "detection")
    assert not caller.has(Role.ADMIN, "detection")
    assert caller.has(Role.VIEWER, "classification")
    assert not caller.has(Role.PREDICTOR, "classification")


def test_without_a_role_a_caller_may_do_nothing():
    caller = Caller("a", by_task([parse_role("admin:detection")]))

    assert not any(caller.has(Role.VIEWER, task) for task in names.TASKS if task != "detection")
