"""What tests see of jobs, their workers and what they leave."""

from __future__ import annotations

import time

import psutil
from google.rpc import error_details_pb2

DATASET = "tasks/classification/datasets/d"


def detail(job, kind):
    """The detail of a kind that the job's error has."""
    message = kind()
    assert any(packed.Unpack(message) for packed in job.error.details), job.error
    return message


def reason(job):
    return detail(job, error_details_pb2.ErrorInfo).reason


def workers_of(job):
    """Ids of the processes that work on a job."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if job.name in (process.info["cmdline"] or []) and process.status() != psutil.STATUS_ZOMBIE
    ]


def left_of(job, bucket):
    """Everything in the bucket but the job itself and the index."""
    keys = {stat.key for stat in bucket.list("tasks/classification/")}
    return {key for key in keys if "/index/" not in key} - {f"{job.name}/job.json"}


def markers(jobs):
    return [marker.job for marker in jobs.active("classification")]


def wait_until(condition, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
