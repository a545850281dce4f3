"""What can go wrong, as a person should read it and a program can branch on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

if TYPE_CHECKING:
    from nocode.vision.v1 import job_pb2


class CallFailed(Exception):
    """The server refused a call, or could not be reached.

    Attributes:
        code: Name of the status code, e.g. `INVALID_ARGUMENT`.
        reason: Stable name, e.g. `QUEUE_FULL`; empty if the server sent none.
        field: Path of the request's field at fault; empty if none is.
        message: For a person.
    """

    def __init__(self, code: str, message: str, reason: str = "", field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.field = field

    @property
    def unreachable(self) -> bool:
        """Whether nobody answered: trying again may help."""
        return self.code == "UNAVAILABLE"

    @classmethod
    def from_rpc_error(cls, error: grpc.RpcError, address: str) -> CallFailed:
        """Translate what gRPC raised for a call to `address`."""
        status = rpc_status.from_call(error)
        if status is not None:
            return cls.from_status(status)
        code: grpc.StatusCode = error.code()
        if code is grpc.StatusCode.UNAVAILABLE:
            return cls(code.name, f"No server answers at {address}: {error.details()}.")
        return cls(code.name, error.details() or code.name)

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> CallFailed:
        """Translate a status, e.g. of a job or of one image."""
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.BadRequest()
        for detail in status.details:
            detail.Unpack(info)
            detail.Unpack(request)
        field = request.field_violations[0].field if request.field_violations else ""
        return cls(code_pb2.Code.Name(status.code), status.message, info.reason, field)


class JobFailed(CallFailed):
    """A job ended without a result.

    Attributes:
        job: The job, with its error and findings.
        log: The last lines that its worker logged; empty if there are none.
    """

    def __init__(self, job: job_pb2.Job) -> None:
        cause = CallFailed.from_status(job.error)
        super().__init__(cause.code, cause.message, cause.reason, cause.field)
        self.job = job
        debug = error_details_pb2.DebugInfo()
        for detail in job.error.details:
            detail.Unpack(debug)
        self.log = "\n".join(debug.stack_entries) or debug.detail
