"""The log file of a job: everything that its workers on this machine have printed, bounded."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from common import logs

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from common.names import ResourceName
    from common.settings import ServiceSettings

MAX_BYTES = 4 * 1024**2
KEPT_FILES = 200
TAIL_LINES = 40
TAIL_BYTES = 16 * 1024


def path(settings: ServiceSettings, name: ResourceName) -> Path:
    """Return where a job's log is on this machine."""
    return settings.work_dir / "logs" / f"{name.task}-{name.id}.log"


def open_for_worker(log: Path) -> BinaryIO:
    """Open a log for a worker to print to, and remove the oldest logs of jobs not at work.

    It is opened for appending, so that `trim` may cut it while the worker prints. A lock on it,
    which the worker inherits and holds until it ends, keeps others from removing it: a training
    may print so little that its log is the oldest.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    others = sorted(log.parent.glob("*.log"), key=_modified_ns)
    for old in others[:-KEPT_FILES]:
        _remove_unless_locked(old)
    output = log.open("ab")
    with suppress(OSError):  # on a disk without locks, nothing is removed
        fcntl.flock(output, fcntl.LOCK_SH)
    return output


def trim(log: Path) -> None:
    """Cut a log that has grown over `MAX_BYTES` to its last quarter.

    What is printed in the moment of the cut may be lost. A log that cannot be cut, e.g. because
    somebody has removed it, stays as it is: no job is worth less for its log.
    """
    with suppress(OSError):
        with log.open("r+b") as file:
            if file.seek(0, os.SEEK_END) <= MAX_BYTES:
                return
            file.seek(-MAX_BYTES // 4, os.SEEK_END)
            end = file.read()
            file.truncate(0)
        with log.open("ab") as file:
            file.write(b"[older lines were removed]\n" + end.partition(b"\n")[2])


def tail(log: Path) -> str:
    """Return the last lines of a log, for a person; empty if it cannot be read."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [logs.for_people(line) for line in text.splitlines()[-TAIL_LINES:]]
    return "\n".join(lines)[-TAIL_BYTES:]


def _remove_unless_locked(log: Path) -> None:
    with suppress(OSError), log.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        log.unlink()


def _modified_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
