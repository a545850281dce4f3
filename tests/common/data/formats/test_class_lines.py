"""Tables of classes, as people and programs write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.formats.class_lines import ClassRow, of_json, of_table, of_text

PLAIN = [ClassRow("road", 0), ClassRow("blue sky", 1)]
NUMBERED = [ClassRow("road", 7), ClassRow("blue sky", 12)]
COLOURED = [ClassRow("road", 0, (128, 64, 128)), ClassRow("blue sky", 1, (0, 10, 255))]
BOTH = [ClassRow("road", 7, (128, 64, 128)), ClassRow("blue sky", 12, (0, 10, 255))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("road\nblue sky\n", PLAIN),
        ("\n# comment\nroad\r\n\r\n  blue sky", PLAIN),
        ("7 road\n12 blue sky", NUMBERED),
        ("7: road\n12: blue sky", NUMBERED),
        ("7,road\n12,blue sky", NUMBERED),
        ("7\troad\n12\tblue sky", NUMBERED),
        ("road,7\nblue sky,12", NUMBERED),
        ("road: 7\nblue sky: 12", NUMBERED),
        ("128 64 128 road\n0 10 255 blue sky", COLOURED),
        ("128 64 128\troad\n0 10 255\tblue sky", COLOURED),
        ("road 128 64 128\nblue sky 0 10 255", COLOURED),
        ("road,128,64,128\nblue sky,0,10,255", COLOURED),
        ("# label:color_rgb:parts:actions\nroad:128,64,128::\nblue sky:0,10,255::", COLOURED),
        ("road:128,64,128:wheel,door:\nblue sky:0,10,255::fly", COLOURED),
        ("7 road 128 64 128\n12 blue sky 0 10 255", BOTH),
        ("7 128 64 128 road\n12 0 10 255 blue sky", BOTH),
        # Not every line has a number, so that it is a part of the name.
        ("2 wheeler\nroad", [ClassRow("2 wheeler", 0), ClassRow("road", 1)]),
        ("road 1\nroad 2", [ClassRow("road 1", 0), ClassRow("road 2", 1)]),
        ("0\n1", [ClassRow("0", 0), ClassRow("1", 1)]),
        ("road:::\nsky:1,2,3::", [ClassRow("road", 0), ClassRow("sky", 1, (1, 2, 3))]),
        ("", []),
        ("images/1.jpg masks/1.png\n", []),
        ("x" * 1000, []),
    ],
)
def test_text(text, expected):
    assert of_text(text) == expected


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        ("name,id", ["road,7", "blue sky,12"], NUMBERED),
        ("Pixel Value, Class", ["7, road", "12, blue sky"], NUMBERED),
        ("name,r,g,b", ["road,128,64,128", "blue sky,0,10,255"], COLOURED),
        ("B,G,R,Label", ["128,64,128,road", "255,10,0,blue sky"], COLOURED),
        ("class;color", ["road;#804080", "blue sky;#000AFF"], COLOURED),
        ("class;rgb", ['road;(128, 64, 128)', "blue sky;0 10 255"], COLOURED),
        ("id,name,red,green,blue", ["7,road,128,64,128", "12,blue sky,0,10,255"], BOTH),
        # A row that cannot be is left out; the others keep their numbers.
        ("name,id", ["sea,no", "road,7", ",3", "far,70000", "blue sky,12"], NUMBERED),
        ("name,colour", ["road,#804080", "blue sky"], [COLOURED[0], ClassRow("blue sky", 1)]),
        ("name", ["road"], []),
        ("file,label", ["1.jpg,road"], []),
        ("name,r,g", ["road,1,2"], []),
    ],
)  # fmt: skip
def test_table(header, rows, expected):
    mark = ";" if ";" in header else ","

    assert of_table(header.split(mark), [row.split(mark) for row in rows]) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["road", "blue sky"], PLAIN),
        ({"7": "road", "12": "blue sky"}, NUMBERED),
        ({"road": 7, "blue sky": 12}, NUMBERED),
        ({"road": [128, 64, 128], "blue sky": [0, 10, 255]}, COLOURED),
        ({"road": "#804080", "blue sky": "#000aff"}, COLOURED),
        ([{"name": "road", "id": 7}, {"name": "blue sky", "id": 12}], NUMBERED),
        ([{"title": "road", "color": "#804080"}, {"title": "blue sky", "color": "#000AFF"}],
         COLOURED),
        ([{"label": "road", "r": 128, "g": 64, "b": 128},
          {"label": "blue sky", "r": 0, "g": 10, "b": 255}], COLOURED),
        ({"7": {"name": "road", "color": [128, 64, 128]},
          "12": {"name": "blue sky", "color": [0, 10, 255, 255]}}, BOTH),
        ({"version": 1, "labels": [{"name": "road"}, {"name": "blue sky"}]}, PLAIN),
        ({"dataset": "x", "classes": {"names": ["road", "blue sky"]}}, PLAIN),
        # YAML, read as texts throughout.
        ({"train": "images", "names": {"7": "road", "12": "blue sky"}, "nc": "2"}, NUMBERED),
        ({"images": [], "annotations": [], "categories": [{"id": 1, "name": "road"}]}, []),
        ({"road": True, "sky": False}, []),
        ([1, 2], []),
        ("road", []),
        ([], []),
        ({}, []),
        ([{"name": 3}], []),
    ],
)  # fmt: skip
def test_json(content, expected):
    assert of_json(content) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["#112233", "1,2,3", "7", "road"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["name", "id", "color", "classes", "names", "0", "1", "r"]) | st.text(),
        inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(json_values)
def test_any_json(content):
    for row in of_json(content):
        assert row.name
        assert 0 <= row.value <= 65_535


@given(st.text(st.sampled_from("01259 ,:;\t\n#ab-"), max_size=80))
def test_any_text(text):
    for row in of_text(text):
        assert row.name
        assert 0 <= row.value <= 65_535
        assert row.colour is None or max(row.colour) <= 255
