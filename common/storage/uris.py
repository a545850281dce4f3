"""Addresses of the form `s3://{bucket}/{key}` that callers send."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason
from common.storage.bucket import Bucket

if TYPE_CHECKING:
    from common.settings import ServiceSettings

_SCHEME = "s3://"
# What the server keeps for itself in its bucket: callers reach it through the API alone.
_PRIVATE_PREFIXES = ("tasks/", "check/")


def parse(uri: str, *, field: str = "uri") -> tuple[str, str]:
    """Return bucket and key.

    Raises:
        InvalidInput: It is no such address.
    """
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    # Servers resolve such segments differently, so that a key could lead elsewhere.
    evasive = any(segment in {"", ".", ".."} for segment in key.split("/"))
    if not uri.startswith(_SCHEME) or not bucket or evasive:
        raise InvalidInput(
            Reason.URI_INVALID if uri else Reason.FIELD_REQUIRED,
            f"{field} is {shorten(uri)!r}. Send s3://{{bucket}}/{{key}}, with a key that has no "
            "empty, . or .. segment.",
            field=field,
            value=shorten(uri),
        )
    return bucket, key


def open_uri(settings: ServiceSettings, uri: str, *, field: str) -> tuple[Bucket, str]:
    """Return the bucket and key that a caller's address names.

    Raises:
        InvalidInput: It is no address, or of something that callers may not read.
    """
    bucket, key = parse(uri, field=field)
    allowed = (settings.s3_bucket, *settings.allowed_buckets)
    if bucket not in allowed:
        raise InvalidInput(
            Reason.BUCKET_NOT_ALLOWED,
            f"{field} names the bucket {shorten(bucket)!r}, which this server may not read for "
            f"callers. It may read {', '.join(allowed)}; the operator can add others with "
            "NOCODE_ALLOWED_BUCKETS.",
            field=field,
            value=shorten(uri),
        )
    if bucket == settings.s3_bucket and key.startswith(_PRIVATE_PREFIXES):
        raise InvalidInput(
            Reason.BUCKET_NOT_ALLOWED,
            f"{field} is {shorten(uri)!r}, which belongs to this server's own state. Send an "
            "address outside of tasks/.",
            field=field,
            value=shorten(uri),
        )
    return _bucket(settings, bucket), key


@lru_cache(maxsize=32)
def _bucket(settings: ServiceSettings, name: str) -> Bucket:
    """Keep buckets: each has connections of its own."""
    return Bucket(settings, name)
