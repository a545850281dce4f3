"""What is drawn on an image in a Supervisely project, as boxes and outlines.

Whole numbers name pixels: a rectangle from 10 to 19 covers ten of them, and the points of a polygon
are the centers of pixels. Other numbers are places between the edges of the image, as the labeling
tool itself has them. A bitmap is a PNG, compressed once more, that lies somewhere in the image.
"""

from __future__ import annotations

import base64
import binascii
import io
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from common.data import images
from common.data.formats.coco_outlines import number
from common.data.formats.pictures_shapes import MAX_MASK_PIXELS, ShapeError, placed
from common.masks.outlines import Outline, polygon
from common.settings import MIB

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.objects.annotation import Box

    Point = tuple[float, float]

BITMAP = "bitmap"
RECTANGLE = "rectangle"

_BITMAPS = frozenset({BITMAP, "alpha_mask"})
_POLYGONS = frozenset({"polygon", "multipolygon"})
# As compressed as a PNG is, it is hardly smaller when compressed once more.
_MAX_BITMAP_BYTES = 16 * MIB
_CENTER = 0.5
_LEAST_POINTS = 3


def drawn(
    kind: str, one: dict[str, Any], width: int, height: int
) -> tuple[Box | None, Outline | None]:
    """Return the box or the outline of an object; neither if its kind has none.

    Args:
        kind: The type of its geometry.
        one: The object.
        width: Of its image, 0 if that is not known.
        height: The same.

    Raises:
        ShapeError: It cannot be read; the message says why.
    """
    if kind == RECTANGLE:
        return _rectangle(_member(one, "points")), None
    if kind in _POLYGONS:
        parts = one.get("parts") if kind == "multipolygon" else [_member(one, "points")]
        rings = [_polygon(part) for part in parts] if isinstance(parts, list) else []
        if not rings:
            raise ShapeError("it has no parts")
        return None, Outline(tuple(polygon(numbers) for numbers in rings))
    if kind in _BITMAPS:
        bitmap = _member(one, "bitmap")
        (across, down), *_ = _points([bitmap.get("origin")])
        if not max(abs(across), abs(down)) < MAX_MASK_PIXELS:
            raise ShapeError("its origin is outside of any image")
        return None, placed(_bitmap(bitmap.get("data")), int(across), int(down), width, height)
    return None, None


def _member(one: dict[str, Any], key: str) -> dict[str, Any]:
    value = one.get(key)
    if not isinstance(value, dict):
        raise ShapeError(f"it has no {key}")
    return value


def _points(written: Any) -> list[Point]:
    if not isinstance(written, list):
        raise ShapeError("its points are no list")
    points = []
    for point in written:
        sides = [number(side) for side in point] if isinstance(point, list) else []
        found = [side for side in sides if side is not None]
        if len(sides) != 2 or len(found) != 2:
            raise ShapeError("a point is no pair of numbers")
        points.append((found[0], found[1]))
    return points


def _are_pixels(points: list[Point]) -> bool:
    return all(side.is_integer() for point in points for side in point)


def _rectangle(points: dict[str, Any]) -> Box:
    corners = _points(points.get("exterior"))
    if len(corners) != 2:
        raise ShapeError(f"it has {len(corners)} corners, not two opposite ones")
    across, down = zip(*corners, strict=True)
    last = 1 if _are_pixels(corners) else 0
    return min(across), min(down), max(across) + last, max(down) + last


def _polygon(part: Any) -> list[float]:
    """Return the numbers of a polygon; one with holes goes around each of them, too.

    From the border it goes to that of a hole and back by the same way, inside of which there is
    nothing. Drawing counts how often borders are crossed, so that the hole is outside.
    """
    if not isinstance(part, dict):
        raise ShapeError("a part has no exterior")
    path = _points(part.get("exterior"))
    holes = part.get("interior") or []
    if not isinstance(holes, list):
        raise ShapeError("its interior is no list")
    rings = [ring for ring in map(_points, holes) if len(ring) >= _LEAST_POINTS]
    if path:
        start = path[0]
        for ring in rings:
            path += [start, *ring, ring[0], start]
    shift = _CENTER if _are_pixels(path) else 0.0
    return [side + shift for point in path for side in point]


def _bitmap(data: Any) -> NDArray[np.bool_]:
    """Return what of a bitmap is inside, bool (H, W)."""
    if not isinstance(data, str):
        raise ShapeError("its bitmap has no data")
    try:
        packed = base64.b64decode(data)
    except (binascii.Error, ValueError) as error:
        raise ShapeError(f"its bitmap is no Base64: {error}") from error
    try:
        unpacked = zlib.decompressobj().decompress(packed, _MAX_BITMAP_BYTES)
    except zlib.error:
        unpacked = packed  # which is allowed
    try:
        info = images.probe(unpacked, max_pixels=MAX_MASK_PIXELS)
        with Image.open(io.BytesIO(unpacked), formats=[info.format]) as image:
            if "transparency" in image.info or image.mode in {"LA", "PA", "RGBA"}:
                return np.asarray(image.convert("RGBA"))[:, :, 3] > 0
            return np.asarray(image.convert("L")) > 0
    except images.ImageError as error:
        raise ShapeError(f"its bitmap: {error.message}") from error
    # Decoders raise a dozen kinds of error, SyntaxError among them.
    except Exception as error:
        raise ShapeError(f"its bitmap cannot be decoded: {error}") from error
