"""A call to `Predict` whose images are under way."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from nocode.vision.v1 import prediction_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.serving.batcher import Batch, Item, Ticket


class Timing(NamedTuple):
    """Where the time of an image went.

    Attributes:
        decode_s: Decoding and resizing.
        queue_s: Waiting for the network.
        forward_s: The network.
        batch_size: Of the largest batch that it was part of.
    """

    decode_s: float
    queue_s: float
    forward_s: float
    batch_size: int


class Call:
    """A call whose images are under way. Changed in the event loop alone.

    Attributes:
        started: When it came, by `time.monotonic`.
        images: As sent.
        options: As sent.
        ticket: It was admitted with.
        done: Is set once every image is answered, or the call has failed.
    """

    __slots__ = (
        "_left",
        "_predictions",
        "_timing",
        "done",
        "images",
        "options",
        "started",
        "ticket",
    )

    def __init__(
        self, images: Sequence[pb.Image], options: pb.PredictOptions, ticket: Ticket
    ) -> None:
        self.started = time.monotonic()
        self.images = images
        self.options = options
        self.ticket = ticket
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._predictions = [pb.Prediction()] * len(images)
        self._left = len(images)
        self._timing: Timing | None = None

    def timing(self, item: Item, batch: Batch) -> Timing:
        """Return where the time went of an image that was computed in one piece."""
        return Timing(
            decode_s=item.ready - self.started,
            queue_s=batch.started - item.ready,
            forward_s=batch.ended - batch.started,
            batch_size=len(batch.items),
        )

    def answer(self, index: int, prediction: pb.Prediction, timing: Timing | None = None) -> None:
        """Note the answer for an image, and how long it took."""
        self._predictions[index] = prediction
        if timing:
            largest = max(timing.batch_size, self._timing.batch_size if self._timing else 0)
            self._timing = timing._replace(batch_size=largest)
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """End the call, whatever its other images are worth."""
        self.ticket.abandoned = True
        if not self.done.done():
            self.done.set_exception(error)

    def forget_images(self) -> None:
        """Let go of them, once nobody waits for an answer: queued work holds on to the call."""
        self.images = [pb.Image()] * len(self.images)

    def response(self) -> pb.PredictResponse:
        """Return the answer for all images, with the times of the last one."""
        response = pb.PredictResponse(
            model=self.ticket.network.model.name, predictions=self._predictions
        )
        if self._timing:
            timing = response.timing
            timing.decode.FromNanoseconds(int(self._timing.decode_s * 1e9))
            timing.queue.FromNanoseconds(int(self._timing.queue_s * 1e9))
            timing.forward.FromNanoseconds(int(self._timing.forward_s * 1e9))
            timing.batch_size = self._timing.batch_size
        return response
