"""JSON read in parts is what the whole parser gives."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.data.formats import json_parts
from common.data.formats.json_parts import JsonError, parts
from common.errors import InvalidInput

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def whole(tree, path="a.json"):
    """Put the parts together again."""
    found = {}
    for key, place, value in parts(tree, path):
        if place is None:
            found[key] = value
        elif place < 0:
            found[key] = []
        else:
            assert place == len(found[key])
            found[key].append(value)
    return found


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    document=st.dictionaries(st.text(max_size=5), VALUES, max_size=5),
    indent=st.sampled_from([None, 0, 2]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    chunk=st.integers(1, 30),
)
def test_parts_are_those_of_the_whole(document, indent, encoding, chunk, tree_of):
    """Wherever what is held in memory ends."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    tree = tree_of(**{"a.json": text.encode(encoding, "surrogatepass")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_parts, "_CHUNK_LENGTH", chunk)

        assert whole(tree) == document


@pytest.mark.parametrize("chunk", range(1, 12))
@pytest.mark.parametrize("number", ["1.5", "-12e+5", "1E-7", "NaN", "-Infinity", "true"])
def test_values_that_are_cut(number, chunk, tree_of, monkeypatch):
    """A chunk that ends with `1.` or `1e+` holds no whole number."""
    monkeypatch.setattr(json_parts, "_CHUNK_LENGTH", chunk)
    text = f'{{"a": [{number}, {number}], "b": {number}}}'

    found = whole(tree_of(**{"a.json": text.encode()}))

    assert repr(found) == repr(json.loads(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: it ends before {"),
        ("[1, 2]", "line 1, column 1: { is missing"),
        ('{"a": [1, 2', "line 1, column 12: it ends before , or ]"),
        ('{"a": [1, 2}', "line 1, column 12: , or ] is missing"),
        ('{\n  "a": [\n    1,\n    x\n]}', "line 4, column 5: expecting value"),
        ('{"a" 1}', "line 1, column 6: : is missing"),
        ("{1: 1}", "line 1, column 3: a name is missing"),
        ('{"a": 1} {}', "line 1, column 10: something follows the end"),
        ('{"a": "x', "line 1, column 7: unterminated string starting at"),
        ('{"a": %s}' % ("[" * 100_000), "nested too deeply"),
        ('{"a": %s}' % ("9" * 5000), "a number is too long"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_the_place_of_an_error(text, message, chunk, tree_of, monkeypatch):
    """As an editor counts lines and columns, however far the file was read before."""
    monkeypatch.setattr(json_parts, "_CHUNK_LENGTH", chunk)

    with pytest.raises(JsonError) as caught:
        whole(tree_of(**{"a.json": text.encode()}))

    assert message in str(caught.value)


def test_a_part_is_bounded(tree_of, monkeypatch):
    """The file may be as long as it likes."""
    monkeypatch.setattr(json_parts, "_MAX_PART_LENGTH", 100)
    monkeypatch.setattr(json_parts, "_CHUNK_LENGTH", 10)
    text = json.dumps({"a": ["x" * 50] * 50})
    assert len(whole(tree_of(**{"a.json": text.encode()}))["a"]) == 50

    with pytest.raises(JsonError):
        whole(tree_of(**{"a.json": json.dumps({"a": ["x" * 500]}).encode()}))


def test_files_that_are_too_large_are_refused(tree_of, monkeypatch):
    tree = tree_of(**{"a.json": b"[1, 2]"})
    json_parts.check_size(tree, "a.json")
    monkeypatch.setattr(json_parts, "MAX_JSON_BYTES", 5)

    with pytest.raises(InvalidInput, match=r"a\.json has 6 bytes; .* may have 5\. Split it"):
        json_parts.check_size(tree, "a.json")
