"""The audit log: a line for every change that a caller made or tried to make."""

from __future__ import annotations

import logging

from common.names import shorten

_log = logging.getLogger("audit")
# Whatever NOCODE_LOG_LEVEL is: an audit that can be silenced by accident is none.
_log.setLevel(logging.INFO)


def record(*, caller: str, peer: str, path: str, resource: str, result: str, code: str) -> None:
    """Write a line; the time and the id of the request come with every line.

    Args:
        caller: Who called; empty if nobody knows.
        peer: From where, e.g. `ipv4:10.0.0.7:51234`.
        path: The method.
        resource: What the request named; its task, if it makes something new.
        result: What was made; empty if nothing was.
        code: How the call ended, e.g. `OK` or `PERMISSION_DENIED`.
    """
    method = path.rpartition(".")[2]
    _log.info(
        "%s %s",
        method,
        code,
        extra={
            "caller": caller,
            "peer": peer,
            "method": method,
            "resource": shorten(resource),
            "result": shorten(result),
            "code": code,
        },
    )
