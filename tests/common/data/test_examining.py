"""Looking at many images at once, in bounded memory."""

import hashlib
import threading
from contextlib import contextmanager

import pytest

from common.data import examining, images
from common.data.examining import Examined, examine
from common.data.tree import Member, Tree
from tests.common.data.packing import jpeg
from tests.common.data.pictures import encode, picture

MAX_PIXELS = 64_000_000
MIB = 1024**2


@pytest.fixture
def tree_of(tmp_path):
    def tree_of(*contents: bytes) -> Tree:
        (tmp_path / "blob").write_bytes(b"".join(contents))
        members, offset = {}, 0
        for number, content in enumerate(contents):
            members[f"{number:04}"] = Member(offset, len(content))
            offset += len(content)
        return Tree(tmp_path / "blob", members)

    return tree_of


def test_results_are_in_order(tree_of):
    """Though several threads look, and some images take longer."""
    large = encode(picture(900, 700), "PNG")
    contents = [jpeg(i) if i % 5 else large for i in range(60)]
    tree = tree_of(*contents)

    results = list(examine(tree, tree.files, max_pixels=MAX_PIXELS))

    assert [found.sha256 for found in results] == [
        hashlib.sha256(content).digest() for content in contents
    ]


def test_bad_images_do_not_stop_it(tree_of):
    tree = tree_of(jpeg(0), b"", b"hello", jpeg(1)[:500], jpeg(2))

    found = list(examine(tree, tree.files, max_pixels=MAX_PIXELS))

    assert [getattr(result, "finding_id", "") for result in found] == [
        "",
        images.IMAGE_EMPTY_FILE,
        images.IMAGE_NOT_AN_IMAGE,
        images.IMAGE_TRUNCATED,
        "",
    ]


def test_images_are_not_looked_at_long_before_they_are_asked_for(tree_of, monkeypatch):
    """What was found out of a million images does not pile up."""
    started = []
    original = examining._Examiner.examine

    def record(self, path):
        started.append(path)
        return original(self, path)

    monkeypatch.setattr(examining._Examiner, "examine", record)
    tree = tree_of(*[jpeg(0)] * 300)

    results = examine(tree, tree.files, max_pixels=MAX_PIXELS)
    next(results)
    results.close()  # waits for what has begun

    assert len(started) <= examining._MAX_THREADS * examining._AHEAD + 1


def test_a_file_larger_than_any_image_is_not_read(tree_of, monkeypatch):
    """Neither one that starts like an image nor one that does not."""
    monkeypatch.setattr(Tree, "read", lambda *_: pytest.fail("it was read"))
    tree = tree_of(jpeg(0) + bytes(2 * MIB), b"x" * 2 * MIB)

    found = list(examine(tree, tree.files, max_pixels=100_000))

    assert [result.finding_id for result in found] == [
        images.IMAGE_TOO_LARGE,
        images.IMAGE_NOT_AN_IMAGE,
    ]


def test_size_behind_much_metadata(tree_of):
    """The start of the file does not say how large the image is; it is read all the same."""
    metadata = b"".join(b"\xff\xe5\xff\xff" + bytes(65533) for _ in range(20))
    content = jpeg(0)
    tree = tree_of(content[:2] + metadata + content[2:])

    (found,) = examine(tree, tree.files, max_pixels=MAX_PIXELS)

    assert isinstance(found, Examined)
    assert found.info.width == 64


def test_large_images_wait_for_each_other(tree_of, monkeypatch):
    """Together they never take more than the memory there is."""
    monkeypatch.setattr(examining, "_MEMORY_BYTES", 20 * MIB)
    amounts, most = [], []
    lock = threading.Lock()
    hold = examining._Budget.hold

    @contextmanager
    def watched(self, amount):
        with hold(self, amount):
            with lock:
                amounts.append(amount)
                most.append(sum(amounts))
            yield
            with lock:
                amounts.remove(amount)

    monkeypatch.setattr(examining._Budget, "hold", watched)
    tree = tree_of(*[encode(picture(900, 700), "PNG")] * 20)

    assert len(list(examine(tree, tree.files, max_pixels=MAX_PIXELS))) == 20
    assert 7 * MIB < max(most) <= 20 * MIB


def test_more_than_all_memory_is_looked_at_alone():
    budget = examining._Budget(10)

    with budget.hold(1000):
        assert budget._left == 0
    assert budget._left == 10
