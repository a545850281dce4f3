"""The images of a request: their bytes, what is wrong with them, the answer drawn on them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from common.data import images
from common.errors import DomainError, InvalidInput, NotFound
from common.reasons import Reason
from common.storage import uris
from common.storage.bucket import KeyMissing

if TYPE_CHECKING:
    from common.settings import ServiceSettings
    from common.training.learner import Learner
    from nocode.vision.v1 import prediction_pb2 as pb

OVERLAY_MAX_SIDE_PX = 2048
"""A larger image is made smaller before it is drawn on: a PNG of it is tens of megabytes."""


def content(image: pb.Image, index: int, settings: ServiceSettings) -> bytes:
    """Return the file; blocks if it must be fetched.

    Args:
        image: As sent.
        index: Its position in the request, for errors.
        settings: Which buckets may be read, and how much.

    Raises:
        InvalidInput: Neither bytes nor an address was sent, the address is not allowed, or the
            file is larger than a message may be.
        NotFound: There is nothing at the address.
        StorageUnavailable: The bucket does not answer.
    """
    field = f"images[{index}]"
    source = image.WhichOneof("source")
    if source == "content":
        return image.content
    if source is None:
        raise InvalidInput(
            Reason.FIELD_REQUIRED,
            f"{field} has neither content nor uri. Send one of them.",
            field=field,
        )
    bucket, key = uris.open_uri(settings, image.uri, field=f"{field}.uri")
    limit = settings.max_message_bytes
    try:
        # One byte more than is allowed shows that there are too many.
        data = bucket.get(key, offset=0, length=limit + 1)
    except KeyMissing:
        raise NotFound(
            Reason.OBJECT_NOT_FOUND,
            f"{field}.uri is {image.uri!r}, and there is nothing.",
            field=f"{field}.uri",
            value=image.uri,
        ) from None
    if len(data) > limit:
        raise InvalidInput(
            Reason.IMAGE_TOO_LARGE,
            f"{field}.uri names a file of more than the {limit} bytes that are allowed.",
            field=f"{field}.uri",
            limit_bytes=limit,
        )
    return data


def explain(error: images.ImageError, index: int) -> DomainError:
    """Return the error of an image that cannot be used."""
    too_large = error.finding_id == images.IMAGE_TOO_LARGE
    return InvalidInput(
        Reason.IMAGE_TOO_LARGE if too_large else Reason.IMAGE_INVALID,
        f"images[{index}]: {error.message}",
        field=f"images[{index}]",
        finding=error.finding_id,
    )


def overlay(
    data: bytes, prediction: pb.Prediction, learner: Learner, *, max_pixels: int, max_bytes: int
) -> bytes:
    """Return the image with the answer drawn on it, as PNG of at most `max_bytes`.

    See `OVERLAY_MAX_SIDE_PX`; made smaller still if it takes too many bytes.
    """
    picture = Image.fromarray(images.decode(data, max_pixels=max_pixels))
    picture.thumbnail((OVERLAY_MAX_SIDE_PX, OVERLAY_MAX_SIDE_PX))
    drawn = Image.fromarray(np.ascontiguousarray(learner.draw(np.array(picture), prediction)))
    side_px = OVERLAY_MAX_SIDE_PX
    while True:
        drawn.thumbnail((side_px, side_px))
        file = io.BytesIO()
        drawn.save(file, "PNG", compress_level=1)
        if file.tell() <= max_bytes:
            return file.getvalue()
        side_px //= 2
