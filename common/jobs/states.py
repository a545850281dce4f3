"""The life of a job, as data.

    QUEUED ──> RUNNING ──> SUCCEEDED │ FAILED
      │  ^        │  │
      │  └────────┘  └──> CANCELLING ──> CANCELLED │ SUCCEEDED (the cancel came too late)
      └──> CANCELLED

A running job goes back to the queue when its worker has died and may be tried again, and when the
service that runs it stops.
"""

from __future__ import annotations

from nocode.vision.v1 import job_pb2 as pb

QUEUED = pb.Job.STATE_QUEUED
RUNNING = pb.Job.STATE_RUNNING
CANCELLING = pb.Job.STATE_CANCELLING
SUCCEEDED = pb.Job.STATE_SUCCEEDED
FAILED = pb.Job.STATE_FAILED
CANCELLED = pb.Job.STATE_CANCELLED

NEXT: dict[pb.Job.State.ValueType, frozenset[pb.Job.State.ValueType]] = {
    QUEUED: frozenset({RUNNING, CANCELLED}),
    RUNNING: frozenset({SUCCEEDED, FAILED, CANCELLING, QUEUED}),
    CANCELLING: frozenset({CANCELLED, SUCCEEDED}),
    SUCCEEDED: frozenset(),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
}
"""The states that may follow a state."""


def ended(state: pb.Job.State.ValueType) -> bool:
    """Whether a job in this state never changes again."""
    return not NEXT[state]


def move(job: pb.Job, state: pb.Job.State.ValueType) -> None:
    """Change a job's state, with the times that go with it.

    Raises:
        ValueError: That state cannot follow the job's state.
    """
    if state not in NEXT[job.state]:
        raise ValueError(
            f"{job.name} cannot go from {pb.Job.State.Name(job.state)} to "
            f"{pb.Job.State.Name(state)}"
        )
    job.state = state
    if state != QUEUED:
        job.waiting_reason = ""
    if state == RUNNING and not job.HasField("start_time"):
        job.start_time.GetCurrentTime()
    if ended(state):
        job.end_time.GetCurrentTime()
