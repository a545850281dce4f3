"""Which attribute is the class."""

import pytest

from common.data.formats.named_attributes import Attributes, Chosen


def counted(*objects, choices=()):
    attributes = Attributes(choices=set(choices))
    for names in objects:
        attributes.add(names)
    return attributes


@pytest.mark.parametrize(
    ("attributes", "chosen"),
    [
        pytest.param(counted(["name"], ["label"], ["class"]), Chosen("class", False), id="order"),
        pytest.param(counted(["Class-Name"]), Chosen("Class-Name", False), id="as written"),
        pytest.param(counted(["a"], ["b"], ["b"]), Chosen("b", True), id="most frequent"),
        pytest.param(counted(["b"], ["a"]), Chosen("a", True), id="of equals, by name"),
        pytest.param(
            counted(["a"], ["b"], ["b"], choices=["a", "never"]), Chosen("a", True), id="chosen"
        ),
        pytest.param(counted(choices=["never"]), None, id="none has a value"),
        pytest.param(counted([], []), None, id="none"),
    ],
)
def test_the_class(attributes, chosen):
    assert attributes.of_class() == chosen


def test_objects_without_attributes_count():
    assert counted([], ["a"]).total == 2


def test_names_without_end_are_not_held():
    attributes = counted(*([f"a{number}"] for number in range(20_000)))

    attributes.add(["a1"])

    assert len(attributes.counts) == 10_000
    assert attributes.counts["a1"] == 2
