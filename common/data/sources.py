"""Where a data set comes from: checked when it is asked for, fetched when the import runs."""

from __future__ import annotations

import errno
import hashlib
import logging
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from common import names
from common.data.hugging_face import hub
from common.errors import Exhausted, InvalidInput, NotFound, StorageUnavailable
from common.jobs import states
from common.jobs.store import Jobs
from common.reasons import Reason
from common.storage import uris
from common.storage.bucket import KeyMissing, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from common.jobs.context import JobContext
    from common.settings import ServiceSettings
    from common.storage.bucket import Bucket, Stat
    from nocode.vision.v1.dataset_source_pb2 import DatasetSource

UPLOADS = "uploads/"
"""Prefix of uploaded archives, which are called by their SHA-256."""

_SHA256 = re.compile("[0-9a-f]{64}")

_log = logging.getLogger(__name__)


def check(source: DatasetSource, bucket: Bucket, settings: ServiceSettings) -> None:
    """Find what is wrong with a source before a job is made for it.

    Raises:
        InvalidInput: A field is missing or malformed, or names a bucket that is not allowed.
        NotFound: There is nothing there.
        Unsupported: It is of a kind that this server does not read.
    """
    kind = source.WhichOneof("source")
    if kind is None:
        raise InvalidInput(
            Reason.FIELD_REQUIRED,
            "source is empty. Set source.upload to what UploadArchive returned, source.uri to "
            "s3://{bucket}/{key}, or source.hugging_face.path to the id of a data set.",
            field="source",
        )
    if kind == "hugging_face":
        if source.sha256:
            raise InvalidInput(
                Reason.FIELD_NOT_ALLOWED,
                "source.sha256 is that of an archive, which source.hugging_face is not. Leave it "
                "empty, and send a commit as source.hugging_face.revision.",
                field="source.sha256",
            )
        hub.check(source.hugging_face)
        return
    if source.sha256:
        check_sha256(source.sha256, field="source.sha256")
    if kind == "upload" and not _SHA256.fullmatch(source.upload.removeprefix(UPLOADS)):
        raise InvalidInput(
            Reason.NAME_INVALID,
            f"source.upload is {names.shorten(source.upload)!r}. Send what UploadArchive returned: "
            f"{UPLOADS}{{sha256}}.",
            field="source.upload",
            value=names.shorten(source.upload),
        )
    place, key = _open(source, bucket, settings)
    stat = place.stat(key)
    if stat is None:
        raise _missing(source)
    if stat.size > settings.max_archive_bytes:
        raise too_large(settings.max_archive_bytes, stat.size)


def check_sha256(text: str, *, field: str) -> None:
    """Return if the text is a SHA-256.

    Raises:
        InvalidInput: It is not.
    """
    if not _SHA256.fullmatch(text.lower()):
        raise InvalidInput(
            Reason.CHECKSUM_MISMATCH,
            f"{field} is {names.shorten(text)!r}, which is no SHA-256. Send 64 hexadecimal digits, "
            "or leave it empty.",
            field=field,
            value=names.shorten(text),
        )


def fetch(context: JobContext, source: DatasetSource) -> Path:
    """Copy the archive to disk, and check its size and its SHA-256.

    Raises:
        InvalidInput: It is too large, or not the one announced.
        NotFound: It is not there any more.
    """
    bucket, key = _open(source, context.bucket, context.settings)
    limit = context.settings.max_archive_bytes
    path = context.work_dir / "archive"
    digest = hashlib.sha256()
    fetched = 0
    stat = bucket.stat(key)
    if stat is None:
        raise _missing(source)
    context.progress(phase="Fetching the archive", step_count=stat.size)
    try:
        with path.open("wb") as file:
            for chunk in bucket.stream(key):
                digest.update(chunk)
                fetched += file.write(chunk)
                if fetched > limit:
                    raise too_large(limit, stat.size)
                context.progress(step=fetched)
    except (KeyMissing, PreconditionFailed):
        raise _missing(source) from None
    for announced in (source.sha256.lower(), source.upload.removeprefix(UPLOADS)):
        if announced not in {"", digest.hexdigest()}:
            raise mismatch(announced, digest.hexdigest(), field="source.sha256")
    return path


def forget(context: JobContext, source: DatasetSource) -> None:
    """Delete an upload once it is imported, unless another import still needs it."""
    if not source.upload:
        return
    jobs = Jobs(context.bucket, queue_size=context.settings.job_queue_size)
    try:
        if source.upload not in _needed(jobs, besides=context.job.name):
            context.bucket.delete(source.upload)
    except StorageUnavailable:
        _log.warning("%s is imported, but could not be deleted", source.upload)


def sweep(bucket: Bucket, jobs: Jobs, keep_s: float) -> None:
    """Delete uploads older than `keep_s` seconds that no import needs.

    Nobody else does: an upload may never be imported, and one whose import failed is kept, so that
    it can be imported in another way.
    """
    try:
        old = [stat.key for stat in bucket.list(UPLOADS) if _age_s(stat) > keep_s]
        needed = _needed(jobs) if old else set()
        for key in old:
            if key not in needed:
                bucket.delete(key)
                _log.info("%s was not imported in %g s and is deleted", key, keep_s)
    except StorageUnavailable:
        _log.warning("old uploads could not be deleted")


def is_kept_for_long(bucket: Bucket, upload: str, keep_s: float) -> bool:
    """Whether an upload is there, and is so for at least half of `keep_s` seconds."""
    stat = bucket.stat(upload)
    return stat is not None and _age_s(stat) < keep_s / 2


def _age_s(stat: Stat) -> float:
    return (datetime.now(UTC) - stat.last_modified).total_seconds() if stat.last_modified else 0.0


def _needed(jobs: Jobs, besides: str = "") -> set[str]:
    """Return the uploads that imports which have not ended name, but for one job's."""
    found = [
        jobs.find(names.parse(marker.job, "jobs"))
        for task in names.TASKS
        for marker in jobs.active(task)
    ]
    return {
        job.import_spec.source.upload
        for job in found
        if job and job.name != besides and not states.ended(job.state)
    }


@contextmanager
def disk_full_named(folder: Path) -> Iterator[None]:
    """Turn what the system says of a full disk into an error that a caller can act on."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise Exhausted(
            Reason.DISK_FULL,
            f"The server's disk at {folder} is full. Try again later, or have the operator free "
            "space or set NOCODE_WORK_DIR to a larger disk.",
            retry_after_s=60.0,
        ) from error


def too_large(limit: int, size: int) -> InvalidInput:
    """Make the error for an archive beyond the operator's limit."""
    return InvalidInput(
        Reason.ARCHIVE_TOO_LARGE,
        f"The archive has {size} bytes or more; at most {limit} are allowed. Split it into several "
        "data sets, or ask the operator to raise NOCODE_MAX_ARCHIVE_BYTES.",
        limit=limit,
        size=size,
    )


def mismatch(announced: str, actual: str, *, field: str) -> InvalidInput:
    """Make the error for bytes that are not those announced."""
    return InvalidInput(
        Reason.CHECKSUM_MISMATCH,
        f"{field} announces an archive with the SHA-256 {announced}, but the bytes received have "
        f"{actual}. Send the archive again.",
        field=field,
        announced=announced,
        actual=actual,
    )


def _open(source: DatasetSource, bucket: Bucket, settings: ServiceSettings) -> tuple[Bucket, str]:
    if source.upload:
        return bucket, source.upload
    return uris.open_uri(settings, source.uri, field="source.uri")


def _missing(source: DatasetSource) -> NotFound:
    if source.upload:
        return NotFound(
            Reason.UPLOAD_NOT_FOUND,
            f"source.upload is {source.upload}, which is not here (any more): an upload is kept "
            "until it is imported, and not for ever. Upload the archive again.",
            field="source.upload",
            value=source.upload,
        )
    return NotFound(
        Reason.OBJECT_NOT_FOUND,
        f"source.uri is {names.shorten(source.uri)}, where there is nothing (any more). Send the "
        "address of an archive.",
        field="source.uri",
        value=names.shorten(source.uri),
    )
