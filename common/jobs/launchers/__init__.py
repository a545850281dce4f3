"""Launchers: how a worker process is started, asked about and stopped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from common.errors import DomainError
    from common.jobs.store import Claim
    from nocode.vision.v1 import job_pb2 as pb


class LaunchFailed(Exception):
    """The worker cannot be started; the text says why."""


class LauncherMisconfigured(Exception):
    """A launcher cannot be set up; the text says which setting is wrong, and what to do."""


@dataclass(frozen=True)
class Exit:
    """How a worker ended.

    Attributes:
        code: Its exit status; negative if a signal of that number killed it.
        out_of_memory: Whether it was killed for want of memory; None if that cannot be known.
        log_tail: The last lines of its log, for a person.
        error: Why, if whoever ran the worker says more than the exit status does.
        final: Another worker would end the same way.
    """

    code: int
    out_of_memory: bool | None
    log_tail: str
    error: DomainError | None = None
    final: bool = False


class Launcher(ABC):
    """Starts workers. A worker is known by its job's name and attempt.

    Every method may be called again, and for a worker that is gone: it then changes nothing.

    Attributes:
        where: Where workers run, for a person; empty for the devices of the service's machine.
        outlives_service: Whether workers go on when the service that launched them ends. If so,
            another one may ask about them and stop them.
    """

    where = ""
    outlives_service = False

    @abstractmethod
    def launch(self, job: pb.Job, devices: Sequence[str]) -> None:
        """Start the worker of a job's attempt, unless it was started before.

        Args:
            job: Claimed, so that `owner` and `attempt` are set.
            devices: The GPUs that it may use, as `CUDA_VISIBLE_DEVICES` names them.

        Raises:
            LaunchFailed: It cannot be started.
        """

    @abstractmethod
    def poll(self, job: pb.Job) -> Exit | None:
        """Return how the worker ended, or None while it runs, or while that is not known."""

    @abstractmethod
    def stop(self, job: pb.Job, *, force: bool = False) -> None:
        """Ask the worker to stop; with `force`, kill it and everything that it started."""

    @abstractmethod
    def discard(self, job: pb.Job, *, ended: bool) -> None:
        """Forget a worker that has ended, and if its job has too, free what was kept for that."""

    @abstractmethod
    def kept(self) -> Iterable[str]:
        """Return the ids of jobs for which something is kept, whoever has launched their workers.

        They may be of any task and in any state, or of another bucket.
        """

    # What only a launcher can say whose workers outlive the service, or wait for a machine.

    def waiting(self, job: pb.Job) -> str:
        """Return what a worker that was launched, but does not run yet, waits for; else nothing."""
        del job
        return ""

    def has(self, job: pb.Job) -> bool | None:
        """Whether a worker is there, or its remains, that another service has launched.

        None if that is not known now.
        """
        del job
        return False

    def workers(self) -> Iterable[Claim]:
        """Return the claims of all workers of this bucket's jobs that outlive their service."""
        return ()

    def close(self) -> None:  # noqa: B027 - most launchers hold nothing
        """Let go of what this launcher holds. Workers that outlive the service go on."""
