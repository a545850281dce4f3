"""From a request to its answer: find the model, decode, batch, answer.

The event loop only passes work on. Threads decode, and one of them at a time runs the network (see
`Batcher`); slow things (images to fetch, pictures to draw) have threads of their own.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from typing import TYPE_CHECKING, Any

import torch

from common import names
from common.catalog.models import resolve_model
from common.catalog.requests import check_served
from common.data import images as files
from common.data.images import ImageError
from common.errors import DomainError, Exhausted, Unsupported
from common.reasons import Reason
from common.rpc.errors import to_status
from common.serving import models, network, pictures
from common.serving.batcher import Batch, Batcher, Item
from common.serving.cache import ModelCache
from common.serving.calls import Call, Timing
from common.serving.directory import Directory
from common.serving.metrics import PredictMetrics
from common.serving.tiled_calls import Part, TiledCall
from common.serving.workers import Mailbox, Workers
from nocode.vision.v1 import prediction_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from prometheus_client import CollectorRegistry

    from common.serving.cache import Entry
    from common.serving.network import Network
    from common.settings import ServiceSettings
    from common.storage.bucket import Bucket
    from common.task import Task
    from common.training.learner import Learner, Output
    from nocode.vision.v1.model_pb2 import Model

_CPU_BATCH_SIZE = 16  # larger ones are no faster there, and others wait longer
_GPU_BATCH_SIZE = 32
_CPU_QUEUED_BATCHES, _GPU_QUEUED_BATCHES = 2, 4  # what waits for more of them is late
_MAX_DECODE_THREADS = 8
_FETCH_THREADS = 4
_DRAW_THREADS = 2
_SHAPE_THREADS = 2  # that make slow answers of what the network said
# Calls whose images are cut into tiles: each holds a decoded image, and so many batches of tiles.
_TILED_CALLS = 4
_TILED_BATCHES = 2
# For each image that may wait for one model, so many may wait until their models are found and
# loaded, all together.
_UNREADY = 4


class Predictor:
    """Answers for the models of some tasks. Made and used in the event loop.

    Args:
        tasks: Those that this service serves.
        bucket: Where models are.
        settings: Sizes and limits.
        registry: Where figures go.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        bucket: Bucket,
        settings: ServiceSettings,
        registry: CollectorRegistry,
    ) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._learners: dict[str, Learner] = {}
        self._bucket = bucket
        self._settings = settings
        self._mailbox = Mailbox(asyncio.get_running_loop())
        self._metrics = PredictMetrics(registry)
        torch.set_num_threads(settings.torch_threads)
        self._device = choose_device(settings.device)
        has_gpu = self._device.type == "cuda"
        self._batch_size = settings.predict_batch_size or (
            _GPU_BATCH_SIZE if has_gpu else _CPU_BATCH_SIZE
        )
        queued_batches = _GPU_QUEUED_BATCHES if has_gpu else _CPU_QUEUED_BATCHES
        queue_size = settings.predict_queue_size or queued_batches * self._batch_size
        self._batcher = Batcher(
            queue_size=queue_size,
            batch_size=self._batch_size,
            delay_s=settings.predict_delay_ms / 1000,
            finish=self._finish,
            metrics=self._metrics,
        )
        self._cache = ModelCache(
            lambda name: models.read_model(bucket, name),
            self._load,
            capacity_bytes=settings.model_cache_bytes,
            metrics=self._metrics,
        )
        self._directory = Directory(self._look_up, self._cache.forget)
        threads = settings.predict_decode_threads or min(
            max((os.cpu_count() or 2) - 1, 1), _MAX_DECODE_THREADS
        )
        self._decoders = Workers(threads + 1, "decode")  # one of them runs the network
        self._answerer = Workers(1, "answer")
        self._shapers = Workers(_SHAPE_THREADS, "shape", queue_size=self._batch_size)
        self._fetchers = Workers(_FETCH_THREADS, "fetch")
        self._painters = Workers(_DRAW_THREADS, "draw", queue_size=queue_size)
        self._unready_images, self._most_unready = 0, _UNREADY * queue_size
        self._tiled_calls = 0

    async def predict(
        self,
        name: str,
        images: Sequence[pb.Image],
        options: pb.PredictOptions,
        remaining_s: float | None,
    ) -> pb.PredictResponse:
        """Answer for images that `requests.check` has passed.

        Args:
            name: Of a model or pipeline.
            images: Each is answered, or refused, on its own.
            options: How to answer.
            remaining_s: Until the caller's deadline, if there is one.

        Raises:
            DomainError: There is no answer for the call as a whole.
        """
        deadline = float("inf") if remaining_s is None else time.monotonic() + remaining_s
        if options.overlay and self._painters.is_full:
            raise _no_painter()
        entry = self._pin(name) or await self._make_ready(name, len(images))
        try:
            if options.tiling:
                self._check_tiling(entry.loaded)
            ticket = self._batcher.admit(
                entry.loaded, len(images), deadline, in_tiles=options.tiling
            )
            call = Call(images, options, ticket)
            if options.tiling:
                await self._wait_for_tiles(call)
            else:
                for index in range(len(images)):
                    self._pool(call, index).submit(self._prepare, call, index)
                await self._wait(call)
            return call.response()
        finally:
            self._cache.unpin(entry)

    async def _wait(self, call: Call) -> None:
        try:
            await call.done
        finally:
            call.ticket.abandoned = True  # if the caller hangs up, nothing more is computed

    async def _wait_for_tiles(self, call: Call) -> None:
        tiled = TiledCall(
            call.ticket,
            len(call.images),
            load=functools.partial(self._decode, call),
            answer=functools.partial(self._reply, call),
            refuse=functools.partial(self._refuse, call),
            fail=functools.partial(self._mailbox.post, call.fail),
            batcher=self._batcher,
            pool=functools.partial(self._pool, call),
            workers=self._decoders,
            window=_TILED_BATCHES * self._batch_size,
        )
        self._tiled_calls += 1
        tiled.start()
        try:
            await self._wait(call)
        finally:
            self._tiled_calls -= 1
            tiled.release()
            call.forget_images()

    def _check_tiling(self, loaded: Network) -> None:
        """Check that the images of a call may be cut into tiles.

        Raises:
            Unsupported: The task does not do that.
            Exhausted: It is being done for too many calls already.
        """
        if not loaded.learner.tiles:
            raise Unsupported(
                Reason.OPTION_UNSUPPORTED,
                "options.tiling is set, but this task looks at an image as a whole. Leave it out.",
                field="options.tiling",
            )
        if self._tiled_calls >= _TILED_CALLS:
            self._metrics.queue_full.inc()
            raise Exhausted(
                Reason.QUEUE_FULL,
                f"{_TILED_CALLS} requests with options.tiling are under way, and no more may be. "
                "Try again later, or without it.",
                retry_after_s=1.0,
            )

    async def close(self) -> None:
        """Finish what was admitted, and end the threads."""
        await asyncio.to_thread(self._batcher.close)
        for pool in (
            self._decoders,
            self._fetchers,
            self._answerer,
            self._shapers,
            self._painters,
        ):
            await asyncio.to_thread(pool.close)

    def _pin(self, name: str) -> Entry | None:
        """Return the network that a name means, if that is known and loaded."""
        model = self._directory.recall(name)
        return self._cache.pin(model) if model else None

    async def _make_ready(self, name: str, image_count: int) -> Entry:
        """Find out what a name means, and load it.

        Raises:
            Exhausted: Too many images wait for this already; they would fill the memory.
        """
        if self._unready_images and self._unready_images + image_count > self._most_unready:
            self._metrics.queue_full.inc(image_count)
            raise Exhausted(
                Reason.QUEUE_FULL,
                f"{self._unready_images} images wait until their models are loaded and at most "
                f"{self._most_unready} may. Try again later.",
                retry_after_s=1.0,
                waiting=self._unready_images,
                queue_size=self._most_unready,
            )
        self._unready_images += image_count
        try:
            model = self._directory.recall(name) or await self._directory.find(name)
            return self._cache.pin(model) or await self._cache.load(model)
        finally:
            self._unready_images -= image_count

    def _pool(self, call: Call, index: int) -> Workers:
        """Return the threads that are to read an image."""
        return self._fetchers if call.images[index].HasField("uri") else self._decoders

    # In threads.

    def _look_up(self, name: str) -> str:
        parsed = names.parse(name, "models", "pipelines")
        check_served(parsed.task, self._tasks, field="name")
        model = str(resolve_model(self._bucket, parsed))
        models.check_exists(self._bucket, model)
        return model

    def _load(self, model: Model) -> Network:
        task = names.parse(model.name, "models").task
        if task not in self._learners:
            self._learners[task] = self._tasks[task].learner()
        learner = self._learners[task]
        module = models.load_network(self._bucket, model, learner.registry)
        precision = self._settings.predict_precision
        loaded = network.make(model, module, learner, self._device, precision)
        loaded.warm_up(self._batch_size)
        return loaded

    def _prepare(self, call: Call, index: int) -> None:
        """Fetch and decode an image, and queue it."""
        ticket, started = call.ticket, time.monotonic()
        if ticket.abandoned or ticket.deadline <= started:
            self._batcher.withdraw(ticket)
            self._metrics.cancelled.inc()
            self._mailbox.post(call.fail, _expired())
            return
        try:
            data = pictures.content(call.images[index], index, self._settings)
            prepared = ticket.network.prepare(data, self._settings.max_image_pixels)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call must end
            self._batcher.withdraw(ticket)
            self._refuse(call, index, error)
            return
        item = Item(ticket, prepared.image_3SS, (call, index, prepared))
        self._metrics.decode_seconds.observe(item.ready - started)
        self._batcher.submit(item)

    def _decode(self, call: Call, index: int) -> np.ndarray[Any, Any]:
        """Fetch and decode an image that is to be cut, in its own resolution."""
        data = pictures.content(call.images[index], index, self._settings)
        return files.decode(data, max_pixels=self._settings.max_image_pixels)

    def _refuse(self, call: Call, index: int, error: Exception) -> None:
        """Let one image fail alone, or the call if nobody foresaw the error."""
        if isinstance(error, ImageError):
            self._metrics.undecodable.inc()
            error = pictures.explain(error, index)
        if isinstance(error, DomainError):
            self._mailbox.post(call.answer, index, pb.Prediction(error=to_status(error)))
        else:
            self._mailbox.post(call.fail, error)

    def _finish(self, batch: Batch, is_needed: bool) -> None:
        """Answer in this thread, unless the device waits for it."""
        if is_needed:
            self._answerer.submit(self._answer, batch)
        else:
            self._answer(batch)

    def _answer(self, batch: Batch) -> None:
        """Make answers of what the network said."""
        outputs = batch.outputs or [None] * len(batch.items)
        for item, output in zip(batch.items, outputs, strict=True):
            if isinstance(item.tag, Part):
                item.tag.take(output, batch)
                continue
            call, index, prepared = item.tag
            if batch.error:
                self._mailbox.post(call.fail, batch.error)
                continue
            timing = call.timing(item, batch)
            reply = (call, index, output, prepared.width, prepared.height, timing)
            is_slow = call.ticket.network.learner.slow_answers
            # Those that find no room there hold up the network, as they should.
            if not (is_slow and self._shapers.submit(self._reply, *reply)):
                self._reply(*reply)

    def _reply(
        self, call: Call, index: int, output: Output, width: int, height: int, timing: Timing
    ) -> None:
        """Answer for an image, of which the network has said all."""
        if call.ticket.abandoned:
            return
        loaded = call.ticket.network
        try:
            prediction = loaded.learner.predict(output, loaded.model, width, height, call.options)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call must end
            self._mailbox.post(call.fail, error)
            return
        if not call.options.overlay:
            self._mailbox.post(call.answer, index, prediction, timing)
        elif not self._painters.submit(self._draw, call, index, prediction, timing):
            self._mailbox.post(call.fail, _no_painter())

    def _draw(self, call: Call, index: int, prediction: pb.Prediction, timing: Timing) -> None:
        """Draw the answer on the image, which is read again: pixels of many would fill memory."""
        if call.ticket.abandoned:
            return
        try:
            data = pictures.content(call.images[index], index, self._settings)
            prediction.overlay_png = pictures.overlay(
                data,
                prediction,
                call.ticket.network.learner,
                max_pixels=self._settings.max_image_pixels,
                # Half, since a response is more than its pictures.
                max_bytes=self._settings.max_message_bytes // (2 * len(call.images)),
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the call must end
            self._refuse(call, index, error)
        else:
            self._mailbox.post(call.answer, index, prediction, timing)


def choose_device(wanted: str) -> torch.device:
    """Return the device that the settings mean."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def _no_painter() -> Exhausted:
    return Exhausted(
        Reason.QUEUE_FULL,
        "Too many images wait for their answers to be drawn on them. Try again later, or without "
        "options.overlay.",
        retry_after_s=1.0,
    )


def _expired() -> Exhausted:
    return Exhausted(
        Reason.DEADLINE_TOO_SHORT,
        "The deadline passed before the image was decoded. Try again with a longer one.",
    )
