"""Logs: one JSON object a line on standard error, with the ids of request, trace and job."""

from __future__ import annotations

import contextvars
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from common import tracing

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""`x-request-id` of the call that the running code serves; empty outside a call."""

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; what was passed as `extra` becomes fields.

    Args:
        job: Name of the job that this process works on, for every line; empty if there is none.
    """

    def __init__(self, job: str = "") -> None:
        super().__init__()
        self._job = job

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := request_id.get():
            line["request_id"] = request
        if self._job:
            line["job"] = self._job
        line.update(tracing.ids())
        line.update(
            (key, value) for key, value in vars(record).items() if key not in _STANDARD_ATTRIBUTES
        )
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(level: str, *, job: str = "") -> None:
    """Send all logs of this process to standard error as JSON.

    Args:
        level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        job: Name of the job that this process works on, if it is a worker.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(job))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def for_people(line: str) -> str:
    """Turn a line of a log into text for a person; what is not ours is returned as it is."""
    try:
        record = json.loads(line)
        text = f"{record['time'][11:19]} {record['level']} {record['message']}"
    except (ValueError, TypeError, KeyError):
        return line
    return f"{text}\n{record['exception']}" if "exception" in record else text
