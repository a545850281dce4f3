"""Errors as statuses: the only place where a domain error meets a gRPC code (AIP-193).

Everything that a caller sees of an error is made here, be it the status of a call, of one image
of a call, or of a job that failed.
"""

from __future__ import annotations

import logging
import secrets

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from common import errors
from common.reasons import Reason

DOMAIN = "nocode.vision"
"""`ErrorInfo.domain` of every error."""

CODE_OF: dict[type[errors.DomainError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.WrongState: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.StorageUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.BackendUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Stopping: grpc.StatusCode.UNAVAILABLE,
    errors.Internal: grpc.StatusCode.INTERNAL,
}

# A status travels in the trailing metadata, of which gRPC takes 8 KiB without question: in it are
# the message three times, once with three bytes for each that is not ASCII, and what else it says
# in base64.
_MESSAGE_BYTES = 768
_VALUE_BYTES = 256
_VALUE_COUNT = 6

_log = logging.getLogger(__name__)


def code_of(error: errors.DomainError) -> grpc.StatusCode:
    """Return the code that stands for the error's class, or for the nearest class above it."""
    return next(CODE_OF[kind] for kind in type(error).__mro__ if kind in CODE_OF)


def to_status(error: errors.DomainError) -> status_pb2.Status:
    """Return the status of an error that a caller can act on.

    It carries an `ErrorInfo`, for a field at fault a `BadRequest`, and a `RetryInfo` if the error
    says when to try again. A long message or detail is cut to what metadata may hold.
    """
    text = _cut(error.message, _MESSAGE_BYTES)
    details: list[message.Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason,
            domain=DOMAIN,
            metadata={
                key: _cut(value, _VALUE_BYTES)
                for key, value in list(error.details.items())[:_VALUE_COUNT]
            },
        )
    ]
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(error.field, _VALUE_BYTES), description=text, reason=error.reason
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _status(code_of(error), text, details)


def unexpected(error: BaseException, *, doing: str) -> status_pb2.Status:
    """Return the status of an error that nobody foresaw, and log the error.

    The caller learns no more than an id, because the text of an exception may hold keys or paths.
    The log has that id beside the traceback.
    """
    incident = secrets.token_hex(6)
    _log.error("%s failed, incident %s", doing, incident, exc_info=error)
    text = f"Something went wrong inside the server. Its log says more under incident {incident}."
    info = error_details_pb2.ErrorInfo(
        reason=Reason.INTERNAL, domain=DOMAIN, metadata={"incident": incident}
    )
    return _status(grpc.StatusCode.INTERNAL, text, [info])


def _status(code: grpc.StatusCode, text: str, details: list[message.Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=text)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _cut(text: str, limit: int) -> str:
    """Cut a text to `limit` bytes of UTF-8."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - 3].decode(errors="ignore") + "…"
