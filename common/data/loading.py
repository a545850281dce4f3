"""Images for training: decoded and resized once, kept in a file, handed out in batches.

The file holds uint8 pixels, is mapped into memory and outlives the job, so that neither later
epochs nor later jobs on the same images decode anything.

Shape letters: N images, S side of the network's input, 3 colours.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch

from common.data import images, transforms
from common.errors import Internal
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from torch import Tensor

    from common.data.manifest import Entry
    from common.data.reading import DatasetReader
    from nocode.vision.v1.model_pb2 import Preprocessing

    Pixels = np.ndarray[Any, np.dtype[np.uint8]]

CACHE_VERSION = 1
"""To be raised when decoding or resizing changes what comes out."""

_MAGIC = b"NCVCACHE"
_TRAILER_BYTES = len(_MAGIC) + 4
_CHECK_BYTES = 16 * 1024**2
# What is left free on the disk, for everybody else.
_SPARE_BYTES = 512 * 1024**2

T = TypeVar("T")
R = TypeVar("R")


class ImageStore(Protocol):
    """Resized images by their row, which is their place in the list that the store was made of."""

    def __len__(self) -> int:
        """Return the number of images."""

    def batch(self, rows: Sequence[int]) -> Tensor:
        """Return uint8 images (N, 3, S, S), channels last in memory. Thread-safe."""


class CachedImages:
    """Images in a file of resized pixels."""

    def __init__(self, pixels_NSS3: Pixels) -> None:
        self._pixels_NSS3 = pixels_NSS3

    def __len__(self) -> int:
        return len(self._pixels_NSS3)

    def batch(self, rows: Sequence[int]) -> Tensor:
        """Copy images out of the file."""
        return torch.from_numpy(self._pixels_NSS3[list(rows)]).permute(0, 3, 1, 2)


class StreamedImages:
    """Images that are decoded whenever they are asked for, where the file would be too large."""

    def __init__(
        self,
        reader: DatasetReader,
        entries: Sequence[Entry],
        preprocessing: Preprocessing,
        *,
        max_pixels: int,
    ) -> None:
        self._reader = reader
        self._entries = entries
        self._preprocessing = preprocessing
        self._max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self._entries)

    def batch(self, rows: Sequence[int]) -> Tensor:
        """Read, decode and resize images."""
        return transforms.stack([self._image(self._entries[row]) for row in rows])

    def _image(self, entry: Entry) -> Tensor:
        return resized(self._reader.read(entry), entry, self._preprocessing, self._max_pixels)


class ImageCache:
    """A folder of files of resized images, bounded in size: the longest unused go first.

    Args:
        folder: Where the files are; shared by all jobs on a machine.
        max_bytes: Size of all files together.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def open(
        self,
        reader: DatasetReader,
        entries: Sequence[Entry],
        preprocessing: Preprocessing,
        *,
        max_pixels: int,
        scratch: Path,
        on_image: Callable[[int], None],
    ) -> ImageStore:
        """Return the images of `entries`, decoded now unless an earlier job has left them.

        Args:
            reader: Where the files come from.
            entries: The images wanted, fastest in index order.
            preprocessing: Says how large.
            max_pixels: Larger images are refused.
            scratch: A folder on the same disk for the file while it is made; whoever owns it
                removes it if this process dies.
            on_image: Called with the number of images done, again and again.
        """
        size_px = preprocessing.image_size_px
        shape = (len(entries), size_px, size_px, 3)
        path = self._folder / f"{_key(entries, preprocessing)}.u8"
        pixels_NSS3 = _open_checked(path, shape)
        if pixels_NSS3 is not None:
            os.utime(path)
            on_image(len(entries))
            return CachedImages(pixels_NSS3)
        streamed = StreamedImages(reader, entries, preprocessing, max_pixels=max_pixels)
        scratch.mkdir(parents=True, exist_ok=True)
        partial = scratch / f"{path.name}.{os.getpid()}"
        if not self._make_room(partial, _file_bytes(shape)):
            return streamed
        written_NSS3 = np.memmap(partial, dtype=np.uint8, mode="r+", shape=shape)
        self._fill(written_NSS3, reader, entries, preprocessing, max_pixels, on_image)
        with partial.open("r+b") as file:
            file.seek(int(np.prod(shape)))
            file.write(_trailer(written_NSS3))
            file.flush()
            # Writes what is mapped as well. Unlike the mapping's own `flush`, it lets other
            # threads run meanwhile: for a large file it takes longer than a worker may be silent.
            os.fsync(file.fileno())
        del written_NSS3
        partial.replace(path)
        return CachedImages(np.memmap(path, dtype=np.uint8, mode="r", shape=shape))

    def _fill(
        self,
        pixels_NSS3: Pixels,
        reader: DatasetReader,
        entries: Sequence[Entry],
        preprocessing: Preprocessing,
        max_pixels: int,
        on_image: Callable[[int], None],
    ) -> None:
        def decode(item: tuple[int, Entry, bytes]) -> None:
            row, entry, data = item
            image_3SS = resized(data, entry, preprocessing, max_pixels)
            pixels_NSS3[row] = image_3SS.permute(1, 2, 0).numpy()

        items = zip(range(len(entries)), entries, reader.read_many(entries), strict=True)
        threads = core_count()
        for done, _ in enumerate(ahead(decode, items, threads=threads, depth=4 * threads), 1):
            on_image(done)

    def _make_room(self, partial: Path, needed_bytes: int) -> bool:
        """Reserve the disk space of a file, deleting others if need be; False if that fails."""
        if needed_bytes > self._max_bytes:
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        files = sorted(_files(self._folder), key=lambda file: file[1].st_mtime)
        used_bytes = sum(stat.st_size for _, stat in files)
        for path, stat in files:
            if used_bytes + needed_bytes <= self._max_bytes and self._fits(needed_bytes):
                break
            used_bytes -= stat.st_size
            # Whoever has it mapped keeps it; only its name goes.
            path.unlink(missing_ok=True)
        return self._fits(needed_bytes) and _reserve(partial, needed_bytes)

    def _fits(self, needed_bytes: int) -> bool:
        return needed_bytes <= shutil.disk_usage(self._folder).free - _SPARE_BYTES


def resized(data: bytes, entry: Entry, preprocessing: Preprocessing, max_pixels: int) -> Tensor:
    """Decode and resize an image of a data set to uint8 (3, S, S).

    Raises:
        Internal: It cannot be decoded any more, though it could when the data set was imported.
    """
    try:
        image_HW3 = images.decode(
            data, max_pixels=max_pixels, at_least_px=transforms.decode_size(preprocessing)
        )
    except images.ImageError as error:
        raise Internal(
            Reason.DATASET_INVALID,
            f"{entry.file} could be decoded when the data set was imported, and cannot be now: "
            f"{error.message} Import the data set again.",
            file=entry.file,
        ) from error
    return transforms.resize(image_HW3, preprocessing)


def ahead(make: Callable[[T], R], items: Iterable[T], *, threads: int, depth: int) -> Iterator[R]:
    """Yield `make(item)` for each item, in order; threads are at work on the next `depth`."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="loading")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def core_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def even_batches(order: Sequence[int], batch_size: int) -> list[list[int]]:
    """Cut into as few batches of at most `batch_size` as there must be, of nearly equal size.

    So there is no small last batch, whose few images would each count for more and, alone, could
    not be normalized.
    """
    count = -(-len(order) // batch_size)
    bounds = [len(order) * i // count for i in range(count + 1)]
    return [list(order[start:end]) for start, end in pairwise(bounds)]


def _key(entries: Sequence[Entry], preprocessing: Preprocessing) -> str:
    """Return a name for the pixels: equal files in equal order at equal size have the same."""
    how = [CACHE_VERSION, preprocessing.image_size_px, preprocessing.resize]
    digest = hashlib.sha256(json.dumps(how).encode())
    for entry in entries:
        digest.update(bytes.fromhex(entry.sha256))
    return digest.hexdigest()


def _open_checked(path: Path, shape: tuple[int, ...]) -> Pixels | None:
    """Map a file of pixels; None, and the file gone, if it is not whole or has changed."""
    try:
        if path.stat().st_size == _file_bytes(shape):
            pixels_NSS3 = np.memmap(path, dtype=np.uint8, mode="r", shape=shape)
            with path.open("rb") as file:
                file.seek(-_TRAILER_BYTES, os.SEEK_END)
                if file.read() == _trailer(pixels_NSS3):
                    return pixels_NSS3
        path.unlink()
    except FileNotFoundError:
        pass
    return None


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in folder.glob("*.u8"):
        try:
            yield path, path.stat()
        except FileNotFoundError:
            continue  # another job has just made room for itself


def _reserve(path: Path, size_bytes: int) -> bool:
    """Make a file whose space on the disk is taken; False if the disk is full.

    Without that, a write to the mapping of a file on a full disk would kill the process.
    """
    with path.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
        except OSError:
            path.unlink()
            return False
    return True


def _file_bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) + _TRAILER_BYTES


def _trailer(pixels_NSS3: Pixels) -> bytes:
    flat = pixels_NSS3.reshape(-1)
    checksum = 0
    for start in range(0, len(flat), _CHECK_BYTES):
        checksum = zlib.crc32(flat[start : start + _CHECK_BYTES].data, checksum)
    return _MAGIC + checksum.to_bytes(4, "little")
