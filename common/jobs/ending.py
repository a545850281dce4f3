"""How the work of an attempt ends, whoever ends it: its worker, or a dispatcher when that has died.

All functions raise `ClaimLost` if somebody else works on the job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import any_pb2
from google.rpc import error_details_pb2

from common import names
from common.jobs import cleanup, states
from common.rpc import errors
from nocode.vision.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.rpc import status_pb2

    from common.errors import DomainError
    from common.jobs.store import Claim, Jobs

    Change = Callable[[pb.Job], None]


def _nothing(job: pb.Job) -> None:
    del job


def succeed(jobs: Jobs, claim: Claim, change: Change) -> pb.Job:
    """End a job with a result, which `change` sets; a cancel that came meanwhile is too late."""

    def end(job: pb.Job) -> None:
        change(job)
        states.move(job, states.SUCCEEDED)

    _publish(jobs, jobs.get(names.parse(claim.name, "jobs")))
    job = jobs.change_claimed(claim, end)
    finish(jobs, job)
    return job


def fail(jobs: Jobs, claim: Claim, error: status_pb2.Status, change: Change = _nothing) -> pb.Job:
    """End a job without a result: as failed, or as cancelled if it was asked to stop.

    If what it was to make is there all the same, it has succeeded. What it left is deleted before
    its last state can be seen, so that whoever sees that may try again under the same names.
    """

    def end(job: pb.Job) -> None:
        if job.state == states.CANCELLING:
            states.move(job, states.CANCELLED)
        else:
            job.error.CopyFrom(error)
            states.move(job, states.FAILED)

    def touch(job: pb.Job) -> None:
        change(job)
        job.heartbeat_time.GetCurrentTime()

    job = jobs.change_claimed(claim, touch)
    if made := cleanup.committed(jobs.bucket, job):
        return succeed(jobs, claim, lambda job: set_result(job, made))
    cleanup.discard(jobs.bucket, job)
    job = jobs.change_claimed(claim, end)
    jobs.forget(job)
    return job


def give_back(jobs: Jobs, claim: Claim, why: str, change: Change = _nothing) -> pb.Job:
    """Put a job back into the queue, where it has its old place, to go on from its checkpoint.

    One that was asked to stop ends as cancelled instead.

    Args:
        jobs: The jobs.
        claim: The claim to give up.
        why: The job's `waiting_reason`.
        change: What else to change.
    """

    def requeue(job: pb.Job) -> None:
        change(job)
        if job.state == states.RUNNING:
            _requeue(job, why)

    job = jobs.change_claimed(claim, requeue)
    return job if job.state == states.QUEUED else fail(jobs, claim, job.error)


def lose(
    jobs: Jobs,
    claim: Claim,
    error: status_pb2.Status,
    *,
    limit: int,
    change: Change = _nothing,
) -> pb.Job:
    """Count a lost worker: its job is tried again, or fails once it has lost too many in a row.

    The count begins anew with a worker that left a checkpoint: the job gets on, if slowly.

    Args:
        jobs: The jobs.
        claim: The lost worker's.
        error: Why the job fails, if it does.
        limit: The number of workers that is too many.
        change: What else to change.
    """

    def count(job: pb.Job) -> None:
        change(job)
        job.lost_worker_count = 1 if got_on else job.lost_worker_count + 1
        if job.state == states.RUNNING and job.lost_worker_count < limit and not is_made:
            _requeue(job, "Its worker was lost; waits to go on.")

    got_on = cleanup.left_checkpoint(jobs.bucket, claim.name, claim.attempt)
    is_made = bool(cleanup.committed(jobs.bucket, jobs.get(names.parse(claim.name, "jobs"))))
    job = jobs.change_claimed(claim, count)
    return job if job.state == states.QUEUED else fail(jobs, claim, error)


def finish(jobs: Jobs, job: pb.Job) -> None:
    """Do what is left to do for a job that has ended, if whoever ended it was interrupted."""
    if job.state == states.SUCCEEDED:
        cleanup.tidy(jobs.bucket, job)
    else:
        cleanup.discard(jobs.bucket, job)
    jobs.forget(job)


def _publish(jobs: Jobs, job: pb.Job) -> None:
    """Make a trained model that of its pipeline, before the training is seen to have succeeded."""
    if job.kind == pb.Job.KIND_TRAIN:
        from common.catalog.pipelines import set_model  # noqa: PLC0415 - an import needs it not

        set_model(jobs.bucket, job.train_spec.pipeline, job.train_spec.model)


def _requeue(job: pb.Job, why: str) -> None:
    states.move(job, states.QUEUED)
    job.waiting_reason = why
    job.owner = ""
    job.ClearField("heartbeat_time")


def set_result(job: pb.Job, made: str) -> None:
    """Set the result of a job that makes a resource."""
    if job.kind == pb.Job.KIND_IMPORT:
        job.dataset = made
    else:
        job.model = made


def status_of(error: DomainError, log_tail: str) -> status_pb2.Status:
    """Return the status of a failed job, with the last lines of its log."""
    status = errors.to_status(error)
    if log_tail:
        packed = any_pb2.Any()
        packed.Pack(error_details_pb2.DebugInfo(detail=log_tail))
        status.details.append(packed)
    return status
