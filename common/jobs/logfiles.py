"""The log file of a job: everything that its workers on this machine have printed, bounded."""

from __future__ import annotations

import os
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
    """Open a log for a worker to print to, and remove the oldest logs of other jobs.

    It is opened for appending, so that `trim` may cut it while the worker prints.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    others = sorted(log.parent.glob("*.log"), key=_modified_ns)
    for old in others[:-KEPT_FILES]:
        old.unlink(missing_ok=True)
    return log.open("ab")


def trim(log: Path) -> None:
    """Cut a log that has grown over `MAX_BYTES` to its last quarter.

    What is printed in the moment of the cut may be lost.
    """
    with log.open("r+b") as file:
        if file.seek(0, os.SEEK_END) <= MAX_BYTES:
            return
        file.seek(-MAX_BYTES // 4, os.SEEK_END)
        end = file.read()
        file.truncate(0)
    with log.open("ab") as file:
        file.write(b"[older lines were removed]\n" + end.partition(b"\n")[2])


def tail(log: Path) -> str:
    """Return the last lines of a log, for a person; empty if there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = [logs.for_people(line) for line in text.splitlines()[-TAIL_LINES:]]
    return "\n".join(lines)[-TAIL_BYTES:]


def _modified_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
