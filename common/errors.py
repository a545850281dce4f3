"""Errors that a caller can act on.

Each says in its message which field or file, what it was, what is needed and what to do; its
reason and details repeat that for programs. `common.rpc.errors` turns them into statuses; nothing
else in the project names a status code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.reasons import Reason


class DomainError(Exception):
    """Base of all errors that a caller may see.

    Args:
        reason: Stable name for programs.
        message: For a person, one or two sentences.
        field: Path of the request's field at fault, e.g. `pipeline.training_config.seed`.
        retry_after_s: When trying again makes sense, in seconds.
        **details: What the message says, for programs; sent as strings.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        field: str | None = None,
        retry_after_s: float | None = None,
        **details: object,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s
        self.details = {key: str(value) for key, value in details.items()}


class InvalidInput(DomainError):
    """The request, or the data it points to, can never work as it is."""


class NotFound(DomainError):
    """What the request names does not exist."""


class AlreadyExists(DomainError):
    """What the request would make exists."""


class WrongState(DomainError):
    """The request would work if something else were done first."""


class Conflict(DomainError):
    """Somebody else changed the resource at the same time, again and again."""


class Exhausted(DomainError):
    """A finite queue, quota or memory is full; `retry_after_s` says when to try again."""


class Unsupported(DomainError):
    """This server, as it was built or set up, does not do that."""


class Unauthenticated(DomainError):
    """Nobody knows who the caller is."""


class PermissionDenied(DomainError):
    """The caller may not do that, whether or not what the request names exists."""


class StorageUnavailable(DomainError):
    """The bucket does not answer; a retry may help."""


class BackendUnavailable(DomainError):
    """A service behind the gateway does not answer; a retry may help."""


class Stopping(DomainError):
    """This server is stopping; another one, or the same in a moment, will answer."""


class Internal(DomainError):
    """Work went wrong in a way that the caller cannot mend, and that is named all the same."""
