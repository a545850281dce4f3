"""Large images cut into tiles, and what others see of it; what is refused."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time

import grpc
import numpy as np
import pytest

from common.serving.calls import Call
from common.training.learner import Merger
from nocode.vision.v1 import prediction_pb2 as pb
from tests.common.data.pictures import encode
from tests.common.serving.servicers.asking import failure, request
from tests.common.serving.squares import RED, SquaresTask, put_model, scene

# Tiles are 64 px; this image has almost as many as one may have.
SMALL = [
    (8 + 110 * column, 5 + 90 * row, 12, (row + column) % 2)
    for row in range(8)
    for column in range(9)
]
LARGE_PNG = encode(scene(1000, 700, *SMALL), "PNG")


@pytest.fixture
def squares(bucket):
    return put_model(bucket).name


@pytest.fixture
async def detecting(serve):
    return await serve(task=SquaresTask())


async def test_tiles_are_computed_in_batches(detecting, squares):
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    detecting.learner.batch_sizes.clear()
    detecting.learner.takes_s = 0.05

    await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))

    sizes = detecting.learner.batch_sizes
    assert 40 < sum(sizes) <= 65
    assert max(sizes) == 16
    assert len(sizes) <= 7


async def test_few_tiles_wait_at_once(detecting, squares):
    """The rest is not even cut out."""
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    detecting.learner.takes_s = 0.1
    call = asyncio.ensure_future(
        _first(detecting.stub.Predict(request(squares, *[LARGE_PNG] * 8, tiling=True)))
    )
    waiting = []
    for _ in range(12):
        await asyncio.sleep(0.05)
        waiting.append(detecting.figure("predict_waiting_images"))
    call.cancel()

    # Two batches of tiles, and a place for each image that is still to come.
    assert 16 <= max(waiting) <= 32 + 8


async def test_what_is_said_of_tiles_is_merged_as_it_comes(detecting, squares, monkeypatch):
    """If that takes long, no more tiles are computed meanwhile than may wait."""
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    wanted = await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))
    detecting.learner.batch_sizes.clear()
    behind = []

    class Slow(Merger):
        def add(self, number, output):
            super().add(number, output)
            behind.append(sum(detecting.learner.batch_sizes) - len(behind))
            time.sleep(0.005)  # the slowness that is tested; nothing is waited for

    monkeypatch.setattr("common.training.learner.Merger", Slow)

    found = await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))

    assert found.predictions == wanted.predictions
    assert len(behind) == sum(detecting.learner.batch_sizes) > 40
    assert max(behind) <= 32


async def test_another_call_does_not_wait_for_all_tiles(detecting, squares):
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    detecting.learner.takes_s = 0.1
    tiled = asyncio.ensure_future(
        _first(detecting.stub.Predict(request(squares, *[LARGE_PNG] * 3, tiling=True)))
    )
    await asyncio.sleep(0.15)

    await detecting.stub.Predict(request(squares, LARGE_PNG))

    assert not tiled.done()
    assert len((await tiled).predictions) == 3


async def test_tiles_take_no_room_from_others(detecting, squares):
    """Nobody is refused, and waits for the batch that is computed and one of tiles at most."""
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    detecting.learner.takes_s = 0.1
    tiled = []
    waits_s = []
    for number in range(12):
        if number < 4:  # as many as may be under way; each comes to a full queue of tiles
            call = detecting.stub.Predict(request(squares, *[LARGE_PNG] * 4, tiling=True))
            tiled.append(asyncio.ensure_future(_first(call)))
        await asyncio.sleep(0.07)
        started = time.monotonic()
        await detecting.stub.Predict(request(squares, LARGE_PNG))
        waits_s.append(time.monotonic() - started)
    waiting = detecting.figure("predict_waiting_images")
    for call in tiled:
        call.cancel()

    assert waiting > 32
    assert np.median(waits_s) < 0.1 * 3 + 0.15


async def test_a_deadline_counts_the_tiles_before_it_alone(detecting, squares):
    """There are seconds of tiles, of which a plain image waits for one batch."""
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    detecting.learner.takes_s = 0.1
    await detecting.stub.Predict(request(squares, *[LARGE_PNG] * 16))
    tiled = [
        asyncio.ensure_future(
            _first(detecting.stub.Predict(request(squares, *[LARGE_PNG] * 4, tiling=True)))
        )
        for _ in range(4)
    ]
    await asyncio.sleep(0.6)
    waiting = detecting.figure("predict_waiting_images")

    answer = await detecting.stub.Predict(request(squares, LARGE_PNG), timeout=0.8)
    for call in tiled:
        call.cancel()

    assert waiting >= 64
    assert answer.predictions


async def test_what_was_given_up_keeps_no_images(detecting, squares):
    """Though threads that are busy have not yet seen that nobody waits."""
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    go_on = threading.Event()
    for _ in range(20):  # more than there are threads
        detecting.predictor._decoders.submit(go_on.wait, 10)
    try:
        for _ in range(6):
            call = detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))
            await asyncio.sleep(0.05)
            call.cancel()
        await asyncio.sleep(0.1)
        calls = [one for one in gc.get_objects() if type(one) is Call]
        kept = [len(image.content) for call in calls for image in call.images]
    finally:
        go_on.set()

    assert len(kept) >= 6
    assert not any(kept)


async def test_only_some_calls_have_tiles_at_once(detecting, squares):
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    detecting.learner.takes_s = 0.05
    calls = [
        asyncio.ensure_future(
            _first(detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True)))
        )
        for _ in range(8)
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)

    refused = [one for one in results if isinstance(one, grpc.aio.AioRpcError)]
    answered = [one for one in results if isinstance(one, pb.PredictResponse)]
    assert len(answered) >= 4
    assert len(refused) >= 1
    assert {one.code() for one in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    for one in answered:
        assert len(one.predictions[0].detection.objects) == len(SMALL)
    again = await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))
    assert again.predictions


async def test_a_stream_waits_instead_of_being_refused(detecting, squares):
    requests = [
        pb.StreamPredictRequest(
            name=squares,
            id=str(number),
            images=[pb.Image(content=LARGE_PNG)],
            options={"tiling": True},
        )
        for number in range(6)
    ]

    answers = [answer async for answer in detecting.stub.StreamPredict(iter(requests))]

    assert sorted(answer.id for answer in answers) == [str(n) for n in range(6)]
    assert all(answer.HasField("response") for answer in answers)


async def test_what_nobody_waits_for_is_not_computed(detecting, squares):
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    detecting.learner.takes_s = 0.1
    call = detecting.stub.Predict(request(squares, *[LARGE_PNG] * 8, tiling=True))
    await asyncio.sleep(0.25)
    call.cancel()
    await asyncio.sleep(0.3)
    detecting.learner.batch_sizes.clear()

    await asyncio.sleep(0.3)

    assert detecting.learner.batch_sizes == []
    assert detecting.figure("predict_waiting_images") == 0
    assert (await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))).predictions


async def test_a_deadline_that_cannot_be_met_ends_the_call(detecting, squares):
    """At once if the device is busy, and else as soon as a batch would be too late.

    The tiles of the image are five batches, which take a second.
    """
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    detecting.learner.takes_s = 0.2
    for _ in range(3):  # it is noticed how slow the model has become
        await detecting.stub.Predict(request(squares, *[LARGE_PNG] * 16))
    busy = asyncio.ensure_future(
        _first(detecting.stub.Predict(request(squares, *[LARGE_PNG] * 16)))
    )
    await asyncio.sleep(0.1)

    code, reason, _ = await failure(
        detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True), timeout=0.7)
    )
    await busy

    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DEADLINE_TOO_SHORT")
    assert detecting.figure("predict_waiting_images") == 0
    assert (await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))).predictions


async def test_a_batch_that_fails_ends_the_call_alone(detecting, squares):
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    detecting.learner.memory_for = 0

    code, reason, _ = await failure(
        detecting.stub.Predict(request(squares, *[LARGE_PNG] * 4, tiling=True))
    )
    detecting.learner.memory_for = 1000

    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OUT_OF_MEMORY")
    assert (await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))).predictions
    assert detecting.figure("predict_waiting_images") == 0


async def test_more_images_than_may_be_cut_are_refused(detecting, squares):
    code, reason, found = await failure(
        detecting.stub.Predict(request(squares, *[LARGE_PNG] * 9, tiling=True))
    )

    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_IMAGES")
    assert found["BadRequest"].field_violations[0].field == "images"


async def test_calls_that_come_and_go_leave_nothing_behind(detecting, squares):
    """With tiles or without, answered, refused or given up at any moment."""
    await detecting.stub.Predict(request(squares, LARGE_PNG))
    detecting.learner.takes_s = 0.01
    rng = random.Random(0)
    files = [LARGE_PNG, encode(scene(150, 90, (30, 20, 12, RED)), "PNG"), b"no image"]

    async def ask():
        tiling = rng.random() < 0.7
        images = rng.choices(files, weights=(1, 4, 1), k=rng.randint(1, 5))
        timeout = rng.choice([None, 0.05, 0.5, 30])
        call = detecting.stub.Predict(
            request(squares, *images, tiling=tiling, overlay=rng.random() < 0.2),
            timeout=timeout,
        )
        if rng.random() < 0.3:
            await asyncio.sleep(rng.uniform(0, 0.2))
            call.cancel()
        await call

    results = []
    for _ in range(10):
        results += await asyncio.gather(*(ask() for _ in range(10)), return_exceptions=True)
    async with asyncio.timeout(20):
        while detecting.figure("predict_waiting_images"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    allowed = (type(None), grpc.aio.AioRpcError, asyncio.CancelledError)
    assert all(isinstance(result, allowed) for result in results)
    assert results.count(None) > 10
    assert not [r for r in results if getattr(r, "code", None) and r.code().name == "UNKNOWN"]
    assert detecting.predictor._tiled_calls == 0
    answer = await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))
    assert len(answer.predictions[0].detection.objects) == len(SMALL)


async def _first(call):
    return await call
