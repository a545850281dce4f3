"""`PredictionService` as a client sees it, over a real channel and a real S3 server."""

from __future__ import annotations

import asyncio
import io
import time

import grpc
import numpy as np
import pytest
from PIL import Image

from common.storage import resources
from nocode.vision.v1 import prediction_pb2 as pb
from tests.common.data.pictures import encode, encode_image, picture, rotated_jpeg
from tests.common.serving.servicers.asking import JPEG, failure, request, scores
from tests.common.serving.tiny import CLASSES, put_model, put_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


class TestAnswers:
    """What a caller gets."""

    async def test_all_classes_likeliest_first_and_sizes_as_sent(self, running, model):
        response = await running.stub.Predict(request(model.name, JPEG))

        (prediction,) = response.predictions
        assert response.model == model.name
        assert set(scores(prediction)) == set(CLASSES)
        assert sum(scores(prediction).values()) == pytest.approx(1)
        ordered = [score.score for score in prediction.classification.classes]
        assert ordered == sorted(ordered, reverse=True)
        assert (prediction.image_width, prediction.image_height) == (64, 48)
        assert response.timing.batch_size == 1
        assert response.timing.decode.ToNanoseconds() > 0
        assert response.timing.forward.ToNanoseconds() > 0

    async def test_a_pipelines_name_means_its_model(self, bucket, running, model):
        pipeline = put_pipeline(bucket, "pipeline-a", model.name)

        response = await running.stub.Predict(request(pipeline.name, JPEG))

        assert response.model == model.name

    async def test_many_images_are_answered_in_order(self, running, model):
        """Together as each alone."""
        files = [encode(picture(seed=seed), "PNG") for seed in range(20)]

        together = await running.stub.Predict(request(model.name, *files))
        alone = [await running.stub.Predict(request(model.name, file)) for file in files]

        for ours, reference in zip(together.predictions, alone, strict=True):
            assert scores(ours) == pytest.approx(scores(reference.predictions[0]), abs=1e-6)
        likeliest = {max(scores(p), key=scores(p).get) for p in together.predictions}
        assert len(likeliest) > 1  # the images are told apart

    async def test_top_k_and_threshold_are_followed(self, running, model):
        two = await running.stub.Predict(request(model.name, JPEG, top_k=2))
        none = await running.stub.Predict(request(model.name, JPEG, score_threshold=1.0))

        assert len(scores(two.predictions[0])) == 2
        assert scores(none.predictions[0]) == {}

    async def test_an_overlay_is_the_picture_with_the_answer(self, running, model):
        response = await running.stub.Predict(
            request(model.name, encode(picture(640, 480), "PNG"), overlay=True)
        )

        drawn = np.array(Image.open(io.BytesIO(response.predictions[0].overlay_png)))
        assert np.array_equal(drawn[:480], picture(640, 480))
        assert drawn.shape[0] > 500

    async def test_an_overlay_of_a_large_image_is_made_smaller(self, running, model):
        response = await running.stub.Predict(
            request(model.name, encode(picture(4000, 1000)), overlay=True)
        )

        drawn = Image.open(io.BytesIO(response.predictions[0].overlay_png))
        assert drawn.width == 2048
        assert response.predictions[0].image_width == 4000

    @pytest.mark.parametrize("kind", ["exif", "grey", "cmyk", "alpha", "palette", "16 bits"])
    async def test_an_image_is_answered_as_its_upright_rgb_is(self, running, model, kind):
        pixels = picture(40, 40)
        image = Image.fromarray(pixels)
        match kind:
            case "exif":
                data = rotated_jpeg(pixels, 6)
                upright = np.rot90(np.array(Image.open(io.BytesIO(encode(pixels)))), -1)
            case "grey":
                data, upright = encode_image(image.convert("L"), "PNG"), image.convert("L")
            case "cmyk":
                data = encode_image(image.convert("CMYK"), "JPEG")
                upright = Image.open(io.BytesIO(data)).convert("RGB")
            case "alpha":
                data, upright = encode_image(image.convert("RGBA"), "PNG"), image
            case "palette":
                data, upright = encode_image(image.convert("P"), "PNG"), image.convert("P")
            case "16 bits":
                data = encode(pixels[:, :, 0].astype(np.uint16) * 257, "PNG")
                upright = pixels[:, :, 0]
        if not isinstance(upright, np.ndarray):
            upright = np.array(upright.convert("RGB"))
        if upright.ndim == 2:
            upright = np.dstack([upright] * 3)
        reference = encode(np.ascontiguousarray(upright), "PNG")

        response = await running.stub.Predict(request(model.name, data, reference))

        ours, expected = response.predictions
        assert scores(ours) == pytest.approx(scores(expected), abs=0.02)

    async def test_an_image_may_lie_in_the_bucket(self, bucket, running, model):
        bucket.put("pictures/a.jpg", JPEG)
        image = pb.Image(uri=bucket.uri("pictures/a.jpg"))

        response = await running.stub.Predict(pb.PredictRequest(name=model.name, images=[image]))
        sent = await running.stub.Predict(request(model.name, JPEG))

        assert response.predictions == sent.predictions


class TestRefusedRequests:
    """What fails a whole call."""

    @pytest.mark.parametrize(
        ("changes", "field", "reason"),
        [
            ({"images": []}, "images", "FIELD_REQUIRED"),
            ({"images": [pb.Image(content=JPEG)] * 65}, "images", "TOO_MANY_IMAGES"),
            ({"options": {"top_k": -1}}, "options.top_k", "FIELD_OUT_OF_RANGE"),
            ({"options": {"top_k": 1001}}, "options.top_k", "FIELD_OUT_OF_RANGE"),
            ({"options": {"max_results": -1}}, "options.max_results", "FIELD_OUT_OF_RANGE"),
            (
                {"options": {"score_threshold": 1.1}},
                "options.score_threshold",
                "FIELD_OUT_OF_RANGE",
            ),
            (
                {"options": {"score_threshold": float("nan")}},
                "options.score_threshold",
                "FIELD_OUT_OF_RANGE",
            ),
            (
                {"options": {"overlay": True}, "images": [pb.Image(content=JPEG)] * 9},
                "images",
                "TOO_MANY_IMAGES",
            ),
            ({"name": ""}, "name", "FIELD_REQUIRED"),
            ({"name": "models/a"}, "name", "NAME_INVALID"),
            ({"name": "tasks/classification/jobs/a"}, "name", "NAME_INVALID"),
            ({"name": "tasks/detection/models/a"}, "name", "TASK_UNKNOWN"),
        ],
    )
    async def test_a_field_out_of_range_is_named(self, running, model, changes, field, reason):
        fields = {"name": model.name, "images": [pb.Image(content=JPEG)], **changes}

        code, found, info = await failure(running.stub.Predict(pb.PredictRequest(**fields)))

        assert (code, found) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        assert info["BadRequest"].field_violations[0].field == field

    async def test_tiling_is_not_for_classification(self, running, model):
        code, reason, _ = await failure(
            running.stub.Predict(request(model.name, JPEG, tiling=True))
        )

        assert (code, reason) == (grpc.StatusCode.UNIMPLEMENTED, "OPTION_UNSUPPORTED")

    @pytest.mark.parametrize("collection", ["models", "pipelines"])
    async def test_what_does_not_exist_is_not_found(self, running, collection):
        code, reason, _ = await failure(
            running.stub.Predict(request(f"tasks/classification/{collection}/none", JPEG))
        )

        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")

    async def test_a_pipeline_without_a_model_must_be_trained(self, bucket, running):
        pipeline = put_pipeline(bucket, "untrained")

        code, reason, _ = await failure(running.stub.Predict(request(pipeline.name, JPEG)))

        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PIPELINE_NOT_TRAINED")

    async def test_damaged_weights_are_not_used(self, bucket, running, model):
        key = f"{model.name}/model.safetensors"
        data = bytearray(bucket.get(key))
        data[-1] ^= 1
        bucket.put(key, bytes(data))

        code, reason, _ = await failure(running.stub.Predict(request(model.name, JPEG)))

        assert (code, reason) == (grpc.StatusCode.INTERNAL, "MODEL_DAMAGED")

    async def test_a_model_larger_than_the_memory_for_models(self, serve, model):
        running = await serve(model_cache_bytes=1000)

        code, reason, _ = await failure(running.stub.Predict(request(model.name, JPEG)))

        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_TOO_LARGE")


class TestModels:
    """Which model answers, and when it is loaded."""

    async def test_concurrent_first_requests_load_once(self, running, model):
        await asyncio.gather(*(running.stub.Predict(request(model.name, JPEG)) for _ in range(20)))

        assert running.figure("model_loads_total", result="success") == 1
        assert running.figure("models_loaded") == 1

    async def test_the_least_recently_used_makes_room(self, bucket, serve, model):
        """Room for two: of three, the one not used for longest is loaded again."""
        others = [put_model(bucket, f"model-{letter}", seed=ord(letter)) for letter in "bc"]
        running = await serve(
            model_cache_bytes=int(model.weights_size_bytes * 2.5),
            predict_precision="fp32",  # in which a network is as large as its file
        )
        first, second, third = (m.name for m in (model, *others))

        for name in (first, second, first, third):
            await running.stub.Predict(request(name, JPEG))
        assert running.figure("model_loads_total", result="success") == 3
        assert running.figure("models_loaded") == 2
        assert running.figure("model_evictions_total") == 1
        await running.stub.Predict(request(first, JPEG))
        assert running.figure("model_loads_total", result="success") == 3
        await running.stub.Predict(request(second, JPEG))
        assert running.figure("model_loads_total", result="success") == 4

    async def test_a_deleted_model_is_noticed_within_seconds(self, bucket, running, model):
        await running.stub.Predict(request(model.name, JPEG))

        resources.models(bucket).delete(model.name)
        deadline = time.monotonic() + 10
        code = None
        while code is None and time.monotonic() < deadline:
            try:
                await running.stub.Predict(request(model.name, JPEG))
                await asyncio.sleep(0.1)
            except grpc.aio.AioRpcError as error:
                code = error.code()

        assert code == grpc.StatusCode.NOT_FOUND
        assert running.figure("models_loaded") == 0

    async def test_a_pipelines_next_model_answers_within_seconds(self, bucket, running, model):
        pipeline = put_pipeline(bucket, "pipeline-a", model.name)
        await running.stub.Predict(request(pipeline.name, JPEG))
        newer = put_model(bucket, "model-newer", seed=1)

        resources.pipelines(bucket).update(
            pipeline.name, lambda p: p.MergeFrom(type(p)(model=newer.name))
        )
        deadline = time.monotonic() + 10
        answered = model.name
        while answered == model.name and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            answered = (await running.stub.Predict(request(pipeline.name, JPEG))).model

        assert answered == newer.name
