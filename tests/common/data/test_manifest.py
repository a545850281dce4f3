"""The manifest of a data set: a line an image, readable in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from common.data.manifest import Entry, Place, read_chunks, read_lines, write_line

entries = st.builds(
    Entry,
    file=st.text(),
    shard=st.just("00000.tar"),
    offset=st.integers(0, 2**40),
    size=st.integers(1, 2**30),
    sha256=st.just("a" * 64),
    width=st.integers(1, 10_000),
    height=st.integers(1, 10_000),
    annotation=st.fixed_dictionaries({"label": st.integers(0, 10)}),
    split=st.sampled_from([None, "train", "val", "test"]),
    duplicate_group=st.none() | st.integers(0, 10),
    columns=st.dictionaries(st.text(), st.text(), max_size=3),
    mask=st.none() | st.builds(Place, st.just("masks-00000.tar"), st.integers(0), st.integers(0)),
)


@given(st.lists(entries, max_size=5), st.integers(1, 50))
def test_a_manifest_cut_anywhere_is_read_whole(written, size):
    """Pieces may end within a line, or within a letter."""
    data = b"".join(map(write_line, written))
    chunks = [data[start : start + size] for start in range(0, len(data), size)]

    assert list(read_chunks(chunks)) == written
    assert list(read_lines(data.splitlines())) == written
