"""How the work of an attempt ends, whoever ends it."""

from __future__ import annotations

import json

import pytest
from google.rpc import status_pb2

from common.jobs import ending, states
from common.jobs.store import Claim

LIMIT = 3


@pytest.fixture
def lose_another(jobs, create, bucket):
    """Start a worker, let it leave a checkpoint or not, and lose it."""
    job = create("count 1")

    def start(job):
        states.move(job, states.RUNNING)
        job.owner = "a-worker"
        job.attempt += 1

    def lose_another(*, checkpoint):
        running = jobs.change(job.name, start)
        if checkpoint:
            latest = json.dumps({"attempt": running.attempt}).encode()
            bucket.put(f"{job.name}/checkpoint/latest.json", latest)
        return ending.lose(jobs, Claim.of(running), status_pb2.Status(code=13), limit=LIMIT)

    return lose_another


def test_a_job_fails_once_it_has_lost_too_many_workers(lose_another):
    lost = [lose_another(checkpoint=False) for _ in range(LIMIT)]

    assert [job.state for job in lost] == [states.QUEUED, states.QUEUED, states.FAILED]
    assert [job.lost_worker_count for job in lost] == [1, 2, 3]
    assert lost[-1].error.code == 13


def test_a_worker_that_left_a_checkpoint_begins_the_count_anew(lose_another):
    """A training of days outlives any number of lost machines, as long as it gets on."""
    checkpoints = [True, False, True, True, True, True, False, False]

    lost = [lose_another(checkpoint=checkpoint) for checkpoint in checkpoints]

    assert [job.lost_worker_count for job in lost] == [1, 2, 1, 1, 1, 1, 2, 3]
    assert [job.state for job in lost] == [states.QUEUED] * 7 + [states.FAILED]
