"""Statuses as a person reads them and a program branches on them."""

import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from client.errors import CallFailed, JobFailed
from nocode.vision.v1 import job_pb2


def status(code, *details, message="Words."):
    """Return a status with details."""
    made = status_pb2.Status(code=code, message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        made.details.append(packed)
    return made


def test_details_are_read_in_any_order():
    """The reason, the field at fault and when to try again."""
    retry = error_details_pb2.RetryInfo(
        retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000)
    )
    violation = error_details_pb2.BadRequest.FieldViolation(field="images")
    bad = error_details_pb2.BadRequest(field_violations=[violation])
    info = error_details_pb2.ErrorInfo(reason="QUEUE_FULL")

    for details in ((retry, bad, info), (info, bad, retry)):
        failure = CallFailed.from_status(status(code_pb2.RESOURCE_EXHAUSTED, *details))

        assert failure.code == "RESOURCE_EXHAUSTED"
        assert failure.reason == "QUEUE_FULL"
        assert failure.field == "images"
        assert failure.retry_after_s == 1.5


def test_without_retry_info_nothing_is_promised():
    """None, not zero."""
    assert CallFailed.from_status(status(code_pb2.NOT_FOUND)).retry_after_s is None


@pytest.mark.parametrize(
    ("reason", "unreachable"),
    [
        pytest.param("STORAGE_UNAVAILABLE", False, id="the server answered"),
        pytest.param("", True, id="nobody answered"),
    ],
)
def test_a_server_that_misses_something_was_reached(reason, unreachable):
    """Both may pass; only one of them is a wrong address."""
    failure = CallFailed("UNAVAILABLE", "Words.", reason)

    assert failure.passing
    assert failure.unreachable is unreachable


def test_a_cancelled_job_says_so():
    """Such a job has no error."""
    job = job_pb2.Job(name="tasks/t/jobs/j", state=job_pb2.Job.STATE_CANCELLED)

    failure = JobFailed(job)

    assert failure.code == "CANCELLED"
    assert str(failure) == "tasks/t/jobs/j was cancelled."


def test_a_failed_job_brings_its_error_and_its_log():
    """The log for whoever has to find out."""
    log = error_details_pb2.DebugInfo(stack_entries=["one", "two"])
    info = error_details_pb2.ErrorInfo(reason="WORKER_CRASHED")
    job = job_pb2.Job(state=job_pb2.Job.STATE_FAILED, error=status(code_pb2.INTERNAL, info, log))

    failure = JobFailed(job)

    assert (failure.code, failure.reason) == ("INTERNAL", "WORKER_CRASHED")
    assert failure.log == "one\ntwo"
