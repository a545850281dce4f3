"""What is checked alike in requests of every kind."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from common import names
from common.errors import InvalidInput, NotFound
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Collection

    from common.storage.resources import Resources
    from nocode.vision.v1 import dataset_pb2

MAX_DISPLAY_NAME_LENGTH = 200
MAX_REQUEST_ID_LENGTH = 128


def check_served(task: str, served: Collection[str], *, field: str) -> str:
    """Return `task` if this service serves it.

    Raises:
        InvalidInput: It serves others; a gateway would not have asked.
    """
    if task not in served:
        raise InvalidInput(
            Reason.TASK_UNKNOWN,
            f"{field} names the task {task!r}, but this service serves {', '.join(served)}. Send "
            "the request to the gateway, or to the service of the task.",
            field=field,
            value=task,
        )
    return task


def check_length(value: str, limit: int, *, field: str) -> None:
    """Return if a text is short enough.

    Raises:
        InvalidInput: It has more than `limit` characters.
    """
    if len(value) > limit:
        raise InvalidInput(
            Reason.FIELD_TOO_LONG,
            f"{field} has {len(value)} characters, but at most {limit} are allowed.",
            field=field,
            length=len(value),
            maximum=limit,
        )


def find_dataset(
    datasets: Resources[dataset_pb2.Dataset], name: str, task: str, *, field: str
) -> dataset_pb2.Dataset:
    """Return the data set that a field names.

    Raises:
        InvalidInput: It is no name of a data set of the task.
        NotFound: There is none of that name.
    """
    parsed = names.parse(name, "datasets", field=field)
    if parsed.task != task:
        raise InvalidInput(
            Reason.FIELD_NOT_ALLOWED,
            f"{field} is {name}, but a data set of tasks/{task} is needed. Import the data there.",
            field=field,
            value=name,
        )
    try:
        return datasets.get(name)
    except NotFound:
        raise NotFound(
            Reason.RESOURCE_NOT_FOUND,
            f"{field} is {name}, which does not exist. Import it first.",
            field=field,
            name=name,
        ) from None


def id_from(prefix: str, *parts: str) -> str:
    """Make an id that is the same whenever the parts are, e.g. for a request's retry."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{prefix}-{digest[:32]}"
