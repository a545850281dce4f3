"""`StreamPredict`."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from nocode.vision.v1 import prediction_pb2 as pb
from tests.common.data.pictures import encode, picture
from tests.common.serving.servicers.asking import JPEG, details, request, scores


def noise(width: int, height: int) -> np.ndarray:
    """Pixels that no PNG makes smaller."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


async def answered(running, requests) -> dict[str, pb.StreamPredictResponse]:
    return {answer.id: answer async for answer in running.stub.StreamPredict(iter(requests))}


async def test_each_request_is_answered_under_its_id(running, model):
    images = {f"id-{seed}": encode(picture(seed=seed), "PNG") for seed in range(40)}
    requests = [
        pb.StreamPredictRequest(
            name=model.name if not number else "",
            id=request_id,
            images=[pb.Image(content=data)],
            options=pb.PredictOptions(top_k=1),
        )
        for number, (request_id, data) in enumerate(images.items())
    ]

    answers = await answered(running, requests)

    assert set(answers) == set(images)
    for request_id, data in list(images.items())[:5]:
        alone = await running.stub.Predict(request(model.name, data, top_k=1))
        ours = answers[request_id].response
        assert scores(ours.predictions[0]) == pytest.approx(scores(alone.predictions[0]))


async def test_a_request_that_fails_is_answered_and_the_stream_goes_on(running, model):
    image = pb.Image(content=JPEG)
    requests = [
        pb.StreamPredictRequest(id="nameless", images=[image]),
        pb.StreamPredictRequest(id="good", name=model.name, images=[image]),
        pb.StreamPredictRequest(id="empty"),
        pb.StreamPredictRequest(id="no model", name=f"{model.name}-x", images=[image]),
        pb.StreamPredictRequest(id="other task", name="tasks/detection/models/a", images=[image]),
        pb.StreamPredictRequest(id="again", name=model.name, images=[image]),
    ]

    answers = await answered(running, requests)

    reasons = {
        request_id: details(answer.error)["ErrorInfo"].reason
        for request_id, answer in answers.items()
        if answer.HasField("error")
    }
    assert reasons == {
        "nameless": "FIELD_REQUIRED",
        "empty": "FIELD_REQUIRED",
        "no model": "RESOURCE_NOT_FOUND",
        "other task": "TASK_UNKNOWN",
    }
    for request_id in ("good", "again"):
        assert scores(answers[request_id].response.predictions[0])


async def test_a_long_stream_does_not_fill_the_queue(serve, model):
    """It waits for its own answers instead of being refused."""
    running = await serve(predict_queue_size=16)
    await running.stub.Predict(request(model.name, JPEG))
    running.learner.takes_s = 0.01
    requests = [
        pb.StreamPredictRequest(name=model.name, id=str(i), images=[pb.Image(content=JPEG)])
        for i in range(200)
    ]

    answers = await answered(running, requests)

    assert len(answers) == 200
    assert all(answer.HasField("response") for answer in answers.values())


async def test_a_caller_that_reads_no_answers_is_not_read_either(running, model):
    await running.stub.Predict(request(model.name, JPEG))
    running.learner.batch_sizes.clear()
    large_answer = pb.StreamPredictRequest(
        name=model.name,
        images=[pb.Image(content=encode(noise(400, 300)))],
        options=pb.PredictOptions(overlay=True),
    )

    async def requests():
        while True:
            yield large_answer

    call = running.stub.StreamPredict(requests())
    computed = -1
    deadline = time.monotonic() + 60
    while computed != sum(running.learner.batch_sizes) and time.monotonic() < deadline:
        computed = sum(running.learner.batch_sizes)
        await asyncio.sleep(1)
    call.cancel()

    assert 0 < computed < 100


async def test_nor_is_one_whose_requests_have_no_images(running):
    """Each is answered with an error, which takes memory until it is read."""
    sent = 0

    async def requests():
        nonlocal sent
        while True:
            sent += 1
            yield pb.StreamPredictRequest(id="x" * 1_000_000)

    call = running.stub.StreamPredict(requests())
    before = -1
    deadline = time.monotonic() + 60
    while before != sent and time.monotonic() < deadline:
        before = sent
        await asyncio.sleep(1)
    call.cancel()

    assert 0 < sent < 100
