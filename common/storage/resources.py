"""Resources in the bucket: each is its protobuf message as JSON, changed by compare-and-swap.

A list is read newest first at the cost of a page, from an index: an empty object for each resource,
`tasks/{task}/index/{collection}/{time}-{id}`, where `time` counts down, so that the order of keys
is the order of the list. It is written before the resource and deleted after it. An entry whose
resource is not (or no longer) there, or was made at another time, is passed over.
"""

from __future__ import annotations

import heapq
import random
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from google.protobuf import json_format
from google.rpc import error_details_pb2  # noqa: F401 - so that the details of errors can be read

from common import names
from common.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from common.reasons import Reason
from common.storage import paging
from common.storage.bucket import Bucket, KeyMissing, PreconditionFailed
from nocode.vision.v1 import dataset_pb2, job_pb2, model_pb2, pipeline_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from common.names import Collection

M = TypeVar("M", dataset_pb2.Dataset, pipeline_pb2.Pipeline, job_pb2.Job, model_pb2.Model)

_TIME_DIGITS = 19
_END_OF_TIME = 10**_TIME_DIGITS - 1  # in nanoseconds; the year 2286
_UPDATE_ATTEMPTS = 20
_UPDATE_PAUSE_S = 0.02
_READ_AT_ONCE = 50

# The resources of a page are read side by side. Starts its threads when they are first needed.
_readers = ThreadPoolExecutor(16, thread_name_prefix="read-page")


class _Entry(NamedTuple):
    """One resource in the index of its collection."""

    position: str
    task: str


class Resources(Generic[M]):
    """The resources of one collection. Thread-safe; calls block.

    Args:
        bucket: Where they are.
        message_type: What they are.
        collection: As in their names, e.g. `datasets`.
        document: What the JSON is called, e.g. `dataset.json`.
    """

    def __init__(
        self, bucket: Bucket, message_type: type[M], collection: Collection, document: str
    ) -> None:
        self._bucket = bucket
        self._message_type: type[M] = message_type
        self._collection = collection
        self._document = document

    def get(self, name: str) -> M:
        """Return a resource.

        Raises:
            NotFound: There is none.
        """
        return self._get(name)[0]

    def get_versioned(self, name: str, *, unless_etag: str | None = None) -> tuple[M, str] | None:
        """Return a resource with its ETag, or None if it still has the ETag `unless_etag`.

        Raises:
            NotFound: There is none.
        """
        try:
            found = self._bucket.get_versioned(self._key(name), unless_etag=unless_etag)
        except KeyMissing:
            raise _not_found(name) from None
        return (self._parse(found[0]), found[1]) if found else None

    def exists(self, name: str) -> bool:
        """Tell whether there is a resource of this name."""
        return self._bucket.stat(self._key(name)) is not None

    def create(self, name: str, message: M) -> None:
        """Write a new resource; one without a `create_time` is given the present.

        Raises:
            AlreadyExists: There is one of this name.
        """
        if not message.HasField("create_time"):
            message.create_time.FromNanoseconds(time.time_ns())
        entry = self._index_key(name, message)
        self._bucket.put(entry, b"")
        try:
            self._bucket.put(self._key(name), _format(message), if_absent=True)
        except PreconditionFailed:
            existing = self._find(name)
            if existing is None or self._index_key(name, existing) != entry:
                self._bucket.delete(entry)
            raise AlreadyExists(
                Reason.RESOURCE_EXISTS,
                f"{name} exists already. Choose another id, or delete it first.",
                name=name,
            ) from None

    def update(self, name: str, change: Callable[[M], None]) -> M:
        """Change a resource and return it as it then is.

        Args:
            name: Its name.
            change: Is given the resource as it is and changes it. Called again when somebody else
                was faster; what it raises passes through.

        Raises:
            NotFound: There is none.
            Conflict: Somebody else was faster again and again.
        """
        for attempt in range(_UPDATE_ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, _UPDATE_PAUSE_S * min(attempt, 10)))  # noqa: S311
            message, etag = self._get(name)
            before = self._message_type()
            before.CopyFrom(message)
            change(message)
            if message == before:
                return message
            if message.create_time != before.create_time:
                raise ValueError(f"the create_time of {name} was changed: lists go by it")
            try:
                self._bucket.put(self._key(name), _format(message), if_match=etag)
            except PreconditionFailed:
                continue
            return message
        raise Conflict(
            Reason.RESOURCE_CHANGED,
            f"{name} was changed by others {_UPDATE_ATTEMPTS} times in a row. Try again.",
            retry_after_s=1.0,
            name=name,
        )

    def delete(self, name: str) -> None:
        """Delete a resource, and nothing else below its name.

        Raises:
            NotFound: There is none.
        """
        message = self.get(name)
        self._bucket.delete(self._key(name))
        self._bucket.delete(self._index_key(name, message))

    def list(
        self, tasks: Sequence[str], parent: str, page_size: int, page_token: str
    ) -> tuple[list[M], str]:
        """Return a page of resources, newest first, and the token of the next page, if any.

        Args:
            tasks: Those that this service serves.
            parent: `tasks/{task}`, or `tasks/-` for all of `tasks`.
            page_size: At most this many, and fewer if they are large; 0 means the default.
            page_token: That of the page before, or empty.

        Raises:
            InvalidInput: A parent, size or token that is none.
        """
        task = names.parse_task(parent, wildcard=True)
        if task != names.ALL_TASKS:
            if task not in tasks:
                raise InvalidInput(
                    Reason.TASK_UNKNOWN,
                    f"parent is {parent}, but this service serves {', '.join(tasks)}.",
                    field="parent",
                    value=parent,
                )
            tasks = [task]
        size = paging.check_page_size(page_size)
        after = paging.read_token(page_token, parent)
        entries = heapq.merge(*(self._index(task, after, size + 1) for task in tasks))

        page: list[M] = []
        page_bytes = 0
        while len(page) < size:
            batch = list(islice(entries, min(size - len(page), _READ_AT_ONCE)))
            if not batch:
                return page, ""
            for entry, found in zip(batch, _readers.map(self._read_entry, batch), strict=True):
                if found:
                    page_bytes += found.ByteSize()
                    if page and page_bytes > paging.MAX_PAGE_BYTES:
                        return page, paging.write_token(parent, after)
                    page.append(found)
                after = entry.position
        return page, paging.write_token(parent, after) if next(entries, None) else ""

    def _index(self, task: str, after: str, chunk: int) -> Iterator[_Entry]:
        """Yield the index behind a position, asking for `chunk` entries at once."""
        prefix = self._index_prefix(task)
        while True:
            start = prefix + after if after else ""
            found = 0
            for stat in self._bucket.list(prefix, start_after=start, limit=chunk):
                found += 1
                after = stat.key.removeprefix(prefix)
                yield _Entry(after, task)
            if found < chunk:
                return

    def _read_entry(self, entry: _Entry) -> M | None:
        resource_id = entry.position.partition("-")[2]
        message = self._find(str(names.ResourceName(entry.task, self._collection, resource_id)))
        return (
            message if message and self._position(resource_id, message) == entry.position else None
        )

    def _get(self, name: str) -> tuple[M, str]:
        found = self.get_versioned(name)
        if found is None:
            raise AssertionError("only a read with `unless_etag` can find nothing new")
        return found

    def _find(self, name: str) -> M | None:
        try:
            return self.get(name)
        except NotFound:
            return None

    def _parse(self, content: bytes) -> M:
        # A replica of a newer version may have written fields that this one does not know.
        message: M = self._message_type()
        json_format.Parse(content, message, ignore_unknown_fields=True)
        return message

    def _key(self, name: str) -> str:
        return f"{name}/{self._document}"

    def _index_prefix(self, task: str) -> str:
        return f"tasks/{task}/index/{self._collection}/"

    def _index_key(self, name: str, message: M) -> str:
        _, task, _, resource_id = name.split("/")
        return self._index_prefix(task) + self._position(resource_id, message)

    @staticmethod
    def _position(resource_id: str, message: M) -> str:
        left = _END_OF_TIME - message.create_time.ToNanoseconds()
        return f"{left:0{_TIME_DIGITS}}-{resource_id}"


def datasets(bucket: Bucket) -> Resources[dataset_pb2.Dataset]:
    """Return the data sets of a bucket."""
    return Resources(bucket, dataset_pb2.Dataset, "datasets", "dataset.json")


def pipelines(bucket: Bucket) -> Resources[pipeline_pb2.Pipeline]:
    """Return the pipelines of a bucket."""
    return Resources(bucket, pipeline_pb2.Pipeline, "pipelines", "pipeline.json")


def jobs(bucket: Bucket) -> Resources[job_pb2.Job]:
    """Return the jobs of a bucket."""
    return Resources(bucket, job_pb2.Job, "jobs", "job.json")


def models(bucket: Bucket) -> Resources[model_pb2.Model]:
    """Return the models of a bucket."""
    return Resources(bucket, model_pb2.Model, "models", "model.json")


def _format(message: M) -> bytes:
    return json_format.MessageToJson(message, preserving_proto_field_name=True).encode()


def _not_found(name: str) -> NotFound:
    return NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist.", name=name)
