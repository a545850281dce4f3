"""Asks a model about files, however many: in requests that a server takes, one after the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from google.rpc import code_pb2, status_pb2

from client.channel import MAX_MESSAGE_BYTES
from client.errors import CallFailed
from nocode.vision.v1 import prediction_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from client.api import Client

IMAGES_A_REQUEST = 8
# An overlay may have 12 MiB, and those of a request come back in one message.
OVERLAYS_A_REQUEST = 4
# Each object comes with a picture of the image's size.
PNG_MASKS_A_REQUEST = 1
# Each may be as much work as 65 images.
TILED_A_REQUEST = 1
BYTES_A_REQUEST = 16 * 1024**2
# The rest is for what stands around an image in a message.
MAX_IMAGE_BYTES = MAX_MESSAGE_BYTES - 64 * 1024
ATTEMPTS = 5


def predict_files(
    client: Client,
    name: str,
    paths: Sequence[Path],
    options: prediction_pb2.PredictOptions,
) -> Iterator[tuple[list[Path], prediction_pb2.PredictResponse]]:
    """Ask a model, or a pipeline's model, about images; give answers request by request.

    Each comes with the files that it is about, and no more than one request is in memory. A file
    that is too large for any fails alone, like one that is no image. A server that is too busy is
    asked again when it says.

    Raises:
        CallFailed: The server refused a request, or cannot be reached.
        OSError: A file cannot be read.
    """
    most = OVERLAYS_A_REQUEST if options.overlay else IMAGES_A_REQUEST
    if options.mask_format == prediction_pb2.PredictOptions.MASK_FORMAT_PNG:
        most = PNG_MASKS_A_REQUEST
    most = TILED_A_REQUEST if options.tiling else most
    batch: list[Path] = []
    contents: list[bytes] = []
    for path in paths:
        size = path.stat().st_size
        if batch and (len(batch) == most or sum(map(len, contents)) + size > BYTES_A_REQUEST):
            yield batch, _ask(client, name, contents, options)
            batch, contents = [], []
        if size > MAX_IMAGE_BYTES:
            yield [path], _too_large(size)
            continue
        batch.append(path)
        contents.append(path.read_bytes())
    if batch:
        yield batch, _ask(client, name, contents, options)


def _ask(
    client: Client, name: str, contents: list[bytes], options: prediction_pb2.PredictOptions
) -> prediction_pb2.PredictResponse:
    for attempt in range(ATTEMPTS - 1):
        try:
            return client.predict(name, contents, options)
        except CallFailed as error:
            if error.retry_after_s is None:
                raise
            # Longer each time: others were told the same.
            time.sleep(error.retry_after_s * 2**attempt)
    return client.predict(name, contents, options)


def _too_large(size: int) -> prediction_pb2.PredictResponse:
    error = status_pb2.Status(
        code=code_pb2.INVALID_ARGUMENT,
        message=f"The file has {size} bytes, and a request holds {MAX_IMAGE_BYTES} at most.",
    )
    return prediction_pb2.PredictResponse(predictions=[prediction_pb2.Prediction(error=error)])
