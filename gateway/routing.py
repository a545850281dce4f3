"""From the first field of a request to the backend that answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from common import names
from common.errors import BackendUnavailable, InvalidInput
from common.reasons import Reason
from gateway.settings import TASKS_OF

# Any message whose only field is a string with number 1. Of other fields, the parser only checks
# that they can be skipped.
from nocode.vision.v1.job_pb2 import GetJobRequest as _FirstField

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.backends import Backend

ALL_TASKS: Final = f"tasks/{names.ALL_TASKS}"

_SERVICE_OF = {task: service for service, tasks in TASKS_OF.items() for task in tasks}


def first_field(request: bytes) -> str:
    """Return field 1 of a request, `name` or `parent`; empty if it is not there.

    Raises:
        InvalidInput: The bytes are no protobuf message, or the field is not UTF-8.
    """
    try:
        return _FirstField.FromString(request).name
    except DecodeError:
        raise InvalidInput(
            Reason.REQUEST_UNREADABLE,
            f"The request's {len(request)} bytes are not the message that this method takes. "
            "Send the request message of this method, serialized as protobuf.",
        ) from None


class Router:
    """Knows which backend serves which task."""

    def __init__(self, backends: Iterable[Backend]) -> None:
        self.backends = tuple(backends)
        self._by_task = {task: backend for backend in self.backends for task in backend.tasks}

    def task(self, name: str, *, field: str, wildcard: bool = False) -> str:
        """Return the task in a resource name or in a parent.

        Args:
            name: What the request's field 1 holds; `tasks/{task}` or longer.
            field: How the contract calls field 1, `name` or `parent`.
            wildcard: Whether to tell the caller of `tasks/-`, which the method takes too.

        Raises:
            InvalidInput: The name has no task that exists.
        """
        prefix, _, rest = name.partition("/")
        task = rest.partition("/")[0]
        if prefix == "tasks" and task in self._by_task:
            return task
        if field == "parent":
            names.parse_task(name, wildcard=wildcard, field=field)
        elif prefix == "tasks" and task:
            names.parse_task(f"tasks/{task}", field=field)
        else:
            names.parse(name, field=field)
        return task

    def backend(self, task: str) -> Backend:
        """Return the backend of a task.

        Raises:
            BackendUnavailable: It is not set up.
        """
        backend = self._by_task.get(task)
        if backend is not None:
            return backend
        service = _SERVICE_OF[task]
        raise BackendUnavailable(
            Reason.BACKEND_UNAVAILABLE,
            f"tasks/{task} is served by the backend {service}, which is not set up here. Its "
            f"operator sets it up with NOCODE_BACKENDS. What is set up: {self._names()}.",
            backend=service,
        )

    def _names(self) -> str:
        return ", ".join(backend.name for backend in self.backends)
