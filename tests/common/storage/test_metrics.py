"""What is counted of the requests to the S3 server, against a real one behind a proxy."""

import pytest
from prometheus_client import CollectorRegistry

from common.errors import StorageUnavailable
from common.storage import metrics
from common.storage.bucket import Bucket, KeyMissing, PreconditionFailed
from tests.common.storage.faulty_proxy import FaultyProxy, cut_answer, lose_request, slow_down


@pytest.fixture
def registry():
    registry = CollectorRegistry()
    metrics.show(registry)
    return registry


@pytest.fixture
def counted(registry):
    """Return how much a figure of an operation has grown since the last time it was asked for."""
    seen = {}

    def counted(figure, operation):
        name = f"nocode_vision_storage_{figure}"
        now = registry.get_sample_value(name, {"operation": operation})
        grown = now - seen.get((name, operation), 0)
        seen[name, operation] = now
        return grown

    for figure in ("call_seconds_count", "errors_total", "retries_total"):
        for operation in ("get", "head", "list", "put", "delete"):
            counted(figure, operation)
    return counted


@pytest.fixture
def proxy(storage_settings):
    with FaultyProxy(storage_settings) as proxy:
        yield proxy


def test_every_call_of_a_bucket_is_counted_as_what_it_does(bucket, counted, tmp_path):
    """A page of a list is one request, and so is each part of a large upload."""
    large = tmp_path / "large"
    large.write_bytes(b"x" * (6 * 1024**2))
    for operation, call, requests in [
        ("put", lambda: bucket.put("a/1", b"1"), 1),
        ("get", lambda: bucket.get("a/1"), 1),
        ("get", lambda: list(bucket.stream("a/1")), 1),
        ("head", lambda: bucket.stat("a/1"), 1),
        ("list", lambda: list(bucket.list("a/")), 1),
        # Begun, two parts, ended.
        ("put", lambda: bucket.put_file("a/2", large), 4),
        ("delete", lambda: bucket.delete("a/1"), 1),
        ("delete", lambda: bucket.delete_prefix("a/"), 1),
    ]:
        call()

        assert counted("call_seconds_count", operation) == requests
        assert counted("errors_total", operation) == 0
        assert counted("retries_total", operation) == 0


def test_what_a_caller_asks_for_in_vain_is_no_error_of_the_storage(bucket, counted):
    """No such key, and a condition that is not met."""
    with pytest.raises(KeyMissing):
        bucket.get("missing")
    assert bucket.stat("missing") is None
    bucket.put("there", b"")
    with pytest.raises(PreconditionFailed):
        bucket.put("there", b"", if_absent=True)

    assert [counted("errors_total", operation) for operation in ("get", "head", "put")] == [0, 0, 0]


@pytest.mark.parametrize("fault", [lose_request, slow_down])
def test_a_fault_that_passes_is_counted_as_a_repetition(proxy, counted, fault):
    """Two in a row, and no error in the end."""
    bucket = Bucket(proxy.settings)
    proxy.faults.extend([fault] * 2)

    bucket.put("key", b"")

    assert counted("retries_total", "put") == 2
    assert counted("call_seconds_count", "put") == 1
    assert counted("errors_total", "put") == 0


@pytest.mark.parametrize("fault", [lose_request, slow_down])
def test_a_fault_that_stays_is_counted_as_an_error(proxy, counted, fault):
    """And not as a repetition of what was not repeated."""
    bucket = Bucket(proxy.settings, give_up_after_s=0.0)
    proxy.faults.append(fault)

    with pytest.raises(StorageUnavailable):
        bucket.get("key")

    assert counted("errors_total", "get") == 1
    assert counted("retries_total", "get") == 0


def test_keys_that_are_refused_are_an_error(storage_settings, counted):
    """Nothing works until somebody corrects them."""
    wrong = storage_settings.model_copy(update={"s3_secret_key": "wrong"})

    with pytest.raises(StorageUnavailable):
        Bucket(wrong).get("key")

    assert counted("errors_total", "get") == 1


def test_content_that_breaks_off_for_good_is_an_error(proxy, counted):
    """The answer had begun well."""
    bucket = Bucket(proxy.settings)
    bucket.put("key", b"x" * 100_000)
    proxy.faults.extend([cut_answer] * 3)

    with pytest.raises(StorageUnavailable):
        bucket.get("key")

    assert counted("errors_total", "get") == 1
    assert counted("call_seconds_count", "get") == 3


def test_every_operation_shows_before_its_first_request(registry):
    """An alert on a rate needs the series from the start; and there are no more than these."""
    for metric in registry.collect():
        shown = {sample.labels["operation"] for sample in metric.samples}
        assert shown == {"get", "head", "list", "put", "delete"}
