"""`ModelService`: translates, delegates to `Models`, translates back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from google.protobuf import empty_pb2

from common import names
from nocode.vision.v1 import job_pb2, model_pb2_grpc
from nocode.vision.v1 import model_pb2 as pb

if TYPE_CHECKING:
    import grpc

    from common.catalog.models import Models

    Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(model_pb2_grpc.ModelServiceServicer):
    """What a caller may do with models."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.Model:
        """Return one model."""
        return await asyncio.to_thread(self._models.get, names.parse(request.name, "models"))

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Context
    ) -> pb.ListModelsResponse:
        """Return a page of models, newest first."""
        page, token = await asyncio.to_thread(
            self._models.list, request.parent, request.page_size, request.page_token
        )
        return pb.ListModelsResponse(models=page, next_page_token=token)

    async def DeleteModel(
        self, request: pb.DeleteModelRequest, context: Context
    ) -> empty_pb2.Empty:
        """Delete a model, its weights and its exports."""
        await asyncio.to_thread(self._models.delete, names.parse(request.name, "models"))
        return empty_pb2.Empty()

    async def Evaluate(self, request: pb.EvaluateRequest, context: Context) -> job_pb2.Job:
        """Queue the measurement of a model."""
        return await asyncio.to_thread(
            self._models.evaluate,
            names.parse(request.name, "models", "pipelines"),
            subset=request.subset,
            dataset=request.dataset,
            request_id=request.request_id,
        )

    async def ExportModel(self, request: pb.ExportModelRequest, context: Context) -> job_pb2.Job:
        """Queue the writing of a model in another format."""
        return await asyncio.to_thread(
            self._models.export,
            names.parse(request.name, "models", "pipelines"),
            export_format=request.format,
            request_id=request.request_id,
        )

    async def GetTrackingUrl(
        self, request: pb.GetTrackingUrlRequest, context: Context
    ) -> pb.GetTrackingUrlResponse:
        """Return where the tracking server shows something."""
        url = await asyncio.to_thread(self._models.tracking_url, request.name)
        return pb.GetTrackingUrlResponse(url=url)
