"""Logs: one JSON object a line, for programs; and the same for people."""

import json
import logging
import subprocess
import sys

from common import logs


def line_of(formatter, **changes):
    record = logging.makeLogRecord(
        {
            "name": "common.x",
            "levelname": "INFO",
            "created": 1_800_000_000.25,
            "msg": "hello %s",
            "args": ("you",),
            **changes,
        }
    )
    return json.loads(formatter.format(record))


def test_a_line_says_when_who_and_what():
    assert line_of(logs.JsonFormatter()) == {
        "time": "2027-01-15T08:00:00.250+00:00",
        "level": "INFO",
        "logger": "common.x",
        "message": "hello you",
    }


def test_a_line_carries_the_ids_at_work_and_what_was_added():
    token = logs.request_id.set("req-1")
    try:
        line = line_of(logs.JsonFormatter("tasks/classification/jobs/a"), bucket="b")
    finally:
        logs.request_id.reset(token)

    assert line["request_id"] == "req-1"
    assert line["job"] == "tasks/classification/jobs/a"
    assert line["bucket"] == "b"


def test_everything_a_process_logs_is_one_object_a_line():
    """Warnings and tracebacks included, whatever is in them."""
    code = """
import logging, warnings
from common import logs
logs.set_up("INFO", job="j")
logging.getLogger("a").info("two\\nlines, \\u2028 and ü")
logging.getLogger("a").debug("not asked for")
warnings.warn("careful")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("a").exception("broken")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    lines = [json.loads(line) for line in ended.stderr.split("\n")[:-1]]
    assert [line["level"] for line in lines] == ["INFO", "WARNING", "ERROR"]
    assert lines[0]["message"] == "two\nlines, \u2028 and ü"
    assert "careful" in lines[1]["message"]
    assert lines[2]["exception"].startswith("Traceback")
    assert {line["job"] for line in lines} == {"j"}


def test_a_line_for_people():
    ours = {"time": "2026-11-23T20:01:02.003+00:00", "level": "INFO", "message": "it runs"}

    assert logs.for_people(json.dumps(ours)) == "20:01:02 INFO it runs"
    for other in ("Segmentation fault", "[1]", '{"a": 1}', "", "3"):
        assert logs.for_people(other) == other
