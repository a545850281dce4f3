"""Jobs run by a dispatcher and real worker processes, whatever befalls them."""

from __future__ import annotations

from common.jobs import states


def test_a_job_runs_to_its_end(create, start_dispatcher, wait_until_ended):
    job = create("count 3")
    start_dispatcher()

    ended = wait_until_ended(job)

    assert ended.state == states.SUCCEEDED, ended
    assert ended.dataset == "tasks/classification/datasets/d"
    assert ended.attempt == 1
