"""`PipelineService`: translates, delegates to `Pipelines`, translates back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from google.protobuf import empty_pb2

from common import names
from common.errors import InvalidInput
from common.reasons import Reason
from nocode.vision.v1 import job_pb2, pipeline_pb2_grpc
from nocode.vision.v1 import pipeline_pb2 as pb

if TYPE_CHECKING:
    import grpc

    from common.catalog.pipelines import Pipelines

    Context = grpc.aio.ServicerContext[Any, Any]


class PipelineServicer(pipeline_pb2_grpc.PipelineServiceServicer):
    """What a caller may do with pipelines."""

    def __init__(self, pipelines: Pipelines) -> None:
        self._pipelines = pipelines

    async def ListArchitectures(
        self, request: pb.ListArchitecturesRequest, context: Context
    ) -> pb.ListArchitecturesResponse:
        """Return a page of what can be trained, best first."""
        page, token = await asyncio.to_thread(
            self._pipelines.list_architectures,
            request.parent,
            request.page_size,
            request.page_token,
        )
        return pb.ListArchitecturesResponse(architectures=page, next_page_token=token)

    async def CreatePipeline(
        self, request: pb.CreatePipelineRequest, context: Context
    ) -> pb.Pipeline:
        """Set up a pipeline and split its data set."""
        task = names.parse_task(request.parent)
        if not request.HasField("pipeline"):
            raise InvalidInput(
                Reason.FIELD_REQUIRED,
                "pipeline is missing. Send it with its architecture and dataset.",
                field="pipeline",
            )
        return await asyncio.to_thread(
            self._pipelines.create,
            task,
            request.pipeline,
            pipeline_id=request.pipeline_id,
            request_id=request.request_id,
        )

    async def GetPipeline(self, request: pb.GetPipelineRequest, context: Context) -> pb.Pipeline:
        """Return one pipeline."""
        name = names.parse(request.name, "pipelines")
        return await asyncio.to_thread(self._pipelines.get, name)

    async def ListPipelines(
        self, request: pb.ListPipelinesRequest, context: Context
    ) -> pb.ListPipelinesResponse:
        """Return a page of pipelines, newest first."""
        page, token = await asyncio.to_thread(
            self._pipelines.list, request.parent, request.page_size, request.page_token
        )
        return pb.ListPipelinesResponse(pipelines=page, next_page_token=token)

    async def DeletePipeline(
        self, request: pb.DeletePipelineRequest, context: Context
    ) -> empty_pb2.Empty:
        """Delete a pipeline and its split."""
        name = names.parse(request.name, "pipelines")
        await asyncio.to_thread(self._pipelines.delete, name)
        return empty_pb2.Empty()

    async def GetSplits(self, request: pb.GetSplitsRequest, context: Context) -> pb.Splits:
        """Return which images are on which side."""
        name = names.parse(request.name, "pipelines")
        return await asyncio.to_thread(self._pipelines.splits, name)

    async def Train(self, request: pb.TrainRequest, context: Context) -> job_pb2.Job:
        """Queue a training."""
        name = names.parse(request.name, "pipelines")
        return await asyncio.to_thread(self._pipelines.train, name, request_id=request.request_id)
