"""Requests for the remote, and what calls end with."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from nocode.vision.v1 import dataset_pb2, job_pb2

TASK = "tasks/classification"
JOBS = f"{TASK}/jobs"


def get(kind):
    return job_pb2.GetJobRequest(name=f"{JOBS}/{kind}")


def watch(kind):
    return job_pb2.WatchJobRequest(name=f"{JOBS}/{kind}")


async def failure(call):
    """Return the error that a call, or a stream of answers, ends with."""
    answers = call if hasattr(call, "__await__") else _read_all(call)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await answers
    return raised.value


async def _read_all(call):
    return [answer async for answer in call]


def error_info(error):
    """Return the `ErrorInfo` of an error, which comes first among its details."""
    status = status_pb2.Status.FromString(error.trailing_metadata()["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


async def chunks(*sizes, sha256=""):
    yield dataset_pb2.UploadArchiveRequest(parent=TASK, sha256=sha256)
    for size in sizes:
        yield dataset_pb2.UploadArchiveRequest(chunk=bytes(size))
