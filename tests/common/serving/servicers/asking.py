"""Requests of `Predict` and what is looked at in their answers."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from nocode.vision.v1 import prediction_pb2 as pb
from tests.common.data.pictures import encode, picture

JPEG = encode(picture())


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
