"""Child processes: started with a log, ended by their id, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

REPOSITORY = Path(__file__).resolve().parents[2]

# Run by a bare Python in the child: asks the kernel to end it when its parent dies, then becomes
# the command. The second line covers a parent that died before the request was made. Code that runs
# between fork and exec in this process instead could deadlock, as this process may have threads.
_DIE_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[2]))  # PR_SET_PDEATHSIG
os.getppid() == int(sys.argv[1]) or sys.exit(1)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class ProcessFailed(Exception):
    """A child process ended, or was not ready in time; the message ends with its log's tail."""


class Startable(ABC):
    """Something of processes that runs while it is entered; what came up before a failure ends."""

    @abstractmethod
    def start(self) -> None:
        """Start it and return once it can be used."""

    @abstractmethod
    def stop(self) -> None:
        """End it, if it was started."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class Process:
    """One child process.

    On Linux it dies with the thread that started it, even if this process is killed: start it from
    a thread that lives as long as it should, such as the main thread.

    Args:
        name: What it is called in messages.
        command: Program and arguments.
        log: File that its output is added to.
        env: Environment variables besides those of this process; one that is None is left out.
        death_signal: What it gets when this process dies. One that has children of its own, which
            it ends when it is asked to end, needs SIGTERM.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str | None] | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.log = log
        if sys.platform == "linux":
            shim = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT]
            command = [*shim, str(os.getpid()), str(int(death_signal)), *command]
        variables = {**os.environ, **(env or {})}
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._child = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env={name: value for name, value in variables.items() if value is not None},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal goes to the foreground group; children are ended in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative if a signal ended it."""
        return self._child.poll()

    def check(self) -> None:
        """Raise `ProcessFailed` if the process has ended."""
        status = self.exit_status
        if status is not None:
            raise ProcessFailed(f"{self.name} ended with status {status}. {self.tail()}")

    def tail(self, line_count: int = 20) -> str:
        """Return the last lines of the log that this process wrote, with the log's path."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read().decode(errors="replace").splitlines()[-line_count:]
        return "\n  ".join([f"The end of {self.log}:", *lines])

    def stop(self, grace_s: float = 30.0) -> None:
        """Ask it to end (SIGTERM); kill it if it has not ended within `grace_s`."""
        if self.exit_status is None:
            self._child.terminate()
            try:
                self._child.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL), with what is left of its process group."""
        if self.exit_status is None:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()


def wait_until_ready(process: Process, ready_file: Path, deadline_s: float) -> bytes:
    """Return what a server wrote to its ready file.

    Raises:
        ProcessFailed: It ended first, or took longer than `deadline_s`.
    """
    give_up = time.monotonic() + deadline_s
    while time.monotonic() < give_up:
        process.check()
        if ready_file.exists() and (content := ready_file.read_bytes()):
            return content
        time.sleep(0.02)
    raise ProcessFailed(f"{process.name} was not ready within {deadline_s:g} s. {process.tail()}")
