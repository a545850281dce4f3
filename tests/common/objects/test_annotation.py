"""Objects as the manifest keeps them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from common.objects.annotation import Object, read, write

SIDES = st.floats(0, 10_000).map(lambda side: round(side, 4))
OBJECTS = st.builds(
    Object,
    label=st.integers(0, 10_000),
    box=st.tuples(SIDES, SIDES, SIDES, SIDES),
    crowd=st.booleans(),
    difficult=st.booleans(),
    truncated=st.booleans(),
    area=st.none() | SIDES,
    mask=st.sampled_from(["", "06", "di0n0b1\\^5"]),
)


@given(objects=st.lists(OBJECTS, max_size=4))
def test_what_is_written_is_read(objects):
    """Also through JSON, which is what the manifest is."""
    assert read(json.loads(json.dumps(write(objects)))) == objects


def test_an_image_without_an_object():
    assert write([]) == {"objects": []}
    assert read({"objects": []}) == []


def test_what_is_not_so_is_not_written():
    """A manifest of millions of objects stays as short as it can be."""
    written = write([Object(2, (1.0, 2.0, 3.00004, 4.5)), Object(0, (0, 0, 2, 2), crowd=True)])

    assert written == {
        "objects": [
            {"label": 2, "box": [1.0, 2.0, 3.0, 4.5]},
            {"label": 0, "box": [0, 0, 2, 2], "crowd": True},
        ]
    }


def test_the_area_of_a_box():
    """Width 3, height 4."""
    assert Object(0, (1.0, 2.0, 4.0, 6.0)).box_area == 12
