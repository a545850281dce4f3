"""Predictions when more is asked than the device can do."""

from __future__ import annotations

import asyncio
import time

import grpc
from grpc_status import rpc_status

from nocode.vision.v1 import prediction_pb2 as pb
from tests.common.serving.servicers.asking import JPEG, details, failure, request, scores


async def test_requests_that_queue_are_batched(running, model):
    await running.stub.Predict(request(model.name, JPEG))
    running.learner.batch_sizes.clear()
    running.learner.takes_s = 0.05

    responses = await asyncio.gather(
        *(running.stub.Predict(request(model.name, JPEG)) for _ in range(24))
    )

    assert sum(running.learner.batch_sizes) == 24
    assert max(running.learner.batch_sizes) == 16
    assert len(running.learner.batch_sizes) <= 6
    assert max(response.timing.batch_size for response in responses) == 16


async def test_a_full_queue_says_when_to_try_again(serve, model):
    running = await serve(predict_queue_size=4)
    await running.stub.Predict(request(model.name, JPEG))
    running.learner.takes_s = 0.3

    calls = [running.stub.Predict(request(model.name, JPEG)) for _ in range(20)]
    results = await asyncio.gather(*calls, return_exceptions=True)

    refused = [error for error in results if isinstance(error, grpc.aio.AioRpcError)]
    answered = [result for result in results if isinstance(result, pb.PredictResponse)]
    assert len(answered) >= 4
    assert len(refused) >= 8
    for error in refused:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        found = details(rpc_status.from_call(error))
        assert found["ErrorInfo"].reason == "QUEUE_FULL"
        assert 0 < found["RetryInfo"].retry_delay.ToNanoseconds() < 10e9
    assert running.figure("predict_rejected_images_total", reason="queue_full") == len(refused)


async def test_a_request_larger_than_the_queue_is_served_when_nothing_waits(serve, model):
    running = await serve(predict_queue_size=4)

    response = await running.stub.Predict(request(model.name, *[JPEG] * 64))

    assert len(response.predictions) == 64


async def test_what_cannot_be_done_in_time_is_refused_at_once(running, model):
    await running.stub.Predict(request(model.name, JPEG))
    running.learner.takes_s = 0.4
    for _ in range(3):  # it is noticed how slow the model has become
        await running.stub.Predict(request(model.name, *[JPEG] * 8))
    ahead = [running.stub.Predict(request(model.name, *[JPEG] * 8)) for _ in range(4)]
    await asyncio.sleep(0.1)

    started = time.monotonic()
    code, reason, found = await failure(
        running.stub.Predict(request(model.name, JPEG), timeout=1.0)
    )
    took_s = time.monotonic() - started

    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DEADLINE_TOO_SHORT")
    assert took_s < 0.7
    assert found["RetryInfo"].retry_delay.ToNanoseconds() > 0
    await asyncio.gather(*ahead)


async def test_what_nobody_waits_for_is_not_computed(running, model):
    """Neither when its deadline passes nor when its caller hangs up."""
    await running.stub.Predict(request(model.name, JPEG))
    running.learner.takes_s = 0.3
    first = running.stub.Predict(request(model.name, JPEG))
    await asyncio.sleep(0.1)
    running.learner.batch_sizes.clear()

    hung_up = [running.stub.Predict(request(model.name, JPEG)) for _ in range(5)]
    expired = [running.stub.Predict(request(model.name, JPEG), timeout=0.12) for _ in range(5)]
    await asyncio.sleep(0.05)
    for call in hung_up:
        call.cancel()
    await first
    results = await asyncio.gather(*hung_up, *expired, return_exceptions=True)
    await running.stub.Predict(request(model.name, JPEG))

    assert all(isinstance(r, (grpc.aio.AioRpcError, asyncio.CancelledError)) for r in results)
    assert sum(running.learner.batch_sizes) == 1  # the last request's alone


async def test_a_batch_too_large_for_the_memory_shrinks(running, model):
    await running.stub.Predict(request(model.name, JPEG))
    running.learner.memory_for = 3
    running.learner.takes_s = 0.1  # so that images queue, and batches are full

    first = await running.stub.Predict(request(model.name, *[JPEG] * 16))
    shortages = running.learner.shortages
    again = await running.stub.Predict(request(model.name, *[JPEG] * 16))

    assert shortages > 0
    assert running.learner.shortages == shortages  # it has learned
    for response in (first, again):
        assert len([scores(prediction) for prediction in response.predictions]) == 16


async def test_a_model_too_large_for_the_memory_is_refused(running, model):
    await running.stub.Predict(request(model.name, JPEG))
    running.learner.memory_for = 0

    code, reason, _ = await failure(running.stub.Predict(request(model.name, JPEG, JPEG)))

    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OUT_OF_MEMORY")


async def test_answers_do_not_wait_for_the_next_batch_to_fill(serve, model):
    """Even if a batch may wait long for images to come."""
    running = await serve(predict_delay_ms=60_000, predict_batch_size=2)
    alone = asyncio.create_task(_first(running.stub.Predict(request(model.name, JPEG))))
    full = asyncio.create_task(_first(running.stub.Predict(request(model.name, JPEG, JPEG))))

    done, waiting = await asyncio.wait([alone, full], timeout=20, return_when="FIRST_COMPLETED")

    assert len(done) == 1
    for call in waiting:
        call.cancel()


async def _first(call):
    return await call


async def test_the_largest_batch_is_told(running, model):
    """Of 17 images, the last one is computed alone."""
    await running.stub.Predict(request(model.name, JPEG))
    running.learner.takes_s = 0.2
    before = running.stub.Predict(request(model.name, JPEG))
    response = await running.stub.Predict(request(model.name, *[JPEG] * 17))
    await before

    assert response.timing.batch_size == 16


async def refusals(calls) -> list[str]:
    """Wait for calls, and return the reasons of those that are refused."""
    reasons = []
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, grpc.aio.AioRpcError):
            assert result.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            found = details(rpc_status.from_call(result))
            assert found["RetryInfo"].retry_delay.ToNanoseconds() > 0
            reasons.append(found["ErrorInfo"].reason)
        else:
            assert isinstance(result, pb.PredictResponse)
    return reasons


async def test_pictures_that_wait_to_be_drawn_are_bounded(serve, model):
    """Others are refused, and answers without a picture come all the same."""
    running = await serve(predict_queue_size=4)
    await running.stub.Predict(request(model.name, JPEG))
    running.learner.may_draw.clear()
    calls = []
    async with asyncio.timeout(20):
        while not running.predictor._painters.is_full:
            call = running.stub.Predict(request(model.name, JPEG, overlay=True))
            calls.append(asyncio.create_task(_first(call)))
            await asyncio.sleep(0.02)
    code, reason, _ = await failure(running.stub.Predict(request(model.name, JPEG, overlay=True)))
    plain = await running.stub.Predict(request(model.name, JPEG))
    running.learner.may_draw.set()

    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert scores(plain.predictions[0])
    assert set(await refusals(calls)) <= {"QUEUE_FULL"}


async def test_pictures_that_nobody_waits_for_are_not_drawn(serve, model):
    running = await serve()
    await running.stub.Predict(request(model.name, JPEG))
    drawn = []
    draw = running.learner.draw
    running.learner.draw = lambda *arguments: drawn.append(1) or draw(*arguments)
    running.learner.may_draw.clear()

    calls = [running.stub.Predict(request(model.name, JPEG, overlay=True)) for _ in range(20)]
    async with asyncio.timeout(20):
        while running.predictor._painters._work.__len__() < 18:  # noqa: ASYNC110 - two are drawn
            await asyncio.sleep(0.01)
    for call in calls:
        call.cancel()
    await asyncio.sleep(0.2)
    running.learner.may_draw.set()
    await running.stub.Predict(request(model.name, JPEG, overlay=True))

    assert len(drawn) == 3


async def test_calls_that_wait_for_a_model_are_bounded(serve, model):
    running = await serve(predict_queue_size=2)
    running.task.may_load.clear()

    calls = [
        asyncio.create_task(_first(running.stub.Predict(request(model.name, JPEG))))
        for _ in range(20)
    ]
    async with asyncio.timeout(20):
        while sum(call.done() for call in calls) < 12:  # noqa: ASYNC110 - eight may wait
            await asyncio.sleep(0.01)
    running.task.may_load.set()

    reasons = await refusals(calls)
    assert len(reasons) >= 12
    assert set(reasons) == {"QUEUE_FULL"}
    assert await running.stub.Predict(request(model.name, JPEG))
