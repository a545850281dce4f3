"""Trees of files without content, but for those given."""

import pytest

from common.data.findings import Report
from common.data.tree import Member, Tree


@pytest.fixture
def tree_of(tmp_path):
    """Make a tree of paths, or of paths and contents."""

    def tree_of(*paths: str, **files: bytes) -> Tree:
        contents = dict.fromkeys(paths, b"") | files
        blob = b"".join(contents.values())
        (tmp_path / "blob").write_bytes(blob)
        members, offset = {}, 0
        for path, content in contents.items():
            members[path] = Member(offset, len(content))
            offset += len(content)
        return Tree(tmp_path / "blob", members)

    return tree_of


@pytest.fixture
def read():
    """Read a tree as a format: class and split of each file, and the findings' examples."""

    def read(format_, tree):
        report = Report()
        reading = format_.read(tree, report, max_records=1000)
        labels = {r.file: reading.classes[r.annotation["label"]] for r in reading.records}
        splits = {r.file: r.split for r in reading.records}
        return labels, splits, {f.id: list(f.examples) for f in report.findings()}

    return read
