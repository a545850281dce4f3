"""Child processes that are never left behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deploy.local.process import REPOSITORY, Process, ProcessFailed, wait_until_ready

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


@pytest.fixture
def start(tmp_path):
    """Starts processes, and ends them after the test."""
    started = []

    def start(*command: str, **options) -> Process:
        log = options.pop("log", tmp_path / "logs" / "child.log")
        started.append(Process("The child", command, log=log, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def python(code: str) -> list[str]:
    """Return a command that runs a few lines."""
    return [sys.executable, "-c", code]


def wait_for(condition, what: str) -> None:
    """Return once a condition holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_process_gets_variables_and_writes_a_log(start, tmp_path):
    """What it prints, on either stream, is in the log; the id is that of the command itself."""
    process = start(
        *python("import os, sys; print(os.environ['X'], os.getpid()); sys.exit('bye')"),
        env={"X": "value"},
    )
    wait_for(lambda: process.exit_status is not None, "it ends")

    assert process.exit_status == 1
    assert process.log.read_text().splitlines() == [f"value {process.pid}", "bye"]


def test_a_variable_can_be_left_out(start, monkeypatch):
    """One of this process, such as a key that the child must not have."""
    monkeypatch.setenv("SECRET", "x")
    process = start(*python("import os; print(os.environ.get('SECRET'))"), env={"SECRET": None})
    wait_for(lambda: process.exit_status is not None, "it ends")

    assert process.log.read_text() == "None\n"


def test_an_early_end_is_reported_with_the_log(start, tmp_path):
    """But not with what an earlier process wrote there."""
    log = tmp_path / "log"
    log.write_text("of another start\n")
    process = start(*python("import sys; print('the reason'); sys.exit(3)"), log=log)

    with pytest.raises(ProcessFailed, match=r"The child ended with status 3\.[^$]*the reason") as e:
        wait_until_ready(process, tmp_path / "ready", 20)

    assert str(log) in str(e.value)
    assert "of another start" not in str(e.value)


def test_a_process_that_is_not_ready_in_time_is_reported(start, tmp_path):
    """With how long it was given."""
    process = start(*SLEEP)
    wait_for(lambda: "up" in process.log.read_text(), "it starts")

    with pytest.raises(ProcessFailed, match=r"not ready within 0.2 s[^$]*up"):
        wait_until_ready(process, tmp_path / "ready", 0.2)


def test_a_ready_file_is_waited_for(start, tmp_path):
    """An empty one is still being written."""
    ready = tmp_path / "ready"
    ready.touch()
    process = start(
        *python(
            f"import time; time.sleep(.3); open({str(ready)!r}, 'w').write('now'); time.sleep(60)"
        )
    )

    assert wait_until_ready(process, ready, 20) == b"now"


def test_stop_is_polite_first(start):
    """A process that handles SIGTERM ends as it wants to."""
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    process = start(*python(code))
    wait_for(lambda: "up" in process.log.read_text(), "it starts")

    process.stop()
    process.stop()

    assert process.exit_status == 7


def test_stop_kills_what_does_not_end(start):
    """After the time it was given."""
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    process = start(*python(code))
    wait_for(lambda: "up" in process.log.read_text(), "it starts")

    process.stop(grace_s=0.2)

    assert process.exit_status == -9


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels cannot do this")
def test_a_process_dies_with_its_parent(tmp_path):
    """Even if the parent is killed and cannot clean up."""
    code = f"""
import sys, time
from pathlib import Path
from deploy.local.process import Process
print(Process("x", {SLEEP!r}, log=Path({str(tmp_path / "log")!r})).pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen(python(code), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    wait_for(lambda: "up" in Path(tmp_path / "log").read_text(), "the child starts")

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_for(lambda: not child.is_running() or child.status() == "zombie", "the child dies")
