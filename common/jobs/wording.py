"""What people are told of jobs that wait, and of workers that died without a word."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from common.errors import Exhausted, Internal
from common.reasons import Reason

if TYPE_CHECKING:
    from common.errors import DomainError
    from common.jobs.launchers import Exit
    from nocode.vision.v1 import job_pb2 as pb


def waiting_reason(ahead: int, at_work: int, where: str, *, is_paused: bool) -> str:
    """Say what a queued job waits for.

    Args:
        ahead: Jobs that wait before it.
        at_work: Jobs that run.
        where: On what they do, e.g. `2 GPUs`.
        is_paused: Whether no worker could be started just now.
    """
    place = (
        f"Waits for {ahead} {'job' if ahead == 1 else 'jobs'} ahead of it" if ahead else "Is next"
    )
    if is_paused:
        return f"{place}; a worker could not be started, which is tried again."
    if not at_work:
        return f"{place}; the last one is just ending."
    return f"{place}; {at_work} {'job runs' if at_work == 1 else 'jobs run'} on {where}."


def silence(job: pb.Job, lease_s: float, limit: int) -> DomainError:
    """Name that a running job's worker was not heard of for a lease."""
    return Internal(
        Reason.WORKER_LOST,
        f"The worker was not heard of for {lease_s:g} s. A job is given up when {limit} workers in "
        "a row are lost that got no further.",
        owner=job.owner,
        attempt=job.attempt,
    )


def explanation(end: Exit) -> DomainError:
    """Name why a worker ended that did not say so itself."""
    if end.error is not None:
        return end.error
    if end.code < 0:
        try:
            name = signal.Signals(-end.code).name
        except ValueError:
            name = f"signal {-end.code}"
        what = f"was killed by {name}"
    else:
        what = f"ended with exit status {end.code} and without a word"
    if end.out_of_memory is not False:
        likely = "" if end.out_of_memory else ", most likely"
        return Exhausted(
            Reason.OUT_OF_MEMORY,
            f"The worker {what}{likely} for want of memory. Use a smaller batch_size, "
            "image_size_px or architecture, or a machine with more memory.",
            exit_code=end.code,
        )
    return Internal(
        Reason.WORKER_CRASHED,
        f"The worker {what}. The details have the last lines of its log.",
        exit_code=end.code,
    )
