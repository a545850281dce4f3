"""What a job's owner is told of an error that ended its work."""

from __future__ import annotations

from common.errors import DomainError, Exhausted, Internal
from common.reasons import Reason


def named(error: Exception) -> DomainError:
    """Return what the job's owner is told of an error."""
    if isinstance(error, DomainError):
        return error
    if is_out_of_memory(error):
        return Exhausted(
            Reason.OUT_OF_MEMORY,
            "The worker ran out of memory. Use a smaller batch_size, image_size_px or "
            "architecture, or a machine with more memory.",
        )
    return Internal(
        Reason.WORKER_CRASHED,
        f"The worker failed with {type(error).__name__}. The details have the last lines of its "
        "log.",
        exception=type(error).__name__,
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, of whatever kind."""
    # torch says so with a class of its own for GPUs, and in words for the CPU. It is not imported
    # here for that.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )
