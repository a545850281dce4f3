"""The log file of a job: bounded, and readable by a person."""

import json
import os
import subprocess

from common.jobs import logfiles


def test_tail_is_the_last_lines_for_a_person(tmp_path):
    """Our own lines of JSON are unfolded; what others print is shown as it is."""
    log = tmp_path / "a.log"
    ours = {
        "time": "2026-11-23T20:01:02.003+00:00",
        "level": "ERROR",
        "message": "it broke",
        "exception": "Traceback\n  here",
    }
    log.write_text("old\n" * 100 + json.dumps(ours) + "\nSegmentation fault\n[1, 2]\n")

    tail = logfiles.tail(log)

    assert tail.endswith("20:01:02 ERROR it broke\nTraceback\n  here\nSegmentation fault\n[1, 2]")
    assert tail.count("old") == logfiles.TAIL_LINES - 3


def test_tail_is_bounded_whatever_was_printed(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"\xff" * 10_000_000 + b"\n" + b"x" * 100_000)

    assert len(logfiles.tail(log)) <= logfiles.TAIL_BYTES
    assert logfiles.tail(tmp_path / "missing.log") == ""


def test_a_log_that_is_being_written_can_be_cut(tmp_path):
    """The newest lines stay, and the writer goes on behind them."""
    log = tmp_path / "logs" / "a.log"
    with logfiles.open_for_worker(log) as output:
        for line in range(300_000):
            output.write(b"line %d of a long log\n" % line)
        output.flush()
        before = log.stat().st_size
        logfiles.trim(log)
        after = log.stat().st_size
        output.write(b"written after the cut\n")
        output.flush()

    lines = log.read_text().splitlines()
    assert before > logfiles.MAX_BYTES > after
    assert lines[0] == "[older lines were removed]"
    assert lines[1].endswith(" of a long log")
    assert lines[-2:] == ["line 299999 of a long log", "written after the cut"]


def test_old_logs_of_other_jobs_are_removed(tmp_path):
    for i in range(logfiles.KEPT_FILES + 5):
        log = tmp_path / f"{i}.log"
        log.touch()
        os.utime(log, (i, i))

    logfiles.open_for_worker(tmp_path / "new.log").close()

    left = {int(log.stem) for log in tmp_path.glob("[0-9]*.log")}
    assert left == set(range(5, logfiles.KEPT_FILES + 5))


def test_the_log_of_a_job_at_work_is_kept_however_old_it_is(tmp_path):
    """A training may print nothing for hours; its worker has the log open all the time."""
    log = tmp_path / "silent.log"
    with logfiles.open_for_worker(log) as output:
        worker = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=output)
    os.utime(log, (0, 0))
    for i in range(logfiles.KEPT_FILES + 1):
        (tmp_path / f"{i}.log").touch()

    logfiles.open_for_worker(tmp_path / "new.log").close()
    kept = log.exists()
    worker.communicate()
    logfiles.open_for_worker(tmp_path / "newer.log").close()

    assert kept
    assert not log.exists()


def test_a_log_that_cannot_be_cut_stays_as_it_is(tmp_path):
    """Somebody has removed it, or it is none."""
    logfiles.trim(tmp_path / "missing.log")
    logfiles.trim(tmp_path)

    assert not list(tmp_path.iterdir())
    assert logfiles.tail(tmp_path) == ""
