"""Trees of files with content."""

import pytest

from common.data.tree import Member, Tree


@pytest.fixture
def tree_of(tmp_path):
    """Make a tree; what is inside of its tables is closed with it at the end."""
    opened = []

    def tree_of(files: dict[str, bytes], **told: str) -> Tree:
        blob = tmp_path / f"blob{len(opened)}"
        members, offset = {}, 0
        with blob.open("wb") as out:
            for path, content in files.items():
                members[path] = Member(offset, out.write(content))
                offset += len(content)
        tree = Tree(blob, members)
        tree.told = told
        opened.append(tree)
        return tree

    yield tree_of
    for tree in opened:
        tree.__exit__()
