"""Workers as child processes of the service."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common import names
from common.jobs import logfiles
from common.jobs.context import work_dir, work_dirs
from common.jobs.launchers import Exit, Launcher, LaunchFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from common.settings import ServiceSettings
    from nocode.vision.v1 import job_pb2 as pb

_VMSTAT = Path("/proc/vmstat")


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    log: Path
    oom_kills: int | None
    exit: Exit | None = None


class LocalLauncher(Launcher):
    """Starts workers on this machine, each in a process group of its own.

    A worker holds the reading end of a pipe whose other end is ours: when this process dies,
    however it dies, the worker notices and ends too.

    Args:
        command: What a worker is started with, before `work JOB …`.
        settings: For the folders of logs and scratch files.
        environment: Added to this process's own.
    """

    def __init__(
        self,
        command: Sequence[str],
        settings: ServiceSettings,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = tuple(command)
        self._settings = settings
        self._environment = dict(environment or {})
        self._workers: dict[tuple[str, int], _Worker] = {}

    def launch(self, job: pb.Job, devices: Sequence[str]) -> None:
        """See `Launcher`."""
        if (job.name, job.attempt) in self._workers:
            return
        environment = {**os.environ, **self._environment}
        if devices:
            # Among the visible ones they have other numbers than those of the service's settings.
            environment |= {"CUDA_VISIBLE_DEVICES": ",".join(devices), "NOCODE_DEVICE": "cuda"}
        log = logfiles.path(self._settings, names.parse(job.name, "jobs"))
        oom_kills = _oom_kills()
        try:
            with logfiles.open_for_worker(log) as output:
                process = subprocess.Popen(
                    [
                        *self._command,
                        "work",
                        job.name,
                        f"--owner={job.owner}",
                        f"--attempt={job.attempt}",
                        "--until-stdin-closes",
                    ],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise LaunchFailed(str(error)) from error
        self._workers[job.name, job.attempt] = _Worker(process, log, oom_kills)

    def poll(self, job: pb.Job) -> Exit | None:
        """See `Launcher`."""
        worker = self._workers.get((job.name, job.attempt))
        if worker is None:
            return Exit(code=0, out_of_memory=None, log_tail="")
        if worker.exit is None:
            logfiles.trim(worker.log)
            worker.exit = self._reap(worker)
        return worker.exit

    def stop(self, job: pb.Job, *, force: bool = False) -> None:
        """See `Launcher`."""
        worker = self._workers.get((job.name, job.attempt))
        if worker is None or worker.exit is not None:
            return
        # Not reaped yet, so the id is still the worker's.
        with suppress(ProcessLookupError):
            if force:
                os.killpg(worker.process.pid, signal.SIGKILL)
            else:
                os.kill(worker.process.pid, signal.SIGTERM)

    def discard(self, job: pb.Job, *, ended: bool) -> None:
        """See `Launcher`. The log stays, among the latest ones."""
        self._workers.pop((job.name, job.attempt), None)
        if ended:
            shutil.rmtree(
                work_dir(self._settings, names.parse(job.name, "jobs")), ignore_errors=True
            )

    def kept(self) -> Iterable[str]:
        """See `Launcher`."""
        return [folder.name for folder in work_dirs(self._settings)]

    def _reap(self, worker: _Worker) -> Exit | None:
        """Return how a worker ended; what it started and left behind is killed."""
        pid = worker.process.pid
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        code = worker.process.wait()
        if worker.process.stdin:
            worker.process.stdin.close()
        return Exit(code, _was_out_of_memory(code, worker.oom_kills), logfiles.tail(worker.log))


def _was_out_of_memory(code: int, oom_kills_before: int | None) -> bool | None:
    """Whether the kernel killed a worker for want of memory: it does so with SIGKILL."""
    if code not in {-signal.SIGKILL, 128 + signal.SIGKILL}:
        return False
    now = _oom_kills()
    if now is None or oom_kills_before is None:
        return None
    return now > oom_kills_before


def _oom_kills() -> int | None:
    """Return how often this kernel has killed for want of memory; None if it does not say."""
    try:
        lines = _VMSTAT.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
