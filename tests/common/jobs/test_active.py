"""What a dispatcher takes for the silence of a worker."""

import time

import pytest

from common.jobs import states
from common.jobs.active import ActiveJobs

LEASE_S = 1.0


@pytest.fixture
def running(create, jobs):
    """A job whose worker says nothing any more."""
    job = create("count 1")

    def claim(stored):
        states.move(stored, states.RUNNING)
        stored.heartbeat_time.GetCurrentTime()

    return jobs.change(job.name, claim)


@pytest.fixture
def active(jobs):
    return ActiveJobs(jobs, ["classification"], LEASE_S)


def test_a_worker_that_is_listened_to_falls_silent(active, running):
    deadline = time.monotonic() + 20 * LEASE_S
    while True:
        (entry,) = active.look()
        if entry.silent_s > LEASE_S:
            break
        assert time.monotonic() < deadline
        time.sleep(LEASE_S / 20)  # between looks, as a dispatcher has it; the deadline is above

    assert entry.job.name == running.name


def test_silence_does_not_count_while_nobody_listens(active, running):
    """As when the storage is away; its worker has to find it again, too, before it can speak."""
    active.look()

    time.sleep(2 * LEASE_S)  # the time itself is what is tested: nobody looks meanwhile
    (entry,) = active.look()

    assert entry.job.name == running.name
    assert entry.silent_s < -LEASE_S
