"""The life of a job: which state may follow which."""

import itertools

import pytest

from common.jobs import states
from nocode.vision.v1 import job_pb2 as pb

ALL = [state for state in pb.Job.State.values() if state != pb.Job.STATE_UNSPECIFIED]
LEGAL = {
    ("QUEUED", "RUNNING"),
    ("QUEUED", "CANCELLED"),
    ("RUNNING", "SUCCEEDED"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "CANCELLING"),
    ("RUNNING", "QUEUED"),
    ("CANCELLING", "CANCELLED"),
    ("CANCELLING", "SUCCEEDED"),
}


def short(state):
    return pb.Job.State.Name(state).removeprefix("STATE_")


@pytest.mark.parametrize(("before", "after"), list(itertools.product(ALL, ALL)), ids=short)
def test_moves(before, after):
    """Every pair of states is either legal and done, or refused and the job as it was."""
    job = pb.Job(name="tasks/classification/jobs/a", state=before)

    if (short(before), short(after)) in LEGAL:
        states.move(job, after)
        assert job.state == after
        assert job.HasField("end_time") == (short(after) in {"SUCCEEDED", "FAILED", "CANCELLED"})
        assert job.HasField("start_time") == (after == states.RUNNING)
    else:
        with pytest.raises(ValueError, match=f"{short(before)} to STATE_{short(after)}"):
            states.move(job, after)
        assert job == pb.Job(name="tasks/classification/jobs/a", state=before)


def test_every_state_of_the_contract_has_a_place():
    assert set(states.NEXT) == set(ALL)
    assert {short(s) for s in ALL if states.ended(s)} == {"SUCCEEDED", "FAILED", "CANCELLED"}


def test_a_second_attempt_keeps_the_time_of_the_first_start():
    job = pb.Job(state=states.QUEUED, waiting_reason="Is next.")
    job.start_time.FromSeconds(7)

    states.move(job, states.RUNNING)

    assert job.start_time.seconds == 7
    assert job.waiting_reason == ""
