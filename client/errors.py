"""What can go wrong, as a person should read it and a program can branch on it."""

from __future__ import annotations

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from nocode.vision.v1 import job_pb2


class CallFailed(Exception):
    """The server refused a call, or could not be reached.

    Attributes:
        code: Name of the status code, e.g. `INVALID_ARGUMENT`.
        reason: Stable name, e.g. `QUEUE_FULL`; empty if the server sent none.
        field: Path of the request's field at fault; empty if none is.
        retry_after_s: When the server says that trying again may help, in seconds from now; None
            if it does not say so.
        message: For a person.
    """

    def __init__(
        self,
        code: str,
        message: str,
        reason: str = "",
        field: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.field = field
        self.retry_after_s = retry_after_s

    @property
    def passing(self) -> bool:
        """Whether it may work later without anybody changing anything."""
        return self.code == "UNAVAILABLE"

    @property
    def unreachable(self) -> bool:
        """Whether nobody answered. A server that says that it misses something has answered."""
        return self.passing and not self.reason

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
        retry = error_details_pb2.RetryInfo()
        retry_after_s = None
        for detail in status.details:
            detail.Unpack(info)
            detail.Unpack(request)
            if detail.Unpack(retry):
                retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
        field = request.field_violations[0].field if request.field_violations else ""
        code = code_pb2.Code.Name(status.code)
        return cls(code, status.message, info.reason, field, retry_after_s)


class JobFailed(CallFailed):
    """A job ended without a result.

    Attributes:
        job: The job, with its error and findings.
        log: The last lines that its worker logged; empty if there are none.
    """

    def __init__(self, job: job_pb2.Job) -> None:
        if job.state == job_pb2.Job.STATE_CANCELLED:
            # Not an error of the job's: a caller wanted it.
            cause = CallFailed("CANCELLED", f"{job.name} was cancelled.")
        else:
            cause = CallFailed.from_status(job.error)
        super().__init__(cause.code, cause.message, cause.reason, cause.field)
        self.job = job
        debug = error_details_pb2.DebugInfo()
        for detail in job.error.details:
            detail.Unpack(debug)
        self.log = "\n".join(debug.stack_entries) or debug.detail
