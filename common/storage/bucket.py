"""A bucket of an S3 server."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error, ServerError
from urllib3.exceptions import HTTPError

from common.storage.client import connect, was_repeated
from common.storage.outages import FAULTS, broken_read, explain, ignores_conditions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from minio.datatypes import Object
    from urllib3.response import BaseHTTPResponse

    from common.settings import StorageSettings

MIB = 1024**2
# An S3 object has at most 10,000 parts: enough for 160 GB of unknown length.
_STREAM_PART_BYTES = 16 * MIB
# Of a read whose connection breaks again and again before anything more has come.
_READ_ATTEMPTS = 3
_WRITE_ID = "x-amz-meta-write-id"


class KeyMissing(Exception):
    """There is no object with this key."""


class PreconditionFailed(Exception):
    """The object is not (or no longer) what the caller said it would be."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of an object without reading it."""

    key: str
    size: int
    etag: str
    last_modified: datetime | None


class Bucket:
    """A bucket. Thread-safe; calls block.

    Passing faults (refused or broken connections, timeouts, a busy server) are waited out. What
    still fails is `StorageUnavailable`; whether a write then took place is not known.

    Args:
        settings: Server, keys and bucket.
        name: Another bucket than that of the settings.
        give_up_after_s: Seconds after its first failure from which a request is not repeated.
    """

    def __init__(
        self, settings: StorageSettings, name: str | None = None, *, give_up_after_s: float = 15.0
    ) -> None:
        self.name = name or settings.s3_bucket
        self._endpoint = settings.s3_endpoint
        self._client = connect(settings, give_up_after_s)

    def uri(self, key: str) -> str:
        """Return `s3://{bucket}/{key}`."""
        return f"s3://{self.name}/{key}"

    def make(self) -> None:
        """Make the bucket if it is not there."""
        with self._faults():
            try:
                self._client.make_bucket(self.name)
            except S3Error as error:
                if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise

    def check(self) -> None:
        """List, write, read and delete, to find what is set up wrongly.

        Raises:
            StorageUnavailable: Something is, or the server ignores conditions, without which two
                writers overwrite each other; the message says what to do.
        """
        key = f"check/{uuid.uuid4()}"
        for _ in self.list("check/", limit=1):
            pass
        self.put(key, b"")
        try:
            self.get(key)
            if not (self._refuses(key, if_absent=True) and self._refuses(key, if_match="0" * 32)):
                raise ignores_conditions(self._endpoint)
        finally:
            self.delete(key)

    def _refuses(self, key: str, *, if_match: str | None = None, if_absent: bool = False) -> bool:
        """Tell whether an object is not written under a condition that is not met."""
        try:
            self.put(key, b"", if_match=if_match, if_absent=if_absent)
        except PreconditionFailed:
            return True
        return False

    # Reading.

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return an object, or the part of it that starts at `offset`.

        Like a file, an object that ends sooner gives fewer bytes than `length`.

        Raises:
            KeyMissing: There is none.
        """
        if length == 0:
            return b""
        content = self._read(key, _range(offset, length))
        return content[0] if content else b""

    def get_versioned(
        self, key: str, *, unless_etag: str | None = None
    ) -> tuple[bytes, str] | None:
        """Return an object with its ETag, or None if it still has the ETag `unless_etag`.

        Raises:
            KeyMissing: There is none.
        """
        return self._read(key, {"If-None-Match": f'"{unless_etag}"'} if unless_etag else {})

    def stream(
        self,
        key: str,
        *,
        offset: int = 0,
        length: int | None = None,
        chunk_size: int = MIB,
    ) -> Iterator[bytes]:
        """Yield an object piece by piece; goes on where it was if the connection breaks.

        Raises:
            KeyMissing: There is none.
            PreconditionFailed: It was replaced after the connection broke.
        """
        if length == 0:
            return
        end = None if length is None else offset + length
        same: dict[str, str] = {}
        attempts_left = _READ_ATTEMPTS
        while True:
            start = offset
            left = None if end is None else end - offset
            response = self._open(key, _range(offset, left) | same)
            if response is None:
                return
            same = {"If-Match": f'"{_etag(response)}"'}
            try:
                for chunk in response.stream(chunk_size):
                    offset += len(chunk)
                    yield chunk
            except HTTPError as error:
                # A piece that is not whole when the connection breaks is lost.
                attempts_left = attempts_left - 1 if offset == start else _READ_ATTEMPTS
                if not attempts_left:
                    raise broken_read(error, self._endpoint, self.name) from error
            else:
                return
            finally:
                response.close()

    def get_file(self, key: str, path: Path) -> None:
        """Write an object to a file, which is there whole or not at all.

        Raises:
            KeyMissing: There is none.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            with partial.open("wb") as file:
                for chunk in self.stream(key):
                    file.write(chunk)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def stat(self, key: str) -> Stat | None:
        """Return what is known of an object, or None if there is none."""
        found = self._head(key)
        return _stat(found, key) if found else None

    def list(
        self, prefix: str, *, start_after: str = "", limit: int | None = None
    ) -> Iterator[Stat]:
        """Yield objects whose key starts with `prefix`, reading page by page.

        Those of one folder come in key order. Folders do not with every server: SeaweedFS sends
        all of `b/` before `b-c`.

        Args:
            prefix: What the keys start with; where it names a folder, end it with a slash.
            start_after: A key; begin with the first one behind it.
            limit: At most this many. The server is not asked for more either.
        """
        if limit is not None and limit <= 0:
            return
        with self._faults():
            found = self._client.list_from(self.name, prefix, start_after, limit)
            for entry in itertools.islice(found, limit):
                yield _stat(entry, entry.object_name or "")

    # Writing.

    def put(
        self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        """Write an object and return its ETag.

        Args:
            key: Its key.
            data: Its content.
            if_match: Only replace the object that has this ETag.
            if_absent: Only write if there is no object.

        Raises:
            PreconditionFailed: The condition was not met.
        """
        headers = {"Content-Type": "application/octet-stream"}
        conditional = if_absent or if_match is not None
        if if_absent:
            headers["If-None-Match"] = "*"
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        if conditional:
            # If the answer to a put is lost and the put is repeated, it meets its own object. This
            # tells it from another's, even of equal content.
            headers[_WRITE_ID] = secrets.token_hex(16)
        with self._faults():
            try:
                return self._client.put_if(self.name, key, data, headers)
            except S3Error as error:
                if not (conditional and _is_conflict(error)):
                    raise
                if was_repeated(error):
                    found = self._head(key)
                    if found and (found.metadata or {}).get(_WRITE_ID) == headers[_WRITE_ID]:
                        return found.etag or ""
                raise PreconditionFailed(key) from None

    def put_file(self, key: str, path: Path) -> None:
        """Write a file of any size as an object."""
        with self._faults():
            self._client.fput_object(self.name, key, str(path))

    def put_stream(self, key: str, chunks: Iterable[bytes]) -> int:
        """Write pieces as one object and return its size; holds two parts in memory.

        An error from `chunks` passes through, and nothing is kept.
        """
        reader = _Reader(iter(chunks))
        with self._faults():
            self._client.put_object(
                self.name,
                key,
                cast("BinaryIO", reader),  # minio calls `read` alone
                length=-1,
                part_size=_STREAM_PART_BYTES,
                num_parallel_uploads=1,
            )
        return reader.size

    def copy(self, source: str, destination: str) -> None:
        """Copy an object within the bucket, on the server.

        Raises:
            KeyMissing: There is no source.
        """
        with self._faults(source):
            self._client.copy_object(self.name, destination, CopySource(self.name, source))

    def delete(self, key: str) -> None:
        """Delete an object, if there is one."""
        with self._faults(), contextlib.suppress(KeyMissing):
            self._client.remove_object(self.name, key)

    def delete_prefix(self, prefix: str) -> int:
        """Delete a folder: all objects whose key starts with `prefix`; return how many."""
        if not prefix.strip("/") or not prefix.endswith("/"):
            raise ValueError(f"{prefix!r} is not a folder: it must have a name and end with /")
        count = 0
        keys = (stat.key for stat in self.list(prefix))
        while batch := list(itertools.islice(keys, 1000)):
            with self._faults():
                doomed = [DeleteObject(key) for key in batch]
                for error in self._client.remove_objects(self.name, doomed):
                    raise ServerError(f"{error.code}: {error.message}", 500)
            count += len(batch)
        return count

    # What these share.

    @contextlib.contextmanager
    def _faults(self, key: str | None = None) -> Iterator[None]:
        """Turn what the client raises into what this class promises."""
        try:
            yield
        except FAULTS as error:
            if isinstance(error, S3Error) and error.code == "NoSuchKey" and key is not None:
                raise KeyMissing(key) from None
            raise explain(error, self._endpoint, self.name) from error

    def _open(self, key: str, headers: dict[str, str]) -> BaseHTTPResponse | None:
        """Start to read an object; None if it is unchanged, or has nothing in the range."""
        with self._faults(key):
            try:
                return self._client.get_object(self.name, key, request_headers=dict(headers))
            except S3Error as error:
                if error.response.status == 412:
                    raise PreconditionFailed(key) from None
                if error.response.status in _NOTHING_TO_SEND:
                    return None
                raise
            except ServerError as error:
                if error.status_code in _NOTHING_TO_SEND:
                    return None
                raise

    def _read(self, key: str, headers: dict[str, str]) -> tuple[bytes, str] | None:
        attempts_left = _READ_ATTEMPTS
        while True:
            attempts_left -= 1
            response = self._open(key, headers)
            if response is None:
                return None
            try:
                return response.read(), _etag(response)
            except HTTPError as error:
                if not attempts_left:
                    raise broken_read(error, self._endpoint, self.name) from error
            finally:
                response.close()

    def _head(self, key: str) -> Object | None:
        try:
            with self._faults(key):
                return self._client.stat_object(self.name, key)
        except KeyMissing:
            return None


class _Reader:
    """Pieces as a file that minio reads parts from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self.size = 0

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, and none at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = chunk
        piece, self._rest = self._rest[:size], self._rest[size:]
        self.size += len(piece)
        return piece


# 304: the caller has it already. 416: the object ends before the range.
_NOTHING_TO_SEND = (304, 416)


def _is_conflict(error: S3Error) -> bool:
    """Tell whether a condition was not met; for a missing object servers differ in the status."""
    return error.response.status in {404, 409, 412} and error.code != "NoSuchBucket"


def _range(offset: int, length: int | None) -> dict[str, str]:
    if offset == 0 and length is None:
        return {}
    return {"Range": f"bytes={offset}-{'' if length is None else offset + length - 1}"}


def _etag(response: BaseHTTPResponse) -> str:
    return response.headers.get("etag", "").strip('"')


def _stat(found: Object, key: str) -> Stat:
    return Stat(key, found.size or 0, (found.etag or "").strip('"'), found.last_modified)
