"""What is counted of jobs."""

import pytest
from google.protobuf import timestamp_pb2
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry

from common.errors import InvalidInput
from common.jobs.metrics import JobMetrics
from common.reasons import Reason
from common.rpc import errors
from nocode.vision.v1 import job_pb2 as pb


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    return JobMetrics(registry)


def ended(state, *, error=None, started=True):
    """A training that took a minute."""
    job = pb.Job(name="tasks/t/jobs/j", kind=pb.Job.KIND_TRAIN, state=state, error=error)
    if started:
        job.start_time.CopyFrom(timestamp_pb2.Timestamp(seconds=1000))
    job.end_time.CopyFrom(timestamp_pb2.Timestamp(seconds=1060))
    return job


@pytest.mark.parametrize(
    ("state", "label"),
    [
        (pb.Job.STATE_SUCCEEDED, "succeeded"),
        (pb.Job.STATE_FAILED, "failed"),
        (pb.Job.STATE_CANCELLED, "cancelled"),
    ],
)
def test_a_job_that_has_ended_is_counted_by_kind_and_state(registry, metrics, state, label):
    """The series is there at 0 before, so that the first one is seen as an increase."""
    labels = {"kind": "train", "state": label}
    before = registry.get_sample_value("nocode_vision_jobs_ended_total", labels)

    metrics.ended(ended(state))

    assert before == 0
    assert registry.get_sample_value("nocode_vision_jobs_ended_total", labels) == 1
    assert registry.get_sample_value("nocode_vision_job_run_seconds_sum", labels) == 60


def test_a_job_that_goes_on_is_not_counted(registry, metrics):
    """Its worker was lost, and it waits for another."""
    metrics.ended(ended(pb.Job.STATE_QUEUED))

    for state in ("succeeded", "failed", "cancelled"):
        labels = {"kind": "train", "state": state}
        assert registry.get_sample_value("nocode_vision_jobs_ended_total", labels) == 0


def test_a_job_that_never_started_took_no_time(registry, metrics):
    """One that was cancelled in the queue has no start, which is not the year 1970."""
    metrics.ended(ended(pb.Job.STATE_CANCELLED, started=False))

    labels = {"kind": "train", "state": "cancelled"}
    assert registry.get_sample_value("nocode_vision_jobs_ended_total", labels) == 1
    assert registry.get_sample_value("nocode_vision_job_run_seconds_count", labels) is None


def test_a_failure_is_counted_by_the_reason_that_its_owner_sees(registry, metrics):
    """So that a bad data set is told from a worker that died."""
    error = errors.to_status(InvalidInput(Reason.DATASET_INVALID, "Of no use."))
    labels = {"reason": "DATASET_INVALID"}
    before = registry.get_sample_value("nocode_vision_job_failures_total", labels)

    metrics.ended(ended(pb.Job.STATE_FAILED, error=error))

    assert before == 0
    assert registry.get_sample_value("nocode_vision_job_failures_total", labels) == 1


def test_reasons_are_those_of_the_list_and_no_others(registry, metrics):
    """However odd the errors, the number of series is bounded."""
    strange = status_pb2.Status(message="x")
    strange.details.add().Pack(error_details_pb2.ErrorInfo(reason="NOT_OURS"))
    for error in (status_pb2.Status(message="no details"), strange):
        metrics.ended(ended(pb.Job.STATE_FAILED, error=error))

    labels = {"reason": "OTHER"}
    assert registry.get_sample_value("nocode_vision_job_failures_total", labels) == 2


@pytest.mark.parametrize(
    ("starts_here", "seen", "expected"),
    [
        pytest.param(True, [40, 100, 100, 180], 180, id="from its start"),
        pytest.param(False, [1000, 1080], 80, id="begun elsewhere, adopted here"),
        pytest.param(True, [100, 60, 130], 170, id="back to a checkpoint, 40 shown again"),
        pytest.param(True, [0, 0], 0, id="not yet training"),
    ],
)
def test_images_trained_are_what_was_shown_here(registry, metrics, starts_here, seen, expected):
    job = pb.Job(name="tasks/t/jobs/j", kind=pb.Job.KIND_TRAIN)
    if starts_here:
        metrics.started(job)
    for image_count in seen:
        metrics.trained(job.name, image_count)

    assert registry.get_sample_value("nocode_vision_images_trained_total") == expected
