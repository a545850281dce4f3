"""What belongs together: keys of images, and units of images."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.grouping import ALONE, parse_group_by, unite
from common.data.manifest import Entry
from common.errors import InvalidInput
from common.reasons import Reason


def entry(file, **columns):
    return Entry(file, "00000.tar", 0, 1, "0" * 64, 8, 8, {"label": 0}, columns=columns)


@pytest.mark.parametrize(
    ("group_by", "file", "key"),
    [
        pytest.param(r"path:patient_(\d+)", "a/patient_12/x.png", "12", id="first group"),
        pytest.param(r"path:patient_(\d+)", "a/doctor_12/x.png", None, id="no match"),
        pytest.param(r"path:(a)|(b)", "b.png", None, id="group took no part in the match"),
        pytest.param(r"path:^([^/]+)/", "größe/x.png", "größe", id="not ASCII"),
        pytest.param("column:patient", "x.png", "7", id="column"),
        pytest.param("column:site", "x.png", None, id="empty value"),
        pytest.param("column:doctor", "x.png", None, id="no such column"),
    ],
)
def test_key_of_an_image(group_by, file, key):
    """A key is the first group of the path's match, or the value in the column."""
    key_of = parse_group_by(group_by, field="group_by")

    assert key_of(entry(file, patient="7", site="")) == key


@pytest.mark.parametrize(
    ("group_by", "reason", "says"),
    [
        pytest.param("patient", Reason.SPLIT_INVALID, "column:{name} or path:{regex}", id="kind"),
        pytest.param("column:", Reason.SPLIT_INVALID, "column:{name}", id="no column"),
        pytest.param("path:(", Reason.SPLIT_INVALID, "missing )", id="not an expression"),
        pytest.param(r"path:(?=a)(b)", Reason.SPLIT_INVALID, "(?=", id="look-around"),
        pytest.param("path:abc", Reason.SPLIT_INVALID, "no group", id="no group"),
        pytest.param("path:" + "a" * 1000, Reason.FIELD_TOO_LONG, "1005", id="long"),
    ],
)
def test_what_is_no_group_by_is_refused(group_by, reason, says):
    """The message says what is wrong and the error names the field."""
    with pytest.raises(InvalidInput) as caught:
        parse_group_by(group_by, field="pipeline.split_config.group_by")

    assert caught.value.reason is reason
    assert says in caught.value.message
    assert caught.value.field == "pipeline.split_config.group_by"


def test_no_expression_makes_the_server_hang():
    """A pattern that takes a backtracking engine 2^40 steps is answered at once."""
    key_of = parse_group_by(r"path:^((a+)+)$", field="group_by")

    start = time.monotonic()
    assert key_of(entry("a" * 40 + "b")) is None

    assert time.monotonic() - start < 5


def test_groups_are_joined_by_way_of_other_images():
    """A near-duplicate of one patient's image that lies with another joins both patients."""
    duplicates = np.array([ALONE, 5, 5, ALONE, ALONE])
    patients = np.array([1, 1, 2, 2, ALONE])

    unit = unite([duplicates, patients])

    assert unit[0] == unit[1] == unit[2] == unit[3]
    assert unit[4] != unit[0]
    assert sorted(set(unit.tolist())) == [0, 1]


@given(st.lists(st.tuples(st.integers(-1, 12), st.integers(-1, 12), st.integers(0, 3)), min_size=1))
@settings(max_examples=200)
def test_units_are_the_connected_components(rows):
    """Equal to merging, again and again, any two units that share a group."""
    groupings = [np.array([row[k] for row in rows]) for k in (0, 1)]
    expected = [{i} for i in range(len(rows))]
    for group in groupings:
        for number in set(group.tolist()) - {ALONE}:
            members = set(np.flatnonzero(group == number).tolist())
            joined = set().union(*(unit for unit in expected if unit & members))
            expected = [unit for unit in expected if not unit & members] + [joined]

    unit = unite(groupings)

    actual = {frozenset(np.flatnonzero(unit == number).tolist()) for number in set(unit.tolist())}
    assert actual == set(map(frozenset, expected))
