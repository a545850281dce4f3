"""`DatasetService`: translates, delegates to `Datasets`, translates back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from google.protobuf import empty_pb2

from nocode.vision.v1 import dataset_pb2 as pb
from nocode.vision.v1 import dataset_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from common.catalog.datasets import Datasets
    from nocode.vision.v1 import job_pb2

    Context = grpc.aio.ServicerContext[Any, Any]


class DatasetServicer(dataset_pb2_grpc.DatasetServiceServicer):
    """Serves the data sets of some tasks."""

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets

    async def UploadArchive(
        self, request_iterator: AsyncIterator[pb.UploadArchiveRequest], context: Context
    ) -> pb.UploadArchiveResponse:
        """Receive an archive in pieces."""
        first = await anext(request_iterator, pb.UploadArchiveRequest())

        async def chunks() -> AsyncIterator[bytes]:
            yield first.chunk
            async for request in request_iterator:
                yield request.chunk

        upload = await self._datasets.upload(first.parent, first.sha256, chunks())
        return pb.UploadArchiveResponse(
            upload=upload.name, sha256=upload.sha256, size_bytes=upload.size_bytes
        )

    async def ImportDataset(
        self, request: pb.ImportDatasetRequest, context: Context
    ) -> job_pb2.Job:
        """Queue an import."""
        return await asyncio.to_thread(self._datasets.import_, request)

    async def ListFormats(
        self, request: pb.ListFormatsRequest, context: Context
    ) -> pb.ListFormatsResponse:
        """Return a page of formats, likeliest first."""
        formats, token = await asyncio.to_thread(
            self._datasets.list_formats, request.parent, request.page_size, request.page_token
        )
        return pb.ListFormatsResponse(formats=formats, next_page_token=token)

    async def ExportDataset(
        self, request: pb.ExportDatasetRequest, context: Context
    ) -> job_pb2.Job:
        """Queue an export."""
        return await asyncio.to_thread(
            self._datasets.export, request.name, request.format, request.request_id
        )

    async def GetDataset(self, request: pb.GetDatasetRequest, context: Context) -> pb.Dataset:
        """Return one data set."""
        return await asyncio.to_thread(self._datasets.get, request.name)

    async def ListDatasets(
        self, request: pb.ListDatasetsRequest, context: Context
    ) -> pb.ListDatasetsResponse:
        """Return a page of data sets, newest first."""
        datasets, token = await asyncio.to_thread(
            self._datasets.list, request.parent, request.page_size, request.page_token
        )
        return pb.ListDatasetsResponse(datasets=datasets, next_page_token=token)

    async def DeleteDataset(
        self, request: pb.DeleteDatasetRequest, context: Context
    ) -> empty_pb2.Empty:
        """Delete a data set."""
        await asyncio.to_thread(self._datasets.delete, request.name)
        return empty_pb2.Empty()
