"""minio's client, and the two S3 features that it has no public parameter for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import certifi
import urllib3
from minio import Minio
from minio.error import S3Error

from common.storage.metrics import CountingPool
from common.storage.outages import DeadlineRetry, invalid_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minio.datatypes import Object

    from common.settings import StorageSettings

_CONNECT_S = 5.0
_READ_S = 60.0
# Threads beyond these work too, but each makes a new connection for a request.
_CONNECTIONS = 64
_MAX_KEYS = 1000


class Client(Minio):
    """Thread-safe. Repeats requests that fail for a passing reason."""

    def put_if(self, bucket: str, key: str, data: bytes, headers: dict[str, str]) -> str:
        """Put an object with request headers, and return its ETag.

        The public `put_object` takes `metadata={"If-None-Match": "*"}` without complaint, stores
        it as user metadata, and overwrites.
        """
        result = self._put_object(bucket, key, data, dict(headers))
        return result.etag or ""

    def list_from(
        self, bucket: str, prefix: str, start_after: str, limit: int | None
    ) -> Iterator[Object]:
        """List objects, asking the server for no more than `limit` objects at once.

        The public `list_objects` always asks for 1000.
        """
        return self._list_objects(
            bucket,
            prefix=prefix,
            start_after=start_after or None,
            max_keys=min(limit or _MAX_KEYS, _MAX_KEYS),
            encoding_type="url",
        )


def connect(settings: StorageSettings, give_up_after_s: float) -> Client:
    """Make a client; it connects when it is first used.

    Raises:
        StorageUnavailable: The endpoint is not the address of a server.
    """
    address = urlsplit(settings.s3_endpoint)
    if address.scheme not in {"http", "https"} or not address.netloc or address.path.strip("/"):
        raise invalid_endpoint(settings.s3_endpoint)
    pool = CountingPool(
        maxsize=_CONNECTIONS,
        timeout=urllib3.Timeout(connect=_CONNECT_S, read=_READ_S),
        retries=DeadlineRetry.transient(give_up_after_s),
        ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )
    try:
        return Client(
            address.netloc,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            secure=address.scheme == "https",
            region=settings.s3_region,  # else the first request asks for it
            http_client=pool,
        )
    except ValueError:
        raise invalid_endpoint(settings.s3_endpoint) from None


def was_repeated(error: S3Error) -> bool:
    """Tell whether the request was sent more than once before it got this answer."""
    retries = error.response.retries
    return retries is not None and bool(retries.history)
