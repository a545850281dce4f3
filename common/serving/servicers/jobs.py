"""`JobService`: translates, delegates to `Jobs`, translates back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from common import names
from common.catalog import requests
from common.jobs import artifacts
from nocode.vision.v1 import job_pb2 as pb
from nocode.vision.v1 import job_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import grpc

    from common.jobs.store import Jobs

    Context = grpc.aio.ServicerContext[Any, Any]


class JobServicer(job_pb2_grpc.JobServiceServicer):
    """Serves the jobs of some tasks.

    Args:
        jobs: The jobs.
        tasks: The tasks that this service serves; `tasks/-` stands for all of them.
    """

    def __init__(self, jobs: Jobs, tasks: Sequence[str]) -> None:
        self._jobs = jobs
        self._tasks = tuple(tasks)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.Job:
        """Return one job."""
        return await asyncio.to_thread(self._jobs.get, self._parse(request.name))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """Return a page of jobs, newest first."""
        jobs, token = await asyncio.to_thread(
            self._jobs.list, self._tasks, request.parent, request.page_size, request.page_token
        )
        return pb.ListJobsResponse(jobs=jobs, next_page_token=token)

    async def WatchJob(
        self, request: pb.WatchJobRequest, context: Context
    ) -> AsyncIterator[pb.Job]:
        """Send a job now and whenever it has changed, until its last state."""
        async with aclosing(self._jobs.watch(self._parse(request.name))) as changes:
            async for job in changes:
                yield job

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.Job:
        """Ask a job to stop."""
        return await asyncio.to_thread(self._jobs.cancel, self._parse(request.name))

    async def DownloadArtifact(
        self, request: pb.DownloadArtifactRequest, context: Context
    ) -> AsyncIterator[pb.DownloadArtifactResponse]:
        """Send a file that a job has made."""
        chunks = artifacts.read(self._jobs, self._parse(request.name), request.uri)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield pb.DownloadArtifactResponse(chunk=chunk)

    def _parse(self, name: str) -> names.ResourceName:
        parsed = names.parse(name, "jobs")
        requests.check_served(parsed.task, self._tasks, field="name")
        return parsed
