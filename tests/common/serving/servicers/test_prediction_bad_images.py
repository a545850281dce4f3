"""One bad image of a request fails alone."""

from __future__ import annotations

import random
from collections import Counter

import grpc
import numpy as np
import pytest

from common.data.images import FORMATS
from common.storage.bucket import Bucket
from nocode.vision.v1 import prediction_pb2 as pb
from tests.common.data.pictures import encode, picture
from tests.common.data.test_images import mutate
from tests.common.serving.servicers.asking import JPEG, details, request, scores

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


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
async def test_beside_good_ones(serve, model, data, reason, finding):
    running = await serve(max_image_pixels=100_000)

    response = await running.stub.Predict(request(model.name, JPEG, data, JPEG))

    first, bad, last = response.predictions
    assert scores(first) == scores(last)
    assert bad.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    info = details(bad.error)["ErrorInfo"]
    assert (info.reason, info.metadata["finding"]) == (reason, finding)
    assert "images[1]" in bad.error.message
    assert running.figure("predict_rejected_images_total", reason="undecodable") == 1


async def test_1000_mutated_ones_leave_the_service_well(serve, model):
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


async def test_alone(running, model):
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
async def test_that_cannot_be_had(bucket, running, model, image, code, reason):
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


async def test_of_another_bucket_that_the_operator_allows(storage_settings, serve, model):
    other = Bucket(storage_settings, f"{storage_settings.s3_bucket}-other")
    other.make()
    other.put("a.jpg", JPEG)
    running = await serve(allowed_buckets=(other.name,))

    response = await running.stub.Predict(
        pb.PredictRequest(name=model.name, images=[pb.Image(uri=other.uri("a.jpg"))])
    )

    assert scores(response.predictions[0])


async def test_larger_than_a_message_may_be(bucket, serve, model):
    bucket.put("large.jpg", JPEG + b"\0" * 1024**2)
    running = await serve(max_message_bytes=1024**2)

    response = await running.stub.Predict(
        pb.PredictRequest(name=model.name, images=[pb.Image(uri=bucket.uri("large.jpg"))])
    )

    assert details(response.predictions[0].error)["ErrorInfo"].reason == "IMAGE_TOO_LARGE"
