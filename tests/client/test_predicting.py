"""Any number of files of any size becomes requests that a server takes."""

import tracemalloc

import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from client import CallFailed, Client, predicting
from client.predicting import predict_files
from nocode.vision.v1 import prediction_pb2, prediction_pb2_grpc

MIB = 1024**2
PLAIN = prediction_pb2.PredictOptions()


def status(code, *details):
    """Return a status that a servicer can end a call with."""
    made = status_pb2.Status(code=code, message="Words.")
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        made.details.append(packed)
    return rpc_status.to_status(made)


BUSY = status(
    code_pb2.RESOURCE_EXHAUSTED,
    error_details_pb2.ErrorInfo(reason="QUEUE_FULL"),
    error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=10_000_000)),
)


class Sizes(prediction_pb2_grpc.PredictionServiceServicer):
    """Answers with the size of each image, and keeps how many images each request had."""

    def __init__(self):
        self.requests = []
        self.refusals = []
        """What it refuses the next requests with, the next one last."""

    def Predict(self, request, context):
        if self.refusals:
            context.abort_with_status(self.refusals.pop())
        self.requests.append(len(request.images))
        return prediction_pb2.PredictResponse(
            model=request.name,
            predictions=[
                prediction_pb2.Prediction(image_width=len(image.content))
                for image in request.images
            ],
        )


@pytest.fixture
def server():
    """What answers."""
    return Sizes()


@pytest.fixture
def client(serve, server):
    """A client of that server."""
    with Client(serve(server)) as connected:
        yield connected


@pytest.fixture
def files(tmp_path):
    """Makes files of the sizes given, in bytes; they take no room on the disk."""

    def make(*sizes):
        paths = []
        for number, size in enumerate(sizes):
            paths.append(tmp_path / f"{number}.jpg")
            with paths[-1].open("wb") as file:
                file.truncate(size)
        return paths

    return make


def answers(client, paths, options=PLAIN):
    """Return each file's answer, in the order in which they came."""
    return [
        (path, prediction)
        for batch, response in predict_files(client, "m", paths, options)
        for path, prediction in zip(batch, response.predictions, strict=True)
    ]


@pytest.mark.parametrize(
    ("sizes", "requests"),
    [
        pytest.param([1] * 17, [8, 8, 1], id="as many small images as a request may have"),
        pytest.param([9 * MIB] * 3, [1, 1, 1], id="photos that are too large together"),
        pytest.param([8 * MIB] * 4, [2, 2], id="photos that just fit together"),
        pytest.param([1, 60 * MIB, 1], [1, 1, 1], id="one that needs a request of its own"),
    ],
)
def test_requests_are_bounded_in_images_and_bytes(client, server, files, sizes, requests):
    """Every file is answered, in order."""
    paths = files(*sizes)

    answered = answers(client, paths)

    assert server.requests == requests
    assert [path for path, _ in answered] == paths
    assert [prediction.image_width for _, prediction in answered] == sizes


def test_images_in_tiles_are_asked_for_one_by_one(client, server, files):
    """Each is as much work as many."""
    answers(client, files(1, 1, 1), prediction_pb2.PredictOptions(tiling=True, overlay=True))

    assert server.requests == [1, 1, 1]


def test_masks_as_pictures_are_asked_for_one_image_at_a_time(client, server, files):
    """An image may have a hundred, each of its own size; as runs they are small."""
    png, rle = (
        prediction_pb2.PredictOptions.MASK_FORMAT_PNG,
        prediction_pb2.PredictOptions.MASK_FORMAT_RLE,
    )

    answers(client, files(1, 1), prediction_pb2.PredictOptions(mask_format=png))
    answers(client, files(1, 1), prediction_pb2.PredictOptions(mask_format=rle))

    assert server.requests == [1, 1, 2]


def test_overlays_are_asked_for_in_smaller_requests(client, server, files):
    """They come back in one message, each larger than the image may be."""
    answers(client, files(*[1] * 8), prediction_pb2.PredictOptions(overlay=True))

    assert server.requests == [4, 4]


def test_a_file_too_large_for_any_request_fails_alone(client, server, files):
    """And is not read."""
    paths = files(1, 10 * 1024 * MIB, 2)

    first, large, last = answers(client, paths)

    assert large[1].error.code == code_pb2.INVALID_ARGUMENT
    assert str(10 * 1024 * MIB) in large[1].error.message
    assert (first[1].image_width, last[1].image_width) == (1, 2)
    assert [path for path, _ in (first, large, last)] == paths


def test_memory_holds_one_request_at_a_time(client, files):
    """However many files there are."""
    paths = files(*[8 * MIB] * 32)

    tracemalloc.start()
    try:
        answers(client, paths)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    # A request as files, as a message and once more at the server; all files have 256 MiB.
    assert peak < 128 * MIB


def test_a_busy_server_is_asked_again(client, server, files):
    """When it says."""
    server.refusals = [BUSY] * 3

    assert len(answers(client, files(1, 2))) == 2
    assert server.requests == [2]


def test_a_server_that_stays_busy_is_left_alone(client, server, files):
    """What it said last is what the caller sees; answers before it were given."""
    given = predict_files(client, "m", files(*[1] * 9), PLAIN)
    batch, _ = next(given)
    server.refusals = [BUSY] * 100

    with pytest.raises(CallFailed) as refused:
        next(given)

    assert len(batch) == 8
    assert refused.value.reason == "QUEUE_FULL"
    assert len(server.refusals) == 100 - predicting.ATTEMPTS


def test_a_refusal_is_not_argued_with(client, server, files):
    """Without word of when to try again, it is final."""
    server.refusals = [status(code_pb2.NOT_FOUND)] * 2

    with pytest.raises(CallFailed):
        answers(client, files(1))

    assert len(server.refusals) == 1
