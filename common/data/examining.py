"""Looks at every image of an archive: decodes it whole, and takes what is later needed of it."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from common.data import duplicates, images
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from common.data.tree import Tree

# Decoders give up Python's lock, so that threads pay; more of them gain little.
_MAX_THREADS = 8
# Images looked at ahead of the caller, for each thread.
_AHEAD = 8
# What the images at work may take together; one that needs more is looked at alone.
_MEMORY_BYTES = 256 * MIB
# What decoding takes at most. A JPEG is shrunk as it is decoded; others are held as read, as RGBA
# and as RGB.
_JPEG_BYTES_PER_PIXEL = 4
_BYTES_PER_PIXEL = 12
# No file needs more: four channels of 16 bits, without compression.
_FILE_BYTES_PER_PIXEL = 8
# Where the size of an image is found, almost always.
_START_BYTES = MIB


class Examined(NamedTuple):
    """What is known of an image that can be used."""

    info: images.ImageInfo
    sha256: bytes
    fingerprint: bytes


def examine(
    tree: Tree, files: Iterable[str], *, max_pixels: int
) -> Iterator[Examined | images.ImageError]:
    """Yield, in order, what the image in each file is like or why it cannot be used.

    Memory is bounded, however many images there are and whatever is in them.
    """
    threads = min(_MAX_THREADS, len(os.sched_getaffinity(0)))
    examiner = _Examiner(tree, max_pixels)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="examine")
    waiting: deque[Future[Examined | images.ImageError]] = deque()
    try:
        for file in files:
            waiting.append(pool.submit(examiner.examine, file))
            if len(waiting) > threads * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Examiner:
    """Looks at one image; called by several threads."""

    def __init__(self, tree: Tree, max_pixels: int) -> None:
        self._tree = tree
        self._max_pixels = max_pixels
        self._memory = _Budget(_MEMORY_BYTES)

    def examine(self, path: str) -> Examined | images.ImageError:
        try:
            return self._examine(path)
        except images.ImageError as error:
            return error

    def _examine(self, path: str) -> Examined:
        size = self._tree.size(path)
        with self._memory.hold(size + self._decoding_bytes(path, size)):
            data = self._tree.read(path)
            info, pixels_HW3 = images.read(
                data, max_pixels=self._max_pixels, at_least_px=duplicates.SOURCE_PX
            )
            return Examined(info, hashlib.sha256(data).digest(), duplicates.fingerprint(pixels_HW3))

    def _decoding_bytes(self, path: str, size: int) -> int:
        """Estimate the memory that decoding takes, from the start of the file."""
        with self._tree.open(path) as file:
            start = file.read(_START_BYTES)
        if size > _START_BYTES + self._max_pixels * _FILE_BYTES_PER_PIXEL:
            if images.is_image(start):
                raise images.ImageError(images.IMAGE_TOO_LARGE, "The file is too large.")
            raise images.ImageError(images.IMAGE_NOT_AN_IMAGE, "The file is no image.")
        try:
            info = images.probe(start, max_pixels=self._max_pixels)
        except images.ImageError:
            if len(start) == size:
                raise
            return self._max_pixels * _BYTES_PER_PIXEL  # behind megabytes of metadata
        is_jpeg = info.format == "JPEG"
        return info.width * info.height * (_JPEG_BYTES_PER_PIXEL if is_jpeg else _BYTES_PER_PIXEL)


class _Budget:
    """An amount that threads share; whoever asks for more than all of it gets all of it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._left = total
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        amount = min(amount, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify_all()
