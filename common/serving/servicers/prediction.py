"""`PredictionService`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from common import names
from common.errors import DomainError, InvalidInput
from common.reasons import Reason
from common.rpc.errors import to_status, unexpected
from common.rpc.streams import until_end
from common.serving import requests
from nocode.vision.v1 import prediction_pb2 as pb
from nocode.vision.v1 import prediction_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from common.serving.predictor import Predictor

    Context = grpc.aio.ServicerContext[Any, Any]

# Images of one stream that are under way at once: keeps batches full, leaves room for others.
_STREAM_IMAGES = 16


class PredictionServicer(prediction_pb2_grpc.PredictionServiceServicer):
    """Translates, delegates to `Predictor`, translates back."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictResponse:
        """See the proto."""
        requests.check(request.images, request.options)
        return await self._predictor.predict(
            request.name, request.images, request.options, context.time_remaining()
        )

    async def StreamPredict(
        self, request_iterator: AsyncIterator[pb.StreamPredictRequest], context: Context
    ) -> AsyncIterator[pb.StreamPredictResponse]:
        """See the proto."""
        stream = _Stream(self._predictor, context)
        reading = asyncio.create_task(stream.read(request_iterator))
        try:
            while (answered := await stream.answers.get()) is not None:
                answer, weight = answered
                yield answer
                # Only now, so that answers that the caller does not read do not pile up.
                await stream.make_room(weight)
            await reading
        finally:
            await stream.cancel(reading)


class _Stream:
    """The requests of one stream that are under way."""

    def __init__(self, predictor: Predictor, context: Context) -> None:
        # With the weight of the request; None comes last.
        self.answers: asyncio.Queue[tuple[pb.StreamPredictResponse, int] | None] = asyncio.Queue()
        self._predictor = predictor
        self._context = context
        self._name = ""  # of the latest request
        self._tasks: set[asyncio.Task[None]] = set()
        self._images = 0
        self._room = asyncio.Condition()

    async def read(self, stream: AsyncIterator[pb.StreamPredictRequest]) -> None:
        """Start each request as soon as there is room for its images; then end the answers."""
        try:
            async for request in until_end(stream):
                await self._wait_for_room(_weight(request))
                task = asyncio.create_task(self._answer(request))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.gather(*self._tasks)
        finally:
            self.answers.put_nowait(None)

    async def make_room(self, weight: int) -> None:
        """Note that a request has been answered."""
        async with self._room:
            self._images -= weight
            self._room.notify()

    async def cancel(self, reading: asyncio.Task[None]) -> None:
        """Let go of everything, because the caller has gone."""
        tasks = (reading, *self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait_for_room(self, weight: int) -> None:
        async with self._room:
            while self._images and self._images + weight > _STREAM_IMAGES:
                await self._room.wait()
            self._images += weight

    async def _answer(self, request: pb.StreamPredictRequest) -> None:
        answer = pb.StreamPredictResponse(id=request.id)
        try:
            name = self._name_of(request)
            requests.check(request.images, request.options)
            response = await self._predictor.predict(
                name, request.images, request.options, self._context.time_remaining()
            )
        except DomainError as error:
            answer.error.CopyFrom(to_status(error))
        except Exception as error:  # noqa: BLE001 - ends the request, not the stream
            answer.error.CopyFrom(unexpected(error, doing="a request of StreamPredict"))
        else:
            answer.response.CopyFrom(response)
        self.answers.put_nowait((answer, _weight(request)))

    def _name_of(self, request: pb.StreamPredictRequest) -> str:
        """Return the request's name, or that of the one before if it is empty."""
        if not request.name:
            return self._name
        task = names.parse(request.name, "models", "pipelines").task
        if self._name and task != names.parse(self._name).task:
            raise InvalidInput(
                Reason.TASK_UNKNOWN,
                f"name is {names.shorten(request.name)!r}, but the stream began with "
                f"{self._name}. Open another stream for another task.",
                field="name",
                value=names.shorten(request.name),
            )
        self._name = request.name
        return request.name


def _weight(request: pb.StreamPredictRequest) -> int:
    """Return the request's images; a request without any takes room, too.

    One whose images are cut into tiles takes all: only a few such may be under way, and a stream
    should not be refused what it could have waited for.
    """
    return _STREAM_IMAGES if request.options.tiling else max(1, len(request.images))
