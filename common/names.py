"""Resource names (AIP-122), parsed and formatted in one place.

A name is also the prefix of the resource's keys in the bucket.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

from common.errors import InvalidInput
from common.reasons import Reason

Collection = Literal["datasets", "pipelines", "jobs", "models"]
COLLECTIONS: tuple[Collection, ...] = get_args(Collection)

TASKS = ("classification", "detection", "semantic-segmentation", "instance-segmentation")
ALL_TASKS = "-"
"""The task of the parent `tasks/-`, which stands for all (AIP-159)."""

ID_PATTERN = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
_ID = re.compile(ID_PATTERN)


@dataclass(frozen=True, order=True, slots=True)
class ResourceName:
    """`tasks/{task}/{collection}/{id}`."""

    task: str
    collection: Collection
    id: str

    def __str__(self) -> str:
        return f"tasks/{self.task}/{self.collection}/{self.id}"

    @property
    def parent(self) -> str:
        """`tasks/{task}`."""
        return f"tasks/{self.task}"


def parse(name: str, *collections: Collection, field: str = "name") -> ResourceName:
    """Parse the name of a resource in one of `collections` (all, if none is given).

    Raises:
        InvalidInput: It is not such a name; the message says what one looks like.
    """
    allowed = collections or COLLECTIONS
    parts = name.split("/")
    if len(parts) == 4 and parts[0] == "tasks":  # noqa: SIM102 - one line a condition
        if parts[2] in allowed and _ID.fullmatch(parts[1]) and _ID.fullmatch(parts[3]):
            _check_task(parts[1], field)
            return ResourceName(parts[1], parts[2], parts[3])
    if not name:
        raise InvalidInput(
            Reason.FIELD_REQUIRED,
            f"{field} is empty. Send {_formats(allowed)}.",
            field=field,
        )
    raise InvalidInput(
        Reason.NAME_INVALID,
        f"{field} is {shorten(name)!r}, which is not a name of the form {_formats(allowed)}.",
        field=field,
        value=shorten(name),
    )


def parse_task(parent: str, *, wildcard: bool = False, field: str = "parent") -> str:
    """Parse `tasks/{task}` to the task; with `wildcard`, `tasks/-` to `ALL_TASKS`.

    Raises:
        InvalidInput: It is neither.
    """
    prefix, _, task = parent.partition("/")
    if prefix == "tasks" and wildcard and task == ALL_TASKS:
        return ALL_TASKS
    if prefix != "tasks" or not _ID.fullmatch(task):
        form = "tasks/{task}" + (" or tasks/-" if wildcard else "")
        raise InvalidInput(
            Reason.NAME_INVALID if parent else Reason.FIELD_REQUIRED,
            f"{field} is {shorten(parent)!r}. Send {form}, where {{task}} is one of "
            f"{', '.join(TASKS)}.",
            field=field,
            value=shorten(parent),
        )
    _check_task(task, field)
    return task


def check_id(value: str, *, field: str) -> str:
    """Return `value` if a caller may choose it as an id.

    Raises:
        InvalidInput: It does not match `ID_PATTERN`.
    """
    if not _ID.fullmatch(value):
        raise InvalidInput(
            Reason.NAME_INVALID,
            f"{field} is {shorten(value)!r}. An id has 1 to 63 lower-case letters, digits and "
            "hyphens, starts with a letter and does not end with a hyphen.",
            field=field,
            value=shorten(value),
        )
    return value


def new_id(prefix: str) -> str:
    """Make an id that nobody else has, e.g. `job-3f9c2a71b0de4c55`."""
    return f"{prefix}-{secrets.token_hex(8)}"


def shorten(text: str, limit: int = 100) -> str:
    """Cut what a caller sent to a length that fits in a message."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _check_task(task: str, field: str) -> None:
    if task not in TASKS:
        raise InvalidInput(
            Reason.TASK_UNKNOWN,
            f"{field} names the task {shorten(task)!r}, which does not exist. "
            f"The tasks are {', '.join(TASKS)}.",
            field=field,
            value=shorten(task),
        )


def _formats(collections: tuple[Collection, ...]) -> str:
    return " or ".join(f"tasks/{{task}}/{c}/{{{c[:-1]}}}" for c in collections)
