"""The worker processes of a running service."""

import time

import psutil


def kill_worker(stack, service, job_name):
    """Kill -9 the worker process of a job."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for process in psutil.Process(stack.pid(service)).children(recursive=True):
            if "work" in process.cmdline() and job_name in process.cmdline():
                process.kill()
                return
        time.sleep(0.1)
    raise AssertionError(f"no worker of {job_name} was found")
