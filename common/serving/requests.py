"""What may be asked of a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import InvalidInput
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sized

    from nocode.vision.v1 import prediction_pb2 as pb

MAX_IMAGES = 64
MAX_OVERLAYS = 8
"""Drawn answers are large, and a response is one message."""

MAX_TILED = 8
"""An image may have 64 tiles, each as much work as an image."""

_MAX_TOP_K = 1000
_MAX_RESULTS = 10_000


def check(images: Sized, options: pb.PredictOptions) -> None:
    """Check how many images are sent and how they are to be answered.

    Raises:
        InvalidInput: A field is out of range; the message says what is allowed.
    """
    if not len(images):
        raise InvalidInput(
            Reason.FIELD_REQUIRED,
            f"images is empty. Send 1 to {MAX_IMAGES} images.",
            field="images",
        )
    limit, what = MAX_IMAGES, "a request"
    if options.overlay:
        limit, what = MAX_OVERLAYS, "a request with options.overlay"
    if options.tiling:
        limit, what = min(limit, MAX_TILED), "a request with options.tiling"
    if len(images) > limit:
        raise InvalidInput(
            Reason.TOO_MANY_IMAGES,
            f"images has {len(images)} images, but {what} may have at most {limit}. Send several.",
            field="images",
            count=len(images),
            maximum=limit,
        )
    # Written so that NaN is refused, too.
    _check("options.score_threshold", options.score_threshold, 0, 1)
    _check("options.top_k", options.top_k, 0, _MAX_TOP_K)
    _check("options.max_results", options.max_results, 0, _MAX_RESULTS)


def _check(field: str, value: float, minimum: int, maximum: int) -> None:
    if not minimum <= value <= maximum:
        raise InvalidInput(
            Reason.FIELD_OUT_OF_RANGE,
            f"{field} is {value}, but must be in [{minimum}, {maximum}].",
            field=field,
            value=value,
            minimum=minimum,
            maximum=maximum,
        )
