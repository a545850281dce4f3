"""Writes images to tar shards in the bucket, as they are, to be read by offset."""

from __future__ import annotations

import shutil
import tarfile
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from common.data.manifest import Place
from common.settings import MIB

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from common.storage.bucket import Bucket

MAX_SHARD_BYTES = 256 * MIB


class NoWriter:
    """Takes the place of a `ShardWriter` where nothing is to be kept."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add(self, content: BinaryIO, size: int, suffix: str) -> Place:
        """Keep nothing."""
        del content, suffix
        return Place("", 0, size)


class ShardWriter:
    """Appends images and masks; a full shard is uploaded while the next one is written.

    Args:
        bucket: Where to.
        prefix: Of the keys, e.g. `tasks/classification/datasets/cats/shards/`.
        work_dir: Holds two shards at most.
        stem: What the names of shards begin with, before their number.
        max_bytes: Of a shard, unless it holds a single file.
    """

    def __init__(
        self,
        bucket: Bucket,
        prefix: str,
        work_dir: Path,
        *,
        stem: str = "",
        max_bytes: int = MAX_SHARD_BYTES,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._work_dir = work_dir
        self._stem = stem
        self._max_bytes = max_bytes
        self._uploader = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._uploading: Future[None] | None = None
        self._file: BinaryIO | None = None
        self._shard_count = 0
        self._file_count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._finish_shard()
                self._await_upload()
        finally:
            if self._file is not None:
                self._file.close()
            self._uploader.shutdown(wait=True, cancel_futures=True)

    def add(self, content: BinaryIO, size: int, suffix: str) -> Place:
        """Append a file of `size` bytes; it is called by its number in the tar."""
        padded = size + -size % tarfile.BLOCKSIZE
        end_bytes = 2 * tarfile.BLOCKSIZE
        if self._file is not None:
            full = self._file.tell() + tarfile.BLOCKSIZE + padded + end_bytes > self._max_bytes
            if full:
                self._finish_shard()
        if self._file is None:
            self._file = (self._work_dir / self._shard).open("wb")
        header = tarfile.TarInfo(f"{self._file_count:08d}{suffix}")
        header.size = size
        self._file.write(header.tobuf(tarfile.USTAR_FORMAT))
        place = Place(self._shard, self._file.tell(), size)
        shutil.copyfileobj(content, self._file, MIB)
        self._file.write(bytes(padded - size))
        self._file_count += 1
        return place

    @property
    def _shard(self) -> str:
        return f"{self._stem}{self._shard_count:05d}.tar"

    def _finish_shard(self) -> None:
        if self._file is None:
            return
        self._file.write(bytes(2 * tarfile.BLOCKSIZE))
        self._file.close()
        self._file = None
        self._await_upload()
        self._uploading = self._uploader.submit(self._upload, self._shard)
        self._shard_count += 1

    def _await_upload(self) -> None:
        if self._uploading is not None:
            self._uploading.result()

    def _upload(self, shard: str) -> None:
        path = self._work_dir / shard
        self._bucket.put_file(self._prefix + shard, path)
        path.unlink()
