"""Predictions of objects: images of many sizes together, and large images cut into tiles."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from nocode.vision.v1 import prediction_pb2 as pb
from tests.common.data.pictures import encode
from tests.common.serving.servicers.asking import request
from tests.common.serving.servicers.turning import turned
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

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("tiling", [False, True])
    async def test_boxes_are_in_pixels_of_the_upright_image(
        self, detecting, squares, orientation, tiling
    ):
        """However the file holds it: of 200 × 120 pixels, four have the longer side upright."""
        painted = [(20, 10, 30, WHITE), (120, 60, 50, RED)]
        upright = scene(200, 120, *painted)
        file = turned(upright, orientation)

        (prediction,) = (
            await detecting.stub.Predict(request(squares, file, tiling=tiling, overlay=True))
        ).predictions

        assert (prediction.image_width, prediction.image_height) == (200, 120)
        are_close(boxes(prediction), expected(*painted), within_px=4)
        drawn = np.array(Image.open(io.BytesIO(prediction.overlay_png)))
        across = drawn.shape[1] / 200  # what is small is enlarged
        assert drawn.shape[0] / 120 == pytest.approx(across, rel=0.02)
        red = drawn[int(85 * across), int(145 * across)]
        assert red[0] > 200
        assert max(red[1:]) < 60

    @pytest.mark.parametrize(
        ("width", "height", "side"), [(1200, 300, 50), (300, 1200, 50), (4800, 40, 20)]
    )
    async def test_long_images_keep_their_shape(self, detecting, squares, width, height, side):
        """Boxes and overlay are where the square is, at the far end."""
        painted = (width - side - 10, height - side - 10, side, WHITE)
        file = encode(scene(width, height, painted), "PNG")

        (prediction,) = (
            await detecting.stub.Predict(request(squares, file, tiling=True, overlay=True))
        ).predictions

        ((label, box),) = boxes(prediction)
        drawn = np.array(Image.open(io.BytesIO(prediction.overlay_png)))
        scale = drawn.shape[1] / width
        assert label == WHITE
        assert box == pytest.approx(expected(painted)[0][1], abs=max(width, height) / 64)
        assert drawn.shape[0] == pytest.approx(height * scale, abs=1)
        bright_H, bright_W = np.nonzero((drawn > 200).all(axis=2))
        assert np.median(bright_W) / scale == pytest.approx((box[0] + box[2]) / 2, rel=0.05)
        assert np.median(bright_H) / scale == pytest.approx((box[1] + box[3]) / 2, rel=0.15)

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
