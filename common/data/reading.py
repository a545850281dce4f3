"""Reads a data set from the bucket: its manifest, and its images by offset in their shards."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

from common.data.manifest import Entry, Place, read_lines
from common.errors import Internal, NotFound
from common.reasons import Reason
from common.settings import MIB
from common.storage.bucket import KeyMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from common.storage.bucket import Bucket

# Images that lie next to each other are fetched together up to this size. A gap, which tar's
# headers and padding are, costs less than another request.
_RANGE_BYTES = 4 * MIB
_GAP_BYTES = 64 * 1024
_THREADS = 4
# Ranges fetched ahead of the reader.
_AHEAD = 8


class DatasetReader:
    """The images of one data set. May be used from several threads."""

    def __init__(self, bucket: Bucket, dataset_name: str) -> None:
        self._bucket = bucket
        self._name = dataset_name

    def entries(self) -> list[Entry]:
        """Return the manifest: an image's place in the list is its index.

        Raises:
            NotFound: There is no such data set.
        """
        return self._entries

    @cached_property
    def _entries(self) -> list[Entry]:
        try:
            data = self._bucket.get(f"{self._name}/manifest.jsonl")
        except KeyMissing:
            raise NotFound(
                Reason.RESOURCE_NOT_FOUND,
                f"The data set {self._name} does not exist; it may have been deleted.",
                name=self._name,
            ) from None
        return list(read_lines(data.splitlines()))

    def read(self, entry: Entry) -> bytes:
        """Return the bytes of an image's file, as uploaded."""
        return self._fetch([entry])[0]

    def annotations(self, entries: Iterable[Entry]) -> Iterator[Mapping[str, Any]]:
        """Yield the annotation of images, those with a mask as `Task.complete` made them."""
        entries = list(entries)
        masks = self.read_many([entry.mask for entry in entries if entry.mask is not None])
        for entry in entries:
            if entry.mask is None:
                yield entry.annotation
            else:
                yield {**entry.annotation, "mask": next(masks)}

    def read_many(self, entries: Iterable[Entry | Place]) -> Iterator[bytes]:
        """Yield the bytes of images or masks in the order given; fastest in index order.

        A few ranges are fetched ahead, so that memory does not grow with the number of images.
        """
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="dataset-reader")
        fetched: deque[Future[list[bytes]]] = deque()
        try:
            for run in _runs(entries):
                fetched.append(pool.submit(self._fetch, run))
                if len(fetched) == _AHEAD:
                    yield from fetched.popleft().result()
            while fetched:
                yield from fetched.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _fetch(self, run: Sequence[Entry | Place]) -> list[bytes]:
        """Read entries of one shard, in the order of their offsets, with one request."""
        start, end = run[0].offset, run[-1].offset + run[-1].size
        key = f"{self._name}/shards/{run[0].shard}"
        try:
            data = self._bucket.get(key, offset=start, length=end - start)
        except KeyMissing:
            data = b""
        if len(data) != end - start:
            raise Internal(
                Reason.DATASET_INVALID,
                f"{self._bucket.uri(key)} is gone or cut short: {self._name} is damaged. "
                "Delete the data set and import it again.",
                name=self._name,
            )
        return [data[entry.offset - start : entry.offset - start + entry.size] for entry in run]


def _runs(entries: Iterable[Entry | Place]) -> Iterator[list[Entry | Place]]:
    """Cut into runs whose files lie one after the other and fit in a range."""
    run: list[Entry | Place] = []
    for entry in entries:
        if run:
            end = run[-1].offset + run[-1].size
            near = end <= entry.offset <= end + _GAP_BYTES
            fits = entry.offset + entry.size - run[0].offset <= _RANGE_BYTES
            if run[0].shard != entry.shard or not near or not fits:
                yield run
                run = []
        run.append(entry)
    if run:
        yield run
