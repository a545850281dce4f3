"""The data sets of a service: uploaded, imported, listed and deleted.

`tasks/{task}/datasets/{id}/reserved` holds the name of the import job that may write there, so that
no two imports share an id. While a data set is being deleted it says so instead, until nothing else
is left, so that the deletion takes nothing from an import that comes after it.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from common import names
from common.catalog import formats, imports, requests, splitting, uses
from common.data import exporting, sources
from common.errors import AlreadyExists, Exhausted, InvalidInput, NotFound, WrongState
from common.jobs import states
from common.reasons import Reason
from common.settings import MIB
from common.storage import resources
from common.storage.bucket import KeyMissing, PreconditionFailed
from nocode.vision.v1 import dataset_pb2 as pb
from nocode.vision.v1 import job_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterator, Sequence

    from common.jobs.store import Jobs
    from common.names import ResourceName
    from common.settings import ServiceSettings
    from common.storage.bucket import Bucket
    from common.task import Task

MAX_CHUNK_BYTES = MIB
_SHOWN_USERS = 5
# In `reserved`, before what tells one deletion from another.
_DELETION = "deletion/"


class Upload(NamedTuple):
    """An archive that was received."""

    name: str
    sha256: str
    size_bytes: int


class Datasets:
    """The data sets of a service's tasks. Blocks, but for `upload`."""

    def __init__(
        self, bucket: Bucket, settings: ServiceSettings, tasks: Sequence[Task], jobs: Jobs
    ) -> None:
        self._bucket = bucket
        self._settings = settings
        self._tasks = {task.name: task for task in tasks}
        self._jobs = jobs
        self._datasets = resources.datasets(bucket)

    async def upload(self, parent: str, sha256: str, chunks: AsyncIterable[bytes]) -> Upload:
        """Keep an archive until it is imported, or for `upload_keep_s` seconds.

        It is received on disk, where it has no name, so that nothing is kept of a stream that
        breaks off, even if this process dies. Only then does it go to the bucket.

        Args:
            parent: `tasks/{task}`.
            sha256: Of the whole archive in hexadecimal, or empty.
            chunks: Its bytes.

        Raises:
            InvalidInput: It is too large, empty, or not what `sha256` announces.
            Exhausted: The disk is full.
        """
        self._task(parent)
        if sha256:
            sources.check_sha256(sha256, field="sha256")
        limit = self._settings.max_archive_bytes
        folder = self._settings.work_dir / "uploads"
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        digest = hashlib.sha256()
        size = 0
        with sources.disk_full_named(folder), tempfile.TemporaryFile(dir=folder) as file:

            def keep(chunk: bytes) -> None:
                file.write(chunk)
                digest.update(chunk)

            async for chunk in chunks:
                size += len(chunk)
                if len(chunk) > MAX_CHUNK_BYTES:
                    raise _chunk_too_large(len(chunk))
                if size > limit:
                    raise sources.too_large(limit, size)
                await asyncio.to_thread(keep, chunk)
            if not size:
                raise InvalidInput(
                    Reason.FIELD_REQUIRED,
                    "chunk is empty in every message. Send the bytes of an archive.",
                    field="chunk",
                )
            actual = digest.hexdigest()
            if sha256 and sha256.lower() != actual:
                raise sources.mismatch(sha256.lower(), actual, field="sha256")
            key = f"{sources.UPLOADS}{actual}"
            await asyncio.to_thread(self._store, key, file)
        return Upload(key, actual, size)

    def _store(self, key: str, file: BinaryIO) -> None:
        keep_s = self._settings.upload_keep_s
        if not sources.is_kept_for_long(self._bucket, key, keep_s):
            file.seek(0)
            self._bucket.put_stream(key, _pieces(file))
        # Here, since uploads cannot fill the bucket but by being added to.
        sources.sweep(self._bucket, self._jobs, keep_s)

    def import_(self, request: pb.ImportDatasetRequest) -> job_pb2.Job:
        """Queue an import.

        Raises:
            InvalidInput: A field is wrong.
            NotFound: The source is not there.
            AlreadyExists: The id is taken.
            Exhausted: The queue is full.
        """
        task = self._task(request.parent)
        job_name = self._jobs.name_for(job_pb2.Job.KIND_IMPORT, request.parent, request.request_id)
        dataset = names.ResourceName(
            task.name,
            "datasets",
            names.check_id(request.dataset_id, field="dataset_id")
            if request.dataset_id
            # The same for a repeated request.
            else f"dataset-{job_name.id.rpartition('-')[2]}",
        )
        spec = imports.spec_of(request, task, dataset)
        # A repeated request is answered even if the upload is imported and gone by now.
        if self._jobs.find(job_name) is None:
            imports.check(request, task)
            sources.check(request.source, self._bucket, self._settings)
            if not request.validate_only:
                self._reserve(dataset, job_name)
            elif self._datasets.exists(str(dataset)):
                raise _taken(dataset, "exists already")
        try:
            return self._jobs.create(job_name, spec, request_id=request.request_id)
        except Exhausted:
            if not request.validate_only:
                self._bucket.delete(_reserved(dataset))
            raise

    def export(self, name: str, export_format: str, request_id: str) -> job_pb2.Job:
        """Queue the writing of a data set in a format that other programs read.

        Args:
            name: Of the data set.
            export_format: One of `Task.exporters`; empty means the first.
            request_id: A retry with the same one returns the same job.

        Raises:
            InvalidInput: There is no such format for its task.
            NotFound: There is none of that name.
            Exhausted: The queue is full.
        """
        dataset = self._parse(name)
        exporter = exporting.by_name(self._tasks[dataset.task].exporters, export_format)
        job_name = self._jobs.name_for(job_pb2.Job.KIND_EXPORT, name, request_id)
        if not (request_id and self._jobs.find(job_name)):
            self._datasets.get(str(dataset))
        spec = job_pb2.ExportSpec(dataset=name, format=exporter.name)
        return self._jobs.create(job_name, spec, request_id=request_id)

    def list_formats(
        self, parent: str, page_size: int, page_token: str
    ) -> tuple[list[pb.DatasetFormat], str]:
        """Return a page of the formats that can be imported, and the token of the next page.

        Raises:
            InvalidInput: A parent, size or token that is none.
        """
        return formats.page(self._tasks, parent, page_size, page_token)

    def get(self, name: str) -> pb.Dataset:
        """Return a data set.

        Raises:
            NotFound: There is none of that name.
        """
        return self._datasets.get(str(self._parse(name)))

    def list(self, parent: str, page_size: int, page_token: str) -> tuple[list[pb.Dataset], str]:
        """Return a page of data sets, newest first, and the token of the next page."""
        return self._datasets.list(tuple(self._tasks), parent, page_size, page_token)

    def delete(self, name: str) -> None:
        """Delete a data set and its images; or what is left of one, if that was cut short.

        Raises:
            NotFound: There is none of that name.
            WrongState: A pipeline or a job uses it.
        """
        dataset = self._parse(name)
        try:
            message = self._datasets.get(str(dataset))
        except NotFound:
            if not self._holder(dataset).startswith(_DELETION):
                raise
            self._sweep(dataset, self._begin_deletion(dataset))
            return
        self._check_unused(dataset)
        deletion = self._begin_deletion(dataset)
        with suppress(NotFound):  # another request does the same
            self._datasets.delete(str(dataset))
        # A pipeline leaves its mark first and looks for the data set then, so that either it sees
        # that the data set is gone, or its mark is seen here.
        try:
            self._check_unused(dataset)
        except WrongState:
            self._datasets.create(str(dataset), message)
            self._bucket.put(_reserved(dataset), message.job.encode())
            raise
        self._sweep(dataset, deletion)

    def _begin_deletion(self, dataset: ResourceName) -> str:
        """Take the data set's place for a deletion, from another one too, and return its mark.

        Raises:
            NotFound: There is nothing to delete, because the place is another import's by now.
        """
        deletion = f"{_DELETION}{secrets.token_hex(8)}"
        key = _reserved(dataset)
        while True:
            try:
                holder, etag = self._bucket.get_versioned(key) or (b"", "")
            except KeyMissing:
                holder, etag = b"", ""
            is_there = self._datasets.exists(str(dataset))
            if not is_there and not holder.decode().startswith(_DELETION):
                raise NotFound(
                    Reason.RESOURCE_NOT_FOUND, f"{dataset} does not exist.", name=dataset
                )
            try:
                if etag:
                    self._bucket.put(key, deletion.encode(), if_match=etag)
                else:
                    self._bucket.put(key, deletion.encode(), if_absent=True)
            except PreconditionFailed:
                continue
            return deletion

    def _sweep(self, dataset: ResourceName, deletion: str) -> None:
        """Delete what a data set has left; what keeps others from using its id goes last.

        It is left to a later deletion, if one has begun, which alone knows when the id is free.
        """
        parts: list[Callable[[], object]] = [
            partial(self._bucket.delete_prefix, f"{dataset}/shards/"),
            partial(self._bucket.delete_prefix, f"{dataset}/used_by/"),
            partial(self._bucket.delete_prefix, f"{dataset}/plots/"),
            partial(self._bucket.delete_prefix, f"{dataset}/exports/"),
            partial(self._bucket.delete, f"{dataset}/manifest.jsonl"),
            partial(self._bucket.delete, _reserved(dataset)),
        ]
        for delete_part in parts:
            if self._holder(dataset) != deletion:
                return
            delete_part()

    def _holder(self, dataset: ResourceName) -> str:
        """Return what holds a place: the name of a job, or a deletion; empty if nothing does."""
        try:
            return self._bucket.get(_reserved(dataset)).decode()
        except KeyMissing:
            return ""

    def _check_unused(self, dataset: ResourceName) -> None:
        if pipelines := _some_of(uses.users(self._bucket, dataset)):
            raise WrongState(
                Reason.DATASET_IN_USE,
                f"{dataset} is used by {pipelines}. Delete these pipelines first.",
                field="name",
                pipelines=pipelines,
            )
        if jobs := _some_of(self._readers(dataset)):
            raise WrongState(
                Reason.DATASET_IN_USE,
                f"{dataset} is used by {jobs}. Wait for these jobs, or cancel them first.",
                field="name",
                jobs=jobs,
            )

    def _readers(self, dataset: ResourceName) -> Iterator[ResourceName]:
        """Yield the jobs that measure a model on a data set or export it, and have not ended."""
        for marker in self._jobs.active(dataset.task):
            job = self._jobs.find(names.parse(marker.job, "jobs"))
            if job is None or states.ended(job.state):
                continue
            if str(dataset) in {job.evaluate_spec.dataset, job.export_spec.dataset}:
                yield names.parse(job.name, "jobs")

    def _reserve(self, dataset: ResourceName, job: ResourceName) -> None:
        """Make sure that only this job writes to the data set's place.

        Raises:
            AlreadyExists: The data set exists, or another import is to make it.
        """
        key = _reserved(dataset)
        if self._datasets.exists(str(dataset)):
            raise _taken(dataset, "exists already")
        try:
            self._bucket.put(key, str(job).encode(), if_absent=True)
        except PreconditionFailed:
            self._take_over(key, dataset, job)

    def _take_over(self, key: str, dataset: ResourceName, job: ResourceName) -> None:
        """Take over a place from an import that never began, or that ended without a result."""
        try:
            content, etag = self._bucket.get_versioned(key) or (b"", "")
        except KeyMissing:
            raise _taken(dataset, "is being cleared away at this moment") from None
        holder = content.decode()
        if holder == str(job):
            return
        if holder.startswith(_DELETION):
            raise _taken(dataset, "is still being deleted; if that was cut short, delete it again")
        earlier = self._jobs.find(names.parse(holder, "jobs"))
        ended = states.ended(earlier.state) if earlier else self._is_abandoned(key)
        if not ended or self._datasets.exists(str(dataset)):
            raise _taken(dataset, f"is being imported by {holder}")
        try:
            self._bucket.put(key, str(job).encode(), if_match=etag)
        except PreconditionFailed:
            raise _taken(dataset, "has just been claimed by another import") from None

    def _is_abandoned(self, key: str) -> bool:
        """Whether what reserves a place is so old that its job would have been made by now."""
        stat = self._bucket.stat(key)
        return bool(
            stat
            and stat.last_modified
            and datetime.now(UTC) - stat.last_modified > splitting.ABANDONED
        )

    def _task(self, parent: str) -> Task:
        name = names.parse_task(parent)
        return self._tasks[requests.check_served(name, self._tasks, field="parent")]

    def _parse(self, name: str) -> ResourceName:
        dataset = names.parse(name, "datasets")
        requests.check_served(dataset.task, self._tasks, field="name")
        return dataset


def _reserved(dataset: ResourceName) -> str:
    return f"{dataset}/reserved"


def _some_of(users: Iterator[ResourceName]) -> str:
    """Name the first few users, for a message."""
    found = [str(user) for user in islice(users, _SHOWN_USERS + 1)]
    return ", ".join(found[:_SHOWN_USERS]) + " and others" * (len(found) > _SHOWN_USERS)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(MIB):
        yield piece


def _chunk_too_large(size: int) -> InvalidInput:
    return InvalidInput(
        Reason.FIELD_OUT_OF_RANGE,
        f"chunk has {size} bytes; at most {MAX_CHUNK_BYTES} are allowed. Send the archive in "
        "smaller pieces.",
        field="chunk",
        value=size,
        maximum=MAX_CHUNK_BYTES,
    )


def _taken(dataset: ResourceName, why: str) -> AlreadyExists:
    return AlreadyExists(
        Reason.RESOURCE_EXISTS,
        f"{dataset} {why}. Send another dataset_id, or none.",
        field="dataset_id",
        value=dataset.id,
    )
