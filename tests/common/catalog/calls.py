"""What the tests of data sets do to jobs and expect of refusals."""

import pytest

from common.errors import DomainError
from common.jobs import states
from common.jobs.store import Jobs
from nocode.vision.v1 import job_pb2

PARENT = "tasks/classification"


def end(jobs: Jobs, job: job_pb2.Job, state: job_pb2.Job.State.ValueType) -> None:
    """End a job that has not been started."""

    def change(stored: job_pb2.Job) -> None:
        states.move(stored, states.RUNNING)
        states.move(stored, state)

    jobs.change(job.name, change)
    jobs.forget(job)


def refusal(call, *args, **values) -> DomainError:
    """Return the error of a call, whose message is a sentence."""
    with pytest.raises(DomainError) as caught:
        call(*args, **values)
    assert caught.value.message.endswith(".")
    return caught.value
