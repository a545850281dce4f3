"""Predictions of objects: images of many sizes together, and large images cut into tiles."""

from __future__ import annotations

import asyncio
import io
import random
import time

import grpc
import numpy as np
import pytest
from PIL import Image

from nocode.vision.v1 import prediction_pb2 as pb
from tests.common.data.pictures import encode
from tests.common.serving.servicers.asking import failure, request
from tests.common.serving.squares import RED, WHITE, SquaresTask, put_model, scene

# Of 1,000 × 700 pixels the network of 64 px sees a 16th: squares of 20 px and less are lost.
SMALL = [
    (8 + 110 * column, 5 + 90 * row, 12, (row + column) % 2)
    for row in range(8)
    for column in range(9)
]
LARGE = scene(1000, 700, *SMALL)
LARGE_PNG = encode(LARGE, "PNG")


@pytest.fixture
def squares(bucket):
    return put_model(bucket).name


@pytest.fixture
async def detecting(serve):
    return await serve(task=SquaresTask())


def boxes(prediction: pb.Prediction) -> list[tuple[int, tuple[float, ...]]]:
    """Class and box of each object, sorted by place."""
    assert prediction.WhichOneof("result") == "detection", prediction
    return sorted(
        (one.class_index, (one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax))
        for one in prediction.detection.objects
    )


def expected(*painted: tuple[int, int, int, int]) -> list[tuple[int, tuple[float, ...]]]:
    return sorted(
        (label, (xmin, ymin, xmin + side, ymin + side)) for xmin, ymin, side, label in painted
    )


def are_close(found, wanted, within_px):
    assert [label for label, _ in found] == [label for label, _ in wanted]
    for (_, ours), (_, theirs) in zip(found, wanted, strict=True):
        assert ours == pytest.approx(theirs, abs=within_px)


class TestAnswers:
    """What a caller gets."""

    async def test_images_of_many_sizes_together_are_answered_as_each_alone(
        self, detecting, squares
    ):
        sizes = [(64, 64), (30, 200), (500, 90), (1000, 700), (7, 9), (65, 64)]
        files = [
            encode(scene(w, h, (w // 4, h // 4, max(1, min(w, h) // 2), i % 2)), "PNG")
            for i, (w, h) in enumerate(sizes)
        ]

        together = await detecting.stub.Predict(request(squares, *files))
        alone = [await detecting.stub.Predict(request(squares, file)) for file in files]

        assert list(together.predictions) == [one.predictions[0] for one in alone]
        for (width, height), prediction in zip(sizes, together.predictions, strict=True):
            assert (prediction.image_width, prediction.image_height) == (width, height)
        assert all(prediction.detection.objects for prediction in together.predictions)

    async def test_without_tiles_what_is_small_is_lost(self, detecting, squares):
        response = await detecting.stub.Predict(request(squares, LARGE_PNG))

        assert boxes(response.predictions[0]) == []

    async def test_small_objects_are_found_where_they_are(self, detecting, squares):
        response = await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))

        (prediction,) = response.predictions
        assert (prediction.image_width, prediction.image_height) == (1000, 700)
        # 64 tiles of 64 px would not do, so theirs are larger, and seen smaller.
        are_close(boxes(prediction), expected(*SMALL), within_px=4)

    async def test_an_object_is_found_once_wherever_tiles_meet(self, detecting, squares):
        """Tiles of 64 px in the image's own resolution: 150 px are cut at 43, 64, 86, 107."""
        for place in range(1, 137, 5):
            painted = (place, place // 2, 12, RED)

            response = await detecting.stub.Predict(
                request(squares, encode(scene(150, 150, painted), "PNG"), tiling=True)
            )

            are_close(boxes(response.predictions[0]), expected(painted), within_px=2)

    async def test_an_object_larger_than_a_tile_is_not_found_in_parts(self, detecting, squares):
        painted = [(20, 20, 110, WHITE), (2, 3, 10, WHITE)]

        response = await detecting.stub.Predict(
            request(squares, encode(scene(150, 150, *painted), "PNG"), tiling=True)
        )

        are_close(boxes(response.predictions[0]), expected(*painted), within_px=2)

    async def test_an_image_that_fits_is_answered_as_without(self, detecting, squares):
        file = encode(scene(64, 50, (3, 4, 20, WHITE), (30, 20, 25, RED)), "PNG")

        tiled = await detecting.stub.Predict(request(squares, file, tiling=True))
        plain = await detecting.stub.Predict(request(squares, file))

        assert list(tiled.predictions) == list(plain.predictions)
        assert len(plain.predictions[0].detection.objects) == 2

    async def test_images_are_answered_in_order_and_fail_alone(self, detecting, squares, bucket):
        files = [
            encode(scene(100 + 10 * i, 200, (10 * i, 30 * i, 10, i % 2)), "PNG") for i in range(5)
        ]
        bucket.put("pictures/last.png", files[4])
        images = [pb.Image(content=file) for file in (*files[:4], b"no image", b"")]
        images.append(pb.Image(uri=bucket.uri("pictures/last.png")))

        response = await detecting.stub.Predict(
            pb.PredictRequest(name=squares, images=images, options={"tiling": True})
        )

        *found, damaged, empty, last = response.predictions
        for i, prediction in enumerate((*found, last)):
            assert prediction.image_width == 100 + 10 * i
            are_close(boxes(prediction), expected((10 * i, 30 * i, 10, i % 2)), within_px=2)
        assert damaged.HasField("error")
        assert empty.HasField("error")
        assert detecting.figure("predict_waiting_images") == 0

    async def test_an_overlay_shows_what_the_tiles_have_found(self, detecting, squares):
        response = await detecting.stub.Predict(
            request(squares, LARGE_PNG, tiling=True, overlay=True)
        )

        (prediction,) = response.predictions
        drawn = np.array(Image.open(io.BytesIO(prediction.overlay_png)))
        assert drawn.shape == LARGE.shape
        assert (drawn != LARGE).any(axis=2).sum() > 12 * len(SMALL)
        assert len(prediction.detection.objects) == len(SMALL)

    async def test_where_the_time_went_is_told(self, detecting, squares):
        await detecting.stub.Predict(request(squares, LARGE_PNG))
        detecting.learner.batch_sizes.clear()
        detecting.learner.takes_s = 0.1

        started = time.monotonic()
        response = await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))
        took_s = time.monotonic() - started

        timing = response.timing
        parts = [timing.decode, timing.queue, timing.forward]
        assert all(part.ToNanoseconds() >= 0 for part in parts)
        assert timing.forward.ToNanoseconds() / 1e9 >= 0.1 * len(detecting.learner.batch_sizes)
        assert sum(part.ToNanoseconds() for part in parts) / 1e9 <= took_s + 0.05
        assert 4 <= timing.batch_size <= 16


class TestLoad:
    """What others see of it, and what is refused."""

    async def test_tiles_are_computed_in_batches(self, detecting, squares):
        await detecting.stub.Predict(request(squares, LARGE_PNG))
        detecting.learner.batch_sizes.clear()
        detecting.learner.takes_s = 0.05

        await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))

        sizes = detecting.learner.batch_sizes
        assert 40 < sum(sizes) <= 65
        assert max(sizes) == 16
        assert len(sizes) <= 7

    async def test_few_tiles_wait_at_once(self, detecting, squares):
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

    async def test_another_call_does_not_wait_for_all_tiles(self, detecting, squares):
        await detecting.stub.Predict(request(squares, LARGE_PNG))
        detecting.learner.takes_s = 0.1
        tiled = asyncio.ensure_future(
            _first(detecting.stub.Predict(request(squares, *[LARGE_PNG] * 3, tiling=True)))
        )
        await asyncio.sleep(0.15)

        await detecting.stub.Predict(request(squares, LARGE_PNG))

        assert not tiled.done()
        assert len((await tiled).predictions) == 3

    async def test_only_some_calls_have_tiles_at_once(self, detecting, squares):
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

    async def test_a_stream_waits_instead_of_being_refused(self, detecting, squares):
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

    async def test_what_nobody_waits_for_is_not_computed(self, detecting, squares):
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

    async def test_a_deadline_that_cannot_be_met_ends_the_call(self, detecting, squares):
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

    async def test_a_batch_that_fails_ends_the_call_alone(self, detecting, squares):
        await detecting.stub.Predict(request(squares, LARGE_PNG))
        detecting.learner.memory_for = 0

        code, reason, _ = await failure(
            detecting.stub.Predict(request(squares, *[LARGE_PNG] * 4, tiling=True))
        )
        detecting.learner.memory_for = 1000

        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OUT_OF_MEMORY")
        assert (await detecting.stub.Predict(request(squares, LARGE_PNG, tiling=True))).predictions
        assert detecting.figure("predict_waiting_images") == 0

    async def test_more_images_than_may_be_cut_are_refused(self, detecting, squares):
        code, reason, found = await failure(
            detecting.stub.Predict(request(squares, *[LARGE_PNG] * 9, tiling=True))
        )

        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_IMAGES")
        assert found["BadRequest"].field_violations[0].field == "images"

    async def test_calls_that_come_and_go_leave_nothing_behind(self, detecting, squares):
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
