"""What can be wrong between us and the S3 server, and one clear sentence for each."""

from __future__ import annotations

import time
from typing import Any
from xml.etree import ElementTree

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError

from common.errors import StorageUnavailable
from common.reasons import Reason
from common.storage import metrics

FAULTS = (HTTPError, MinioException, ElementTree.ParseError)
"""All that a call of the S3 client can raise about the server."""

_BAD_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"}
_RETRY_AFTER_S = 5.0


class DeadlineRetry(urllib3.Retry):
    """Retries transient faults with growing, random pauses; gives up by time, not by count.

    Args:
        give_up_after_s: Seconds after the first failure from which a failure is final.
        deadline: Set by the first failure; on the clock of `time.monotonic`.
        **options: As for `urllib3.Retry`.
    """

    def __init__(
        self, *, give_up_after_s: float, deadline: float | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._give_up_after_s = give_up_after_s
        self._deadline = deadline

    @classmethod
    def transient(cls, give_up_after_s: float) -> DeadlineRetry:
        """Make one for refused and broken connections, timeouts, and servers that are too busy."""
        return cls(
            give_up_after_s=give_up_after_s,
            total=None,
            redirect=3,
            allowed_methods=None,  # conditional puts tell their own repetition, see `Bucket.put`
            status_forcelist=metrics.TRANSIENT,
            raise_on_status=False,  # the last answer says more than "too many 500 responses"
            backoff_factor=0.05,
            backoff_jitter=0.2,
            backoff_max=2.0,
            retry_after_max=5,
        )

    def new(self, **options: Any) -> DeadlineRetry:
        """Return the state after one more failure."""
        return super().new(
            give_up_after_s=self._give_up_after_s,
            deadline=self._deadline or time.monotonic() + self._give_up_after_s,
            **options,
        )

    def increment(
        self, method: str | None = None, url: str | None = None, *args: Any, **options: Any
    ) -> DeadlineRetry:
        """Return the state after one more failure; raise if it was the last."""
        retry = super().increment(method, url, *args, **options)
        metrics.count_retry(method or "", url or "")
        return retry

    def is_exhausted(self) -> bool:
        """Tell whether the last failure was final."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return late or super().is_exhausted()


def explain(error: Exception, endpoint: str, bucket: str) -> StorageUnavailable:
    """Say what is wrong and what to do about it."""
    if isinstance(error, S3Error):
        status = error.response.status
        if error.code == "NoSuchBucket":
            return _misconfigured(
                f"The bucket {bucket!r} does not exist at {endpoint}. Make it, or correct "
                "NOCODE_S3_BUCKET."
            )
        if error.code in _BAD_KEYS:
            return _misconfigured(
                f"The S3 server at {endpoint} refuses the keys ({error.code}). Correct "
                "NOCODE_S3_ACCESS_KEY and NOCODE_S3_SECRET_KEY."
            )
        if error.code == "AccessDenied":
            return _misconfigured(
                f"The keys do not allow this in the bucket {bucket!r} at {endpoint}. They need to "
                "read, write, list and delete objects: grant that, or correct "
                "NOCODE_S3_ACCESS_KEY."
            )
        return _unavailable(
            f"The S3 server at {endpoint} failed with {error.code} (HTTP {status}): {error.message}"
        )
    if isinstance(error, ServerError) and error.status_code in metrics.TRANSIENT:
        return _unavailable(f"The S3 server at {endpoint} failed with HTTP {error.status_code}.")
    if isinstance(error, InvalidResponseError | ServerError | ElementTree.ParseError):
        return _misconfigured(
            f"What answers at {endpoint} is not an S3 server. Correct NOCODE_S3_ENDPOINT."
        )
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    # urllib3 begins with "HTTPConnection(host=…, port=…): ", which the endpoint says already.
    what = str(cause).rpartition("): ")[2] or type(cause).__name__
    return _unavailable(
        f"The S3 server at {endpoint} does not answer ({what}). Check that it runs and that "
        "NOCODE_S3_ENDPOINT is right."
    )


def broken_read(error: HTTPError, endpoint: str, bucket: str) -> StorageUnavailable:
    """Say that an object broke off while it was read, again and again, and count that."""
    metrics.count_broken_read()
    return explain(error, endpoint, bucket)


def invalid_endpoint(endpoint: str) -> StorageUnavailable:
    """Say that the endpoint is not the address of a server."""
    return _misconfigured(
        f"NOCODE_S3_ENDPOINT is {endpoint!r}. It needs a scheme, a host and no path, e.g. "
        "http://127.0.0.1:9000 or https://s3.example.com."
    )


def ignores_conditions(endpoint: str) -> StorageUnavailable:
    """Say that the server writes objects whatever the condition."""
    return _misconfigured(
        f"The S3 server at {endpoint} ignores If-Match or If-None-Match, so that services would "
        "overwrite each other's state. Use one that knows conditional writes, or correct "
        "NOCODE_S3_ENDPOINT."
    )


def _misconfigured(message: str) -> StorageUnavailable:
    return StorageUnavailable(Reason.STORAGE_MISCONFIGURED, message)


def _unavailable(message: str) -> StorageUnavailable:
    return StorageUnavailable(Reason.STORAGE_UNAVAILABLE, message, retry_after_s=_RETRY_AFTER_S)
