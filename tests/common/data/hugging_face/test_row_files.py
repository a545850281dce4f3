"""Images in rows of parquet files, read in whatever order."""

import io
import random
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from common.data.findings import Report
from common.data.formats.pictures import Tagged
from common.data.hugging_face import row_files
from common.data.hugging_face.reader import HuggingFace
from common.data.images import ImageError
from tests.common.data.hugging_face import tables


def content(row: int) -> bytes:
    return b"\xff\xd8\xff%d " % row * (row % 7 + 1)


def make(count: int, group: int, start: int = 0, **options) -> bytes:
    rows = range(start, start + count)
    images = [tables.image(content(row), f"{row}.jpg") for row in rows]
    columns = {"image": images, "label": [f"c{row % 2}" for row in rows]}
    return tables.parquet(columns, row_group_size=group, **options)


@pytest.fixture
def listed(tree_of):
    """Return a tree of two files with 300 rows each, and the paths of their images in order."""

    def listed(group: int):
        files = {f"{name}.parquet": make(300, group, 300 * at) for at, name in enumerate("ab")}
        tree = tree_of(files)
        reading = Tagged(HuggingFace()).read(tree, Report(), max_records=2000)
        return tree, [record.file for record in reading.records]

    return listed


@pytest.mark.parametrize("group", [7, 100, 300])
def test_in_order(group, listed):
    """Also when each is asked for twice, the second time 60 rows later."""
    tree, paths = listed(group)

    for row, path in enumerate(paths):
        assert tree.size(path) == len(content(row))
        assert tree.read(path) == content(row)
        if row >= 60:
            with tree.open(paths[row - 60]) as file:
                assert file.read() == content(row - 60)


def test_in_any_order(listed, monkeypatch):
    """Whatever was let go of is read again."""
    monkeypatch.setattr(row_files, "_MOST_ROWS", 200)
    tree, paths = listed(50)
    rows = random.Random(1).choices(range(600), k=60)

    for row in rows:
        assert tree.read(paths[row]) == content(row)


def test_disk_is_let_go_of(listed, monkeypatch, tmp_path):
    """Only the last rows are kept, and nothing once the tree is closed."""
    monkeypatch.setattr(row_files, "_MOST_ROWS", 256)
    before = len(list(Path("/proc/self/fd").iterdir()))
    tree, paths = listed(100)
    most = 0

    for path in paths:
        tree.read(path)
        most = max(most, len(list(Path("/proc/self/fd").iterdir())))
    kept = tree._inner
    assert kept is not None

    assert most - before <= 10
    assert 192 <= len(kept._kept) <= 320
    kept.close()
    assert kept._kept == {}


def test_what_is_no_row(listed):
    """It is no file."""
    tree, paths = listed(100)

    assert paths[0] in tree
    for path in ("a.parquet/0/image", "a.parquet/301/image", "a.parquet/1/x", "c.parquet/1/image"):
        assert path not in tree
        with pytest.raises(KeyError):
            tree.read(path)
    assert tree.read("a.parquet/1/image/whatever.jpg") == content(0)


def test_missing_bytes(tree_of):
    """An image that is not there is an empty file."""
    rows = [tables.image(content(0)), tables.image(None), None, tables.image(b"")]
    columns = {"image": rows, "label": list("abab")}
    tree = tree_of({"a.parquet": tables.parquet(columns, {"image": tables.IMAGE})})

    reading = Tagged(HuggingFace()).read(tree, Report(), max_records=9)

    assert [tree.read(one.file) for one in reading.records] == [content(0), b"", b"", b""]


def test_damaged_pages(tree_of):
    """The rows before the damage, and those of other groups, are there; the others say why."""
    whole = bytearray(make(300, 100, compression="zstd", use_dictionary=False))
    chunk = pq.read_metadata(io.BytesIO(whole)).row_group(1).column(0)
    end = chunk.data_page_offset + chunk.total_compressed_size
    whole[end - 20 : end] = b"\xff" * 20
    tree = tree_of({"a.parquet": bytes(whole)})
    HuggingFace().detect(tree)
    read = {}

    for row in range(300):
        with suppress(ImageError):
            read[row] = tree.read(f"a.parquet/{row + 1:07d}/image")

    assert read == {row: content(row) for row in (*range(100), *range(200, 300))}
    with pytest.raises(ImageError, match="The table is damaged"):
        tree.read("a.parquet/0000150/image")
