"""Which `s3://` addresses a caller may name."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from common.reasons import Reason
from common.settings import ServiceSettings
from common.storage import uris
from common.storage.bucket import Bucket


@pytest.fixture
def settings(storage_settings):
    """A service with one more bucket that callers may name."""
    return ServiceSettings(**storage_settings.model_dump(), allowed_buckets=("other",))


def test_an_address_has_a_bucket_and_a_key():
    """The key is taken as it is."""
    assert uris.parse("s3://bucket/a/b%20c d.zip") == ("bucket", "a/b%20c d.zip")


@pytest.mark.parametrize(
    "uri",
    [
        "http://bucket/key",
        "/etc/passwd",
        "s3:/bucket/key",
        "s3://bucket",
        "s3://bucket/",
        "s3:///key",
        "s3://bucket/a//b",
        "s3://bucket/a/../b",
        "s3://bucket/./b",
        "s3://bucket/b/..",
        "S3://bucket/key",
    ],
)
def test_what_is_no_address_is_refused(uri):
    """The message shows what one looks like."""
    with pytest.raises(InvalidInput, match=r"s3://\{bucket\}/\{key\}") as caught:
        uris.parse(uri, field="source.uri")

    assert caught.value.reason == Reason.URI_INVALID
    assert caught.value.field == "source.uri"


def test_the_service_s_own_bucket_is_read(settings):
    """So that an operator can put archives there."""
    Bucket(settings).put("archives/a.zip", b"zip")

    bucket, key = uris.open_uri(settings, f"s3://{settings.s3_bucket}/archives/a.zip", field="uri")

    assert bucket.get(key) == b"zip"


def test_an_allowed_bucket_is_read(settings):
    """Connections are kept from one call to the next."""
    bucket, key = uris.open_uri(settings, "s3://other/a.zip", field="uri")

    assert (bucket.name, key) == ("other", "a.zip")
    assert uris.open_uri(settings, "s3://other/b.zip", field="uri")[0] is bucket


def test_another_bucket_is_refused(settings):
    """The message says who can allow it."""
    with pytest.raises(InvalidInput, match="NOCODE_ALLOWED_BUCKETS") as caught:
        uris.open_uri(settings, "s3://secret/a.zip", field="uri")

    assert caught.value.reason == Reason.BUCKET_NOT_ALLOWED


@pytest.mark.parametrize("key", ["tasks/classification/models/m/model.json", "check/x"])
def test_the_server_s_own_state_is_refused(settings, key):
    """Callers reach it through the API alone."""
    with pytest.raises(InvalidInput, match="own state") as caught:
        uris.open_uri(settings, f"s3://{settings.s3_bucket}/{key}", field="uri")

    assert caught.value.reason == Reason.BUCKET_NOT_ALLOWED
