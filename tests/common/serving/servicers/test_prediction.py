"""`PredictionService` as a client sees it, over a real channel and a real S3 server."""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections import Counter

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from PIL import Image

from common.data.images import FORMATS
from common.storage import resources
from common.storage.bucket import Bucket
from nocode.vision.v1 import prediction_pb2 as pb
from tests.common.data.pictures import encode, encode_image, picture, rotated_jpeg
from tests.common.data.test_images import mutate
from tests.common.serving.tiny import CLASSES, put_model, put_pipeline

JPEG = encode(picture())


@pytest.fixture
def model(bucket):
    return put_model(bucket, "model-a")


def noise(width: int, height: int) -> np.ndarray:
    """Pixels that no PNG makes smaller."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def request(name, *contents: bytes, **options) -> pb.PredictRequest:
    return pb.PredictRequest(
        name=name,
        images=[pb.Image(content=content) for content in contents],
        options=pb.PredictOptions(**options),
    )


def scores(prediction: pb.Prediction) -> dict[str, float]:
    assert prediction.WhichOneof("result") == "classification", prediction
    return {score.class_name: score.score for score in prediction.classification.classes}


def details(status) -> dict[str, object]:
    """The details of a `google.rpc.Status`, by type."""
    found = {}
    for packed in status.details:
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.RetryInfo,
        ):
            if packed.Is(kind.DESCRIPTOR):
                found[kind.__name__] = kind.FromString(packed.value)
    return found


async def failure(call) -> tuple[grpc.StatusCode, str, dict[str, object]]:
    """Code, reason and details that a call fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    found = details(rpc_status.from_call(caught.value))
    return caught.value.code(), found["ErrorInfo"].reason, found


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


class TestBadImages:
    """One bad image fails alone."""

    @pytest.mark.parametrize(
        ("data", "reason", "finding"),
        [
            pytest.param(b"", "IMAGE_INVALID", "IMAGE_EMPTY_FILE", id="empty"),
            pytest.param(b"hello", "IMAGE_INVALID", "IMAGE_NOT_AN_IMAGE", id="text"),
            pytest.param(JPEG[:-200], "IMAGE_INVALID", "IMAGE_TRUNCATED", id="truncated"),
            pytest.param(
                encode(np.zeros((300, 400, 3), np.uint8)),
                "IMAGE_TOO_LARGE",
                "IMAGE_TOO_LARGE",
                id="too large",
            ),
        ],
    )
    async def test_beside_good_ones(self, serve, model, data, reason, finding):
        running = await serve(max_image_pixels=100_000)

        response = await running.stub.Predict(request(model.name, JPEG, data, JPEG))

        first, bad, last = response.predictions
        assert scores(first) == scores(last)
        assert bad.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        info = details(bad.error)["ErrorInfo"]
        assert (info.reason, info.metadata["finding"]) == (reason, finding)
        assert "images[1]" in bad.error.message
        assert running.figure("predict_rejected_images_total", reason="undecodable") == 1

    async def test_1000_mutated_ones_leave_the_service_well(self, serve, model):
        """Each is answered, or refused for what it is; nothing is INTERNAL or UNKNOWN."""
        running = await serve(max_image_pixels=1_000_000)
        rng = random.Random(1)
        originals = [encode(picture(), file_format) for file_format in FORMATS]
        codes = Counter()
        for _ in range(20):
            files = [mutate(rng, rng.choice(originals), originals) for _ in range(50)]
            response = await running.stub.Predict(request(model.name, *files))
            codes.update(prediction.error.code for prediction in response.predictions)
        good = await running.stub.Predict(request(model.name, JPEG))

        assert set(codes) == {0, grpc.StatusCode.INVALID_ARGUMENT.value[0]}
        assert sum(codes.values()) == 1000
        assert scores(good.predictions[0])

    async def test_alone(self, running, model):
        response = await running.stub.Predict(request(model.name, b"hello"))

        assert response.predictions[0].WhichOneof("result") == "error"

    @pytest.mark.parametrize(
        ("image", "code", "reason"),
        [
            pytest.param(pb.Image(), "INVALID_ARGUMENT", "FIELD_REQUIRED", id="no source"),
            pytest.param(
                pb.Image(uri="s3://secrets/key"),
                "INVALID_ARGUMENT",
                "BUCKET_NOT_ALLOWED",
                id="another's bucket",
            ),
            pytest.param(
                pb.Image(uri="file:///etc/passwd"), "INVALID_ARGUMENT", "URI_INVALID", id="a file"
            ),
            pytest.param(pb.Image(uri="{own}/nothing.jpg"), "NOT_FOUND", "OBJECT_NOT_FOUND"),
            pytest.param(
                pb.Image(uri="{own}/tasks/classification/models/model-a/model.json"),
                "INVALID_ARGUMENT",
                "BUCKET_NOT_ALLOWED",
                id="the server's own",
            ),
        ],
    )
    async def test_that_cannot_be_had(self, bucket, running, model, image, code, reason):
        sent = pb.Image()
        sent.CopyFrom(image)
        if image.uri.startswith("{own}"):
            sent.uri = image.uri.replace("{own}", f"s3://{bucket.name}")
        images = [sent, pb.Image(content=JPEG)]

        response = await running.stub.Predict(pb.PredictRequest(name=model.name, images=images))

        bad, good = response.predictions
        assert scores(good)
        assert bad.error.code == grpc.StatusCode[code].value[0]
        assert details(bad.error)["ErrorInfo"].reason == reason

    async def test_of_another_bucket_that_the_operator_allows(self, storage_settings, serve, model):
        other = Bucket(storage_settings, f"{storage_settings.s3_bucket}-other")
        other.make()
        other.put("a.jpg", JPEG)
        running = await serve(allowed_buckets=(other.name,))

        response = await running.stub.Predict(
            pb.PredictRequest(name=model.name, images=[pb.Image(uri=other.uri("a.jpg"))])
        )

        assert scores(response.predictions[0])

    async def test_larger_than_a_message_may_be(self, bucket, serve, model):
        bucket.put("large.jpg", JPEG + b"\0" * 1024**2)
        running = await serve(max_message_bytes=1024**2)

        response = await running.stub.Predict(
            pb.PredictRequest(name=model.name, images=[pb.Image(uri=bucket.uri("large.jpg"))])
        )

        assert details(response.predictions[0].error)["ErrorInfo"].reason == "IMAGE_TOO_LARGE"


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
        running = await serve(model_cache_bytes=int(model.weights_size_bytes * 2.5))
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


class TestLoad:
    """More than the device can do."""

    async def test_requests_that_queue_are_batched(self, running, model):
        await running.stub.Predict(request(model.name, JPEG))
        running.learner.batch_sizes.clear()
        running.learner.takes_s = 0.05

        responses = await asyncio.gather(
            *(running.stub.Predict(request(model.name, JPEG)) for _ in range(24))
        )

        assert sum(running.learner.batch_sizes) == 24
        assert max(running.learner.batch_sizes) == 8
        assert len(running.learner.batch_sizes) <= 6
        assert max(response.timing.batch_size for response in responses) == 8

    async def test_a_full_queue_says_when_to_try_again(self, serve, model):
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

    async def test_a_request_larger_than_the_queue_is_served_when_nothing_waits(self, serve, model):
        running = await serve(predict_queue_size=4)

        response = await running.stub.Predict(request(model.name, *[JPEG] * 64))

        assert len(response.predictions) == 64

    async def test_what_cannot_be_done_in_time_is_refused_at_once(self, running, model):
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

    async def test_what_nobody_waits_for_is_not_computed(self, running, model):
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

    async def test_a_batch_too_large_for_the_memory_shrinks(self, running, model):
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

    async def test_a_model_too_large_for_the_memory_is_refused(self, running, model):
        await running.stub.Predict(request(model.name, JPEG))
        running.learner.memory_for = 0

        code, reason, _ = await failure(running.stub.Predict(request(model.name, JPEG, JPEG)))

        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OUT_OF_MEMORY")


class TestStream:
    """`StreamPredict`."""

    @staticmethod
    async def answers(running, requests) -> dict[str, pb.StreamPredictResponse]:
        return {answer.id: answer async for answer in running.stub.StreamPredict(iter(requests))}

    async def test_each_request_is_answered_under_its_id(self, running, model):
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

        answers = await self.answers(running, requests)

        assert set(answers) == set(images)
        for request_id, data in list(images.items())[:5]:
            alone = await running.stub.Predict(request(model.name, data, top_k=1))
            ours = answers[request_id].response
            assert scores(ours.predictions[0]) == pytest.approx(scores(alone.predictions[0]))

    async def test_a_request_that_fails_is_answered_and_the_stream_goes_on(self, running, model):
        image = pb.Image(content=JPEG)
        requests = [
            pb.StreamPredictRequest(id="nameless", images=[image]),
            pb.StreamPredictRequest(id="good", name=model.name, images=[image]),
            pb.StreamPredictRequest(id="empty"),
            pb.StreamPredictRequest(id="no model", name=f"{model.name}-x", images=[image]),
            pb.StreamPredictRequest(
                id="other task", name="tasks/detection/models/a", images=[image]
            ),
            pb.StreamPredictRequest(id="again", name=model.name, images=[image]),
        ]

        answers = await self.answers(running, requests)

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

    async def test_a_long_stream_does_not_fill_the_queue(self, serve, model):
        """It waits for its own answers instead of being refused."""
        running = await serve(predict_queue_size=16)
        await running.stub.Predict(request(model.name, JPEG))
        running.learner.takes_s = 0.01
        requests = [
            pb.StreamPredictRequest(name=model.name, id=str(i), images=[pb.Image(content=JPEG)])
            for i in range(200)
        ]

        answers = await self.answers(running, requests)

        assert len(answers) == 200
        assert all(answer.HasField("response") for answer in answers.values())

    async def test_a_caller_that_reads_no_answers_is_not_read_either(self, running, model):
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
