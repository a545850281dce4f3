"""Resized images are kept in a file that is whole or not there, and never larger than allowed."""

import hashlib
import io
import os
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from common.architectures import IMAGENET_MEAN, IMAGENET_STD
from common.data import images, loading, transforms
from common.data.loading import CachedImages, ImageCache, StreamedImages, ahead, even_batches
from common.data.manifest import Entry
from common.errors import Internal
from common.reasons import Reason
from nocode.vision.v1.model_pb2 import Preprocessing

SIZE_PX = 16
PREPROCESSING = Preprocessing(
    image_size_px=SIZE_PX,
    resize="stretch",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
FILE_BYTES = 6 * SIZE_PX * SIZE_PX * 3 + 12
MAX_PIXELS = 10_000


def jpeg(number):
    """A picture that differs from all others."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 255, (20 + number, 30, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


class Files:
    """Stands where a `DatasetReader` stands, on files in memory; counts what is read."""

    def __init__(self, numbers):
        self.data = {f"{number}.jpg": jpeg(number) for number in numbers}
        self.read_count = 0

    def entries(self):
        return [
            Entry(name, "00000.tar", 0, len(data), hashlib.sha256(data).hexdigest(), 30, 20, {})
            for name, data in self.data.items()
        ]

    def read(self, entry):
        self.read_count += 1
        return self.data[entry.file]

    def read_many(self, entries):
        for entry in entries:
            yield self.read(entry)


@pytest.fixture
def files():
    return Files(range(6))


@pytest.fixture
def open_images(tmp_path):
    def open_(files, *, max_bytes=10**9, preprocessing=PREPROCESSING, on_image=lambda _: None):
        return ImageCache(tmp_path / "cache", max_bytes).open(
            files,
            files.entries(),
            preprocessing,
            max_pixels=MAX_PIXELS,
            scratch=tmp_path / "scratch",
            on_image=on_image,
        )

    return open_


def cached_files(tmp_path):
    return sorted((tmp_path / "cache").iterdir())


def expected(files, row):
    data = list(files.data.values())[row]
    decoded = images.decode(data, max_pixels=MAX_PIXELS, at_least_px=2 * SIZE_PX)
    return transforms.resize(decoded, PREPROCESSING)


def test_images_are_those_of_the_one_way_to_resize(files, open_images):
    """What is trained on is what will be predicted on."""
    store = open_images(files)

    batch_N3SS = store.batch([4, 0, 4])

    assert len(store) == 6
    assert torch.equal(batch_N3SS, torch.stack([expected(files, row) for row in (4, 0, 4)]))
    assert batch_N3SS.is_contiguous(memory_format=torch.channels_last)


def test_images_are_decoded_once(files, open_images):
    """Later epochs and jobs read the file."""
    first = open_images(files)
    done = []
    again = open_images(files, on_image=done.append)

    assert files.read_count == 6
    assert torch.equal(first.batch(range(6)), again.batch(range(6)))
    assert done == [6]


def test_progress_counts_images(files, open_images):
    """In order, up to all of them."""
    done = []
    open_images(files, on_image=done.append)

    assert done == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"preprocessing": Preprocessing(image_size_px=8)}, id="size"),
        pytest.param(
            {"preprocessing": Preprocessing(image_size_px=SIZE_PX, resize="letterbox")},
            id="resize",
        ),
        pytest.param({"files": Files([5, 4, 3, 2, 1, 0])}, id="order"),
    ],
)
def test_what_differs_is_another_file(files, open_images, tmp_path, other):
    """Nothing is taken for what it is not."""
    open_images(files)
    open_images(**{"files": files} | other)

    assert len(cached_files(tmp_path)) == 2


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:-1], id="cut short"),
        pytest.param(lambda data: data[:100] + b"?" + data[101:], id="a byte changed"),
        pytest.param(lambda data: data[:-12] + b"\0" * 12, id="without its checksum"),
    ],
)
def test_a_damaged_file_is_made_again(files, open_images, tmp_path, damage):
    """A power cut may leave anything."""
    open_images(files)
    (path,) = cached_files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))

    store = open_images(files)

    assert files.read_count == 12
    assert torch.equal(store.batch([2])[0], expected(files, 2))


def test_a_crash_leaves_no_file(files, open_images, tmp_path):
    """What was begun is in the job's own folder, which goes with the job."""
    del files.data["5.jpg"]
    files.data["5.jpg"] = b"not an image"
    with pytest.raises(Internal) as caught:
        open_images(files)

    assert caught.value.reason == Reason.DATASET_INVALID
    assert "5.jpg could be decoded when the data set was imported" in caught.value.message
    assert cached_files(tmp_path) == []


def test_the_file_is_on_the_disk_before_it_has_its_name(files, open_images, tmp_path, monkeypatch):
    """By a call that lets other threads run: a worker must be heard of in the meantime."""
    fsync, seen = os.fsync, []

    def synced(file):
        fsync(file)
        seen.append((os.fstat(file).st_size, cached_files(tmp_path)))

    def holds_all_threads(_):
        raise AssertionError

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(np.memmap, "flush", holds_all_threads)
    open_images(files)

    assert seen == [(FILE_BYTES, [])]
    assert len(cached_files(tmp_path)) == 1


def test_the_longest_unused_files_make_room(open_images, tmp_path):
    """All files together stay within the limit, and what is in use stays readable."""
    stores = []
    for first in (0, 10, 20):
        stores.append(open_images(Files(range(first, first + 6)), max_bytes=3 * FILE_BYTES))
        time.sleep(0.02)  # file times are coarse
    old, used, new = sorted(cached_files(tmp_path), key=lambda path: path.stat().st_mtime)
    os.utime(used, (0, 0))  # `used` is now the longest unused
    stores.append(open_images(Files(range(30, 36)), max_bytes=3 * FILE_BYTES))

    assert used not in cached_files(tmp_path)
    assert {old, new} < set(cached_files(tmp_path))
    assert len(cached_files(tmp_path)) == 3
    assert [len(store.batch(range(6))) for store in stores] == [6] * 4


def test_what_does_not_fit_is_decoded_when_needed(files, open_images, tmp_path):
    """Slower, but the same images."""
    store = open_images(files, max_bytes=FILE_BYTES - 1)

    assert isinstance(store, StreamedImages)
    assert len(store) == 6
    assert torch.equal(store.batch([3, 1]), torch.stack([expected(files, r) for r in (3, 1)]))
    assert not (tmp_path / "cache").exists()


def test_a_full_disk_is_no_error(files, open_images, monkeypatch, tmp_path):
    """A write to a mapping of a file that has no space would kill the process."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    assert isinstance(open_images(files), StreamedImages)
    assert not list((tmp_path / "scratch").iterdir())


def test_space_is_left_for_others(files, open_images, monkeypatch):
    """The cache does not take the last of the disk."""
    monkeypatch.setattr(loading, "_SPARE_BYTES", 2**60)

    assert isinstance(open_images(files), StreamedImages)


def test_the_file_takes_its_space_before_it_is_written(tmp_path):
    """So `du` and the disk agree from the start."""
    path = tmp_path / "file"
    assert loading._reserve(path, 100_000)

    assert path.stat().st_blocks * 512 >= 100_000


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [
        pytest.param(10, 5, [5, 5], id="even"),
        pytest.param(33, 32, [16, 17], id="no last batch of one"),
        pytest.param(7, 3, [2, 2, 3], id="nearly equal"),
        pytest.param(3, 8, [3], id="fewer than a batch"),
        pytest.param(3, 1, [1, 1, 1], id="one by one"),
    ],
)
def test_even_batches(count, size, sizes):
    """Each image once, in order, in as few batches as there must be."""
    batches = even_batches(range(count), size)

    assert [len(batch) for batch in batches] == sizes
    assert [row for batch in batches for row in batch] == list(range(count))


def test_ahead_keeps_the_order():
    """Whoever is faster."""

    def make(number):
        time.sleep(0.01 * (number % 3))
        return number

    assert list(ahead(make, range(12), threads=4, depth=6)) == list(range(12))


def test_ahead_holds_no_more_than_it_should():
    """However slow the consumer is."""
    begun = []
    results = ahead(begun.append, range(100), threads=2, depth=3)
    next(results)
    time.sleep(0.1)

    assert len(begun) <= 5
    results.close()


def test_ahead_stops_with_its_consumer():
    """A cancelled job leaves no thread at work."""
    before = threading.active_count()
    results = ahead(lambda number: number, range(10**9), threads=3, depth=3)
    next(results)
    assert threading.active_count() > before

    results.close()

    assert threading.active_count() == before


def test_an_error_reaches_the_consumer():
    """In its place in the order."""

    def make(number):
        if number == 2:
            raise ValueError("two")
        return number

    results = ahead(make, range(5), threads=2, depth=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_cached_images_are_copies():
    """Varying a batch does not change the file."""
    pixels = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    CachedImages(pixels).batch([0]).fill_(9)

    assert not pixels.any()
