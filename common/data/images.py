"""From the bytes of an image file to pixels: the one way in, for import, training and prediction.

`probe` reads the header only; `decode` gives uint8 RGB, upright. Whatever the bytes are, the only
error is `ImageError`. No torch here, so that imports do not pay for it.

How an image becomes RGB: it is turned as its EXIF orientation says; grey becomes three equal
channels; transparent pixels are laid on white, as a viewer shows them; of 16 bits the upper 8 are
kept; CMYK is read as Adobe writes it (inverted). Colour profiles are not applied. Of an animation
the first frame counts, of a TIFF the first page.

Shape letters: H height, W width, 3 colours.
"""

from __future__ import annotations

import io
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

IMAGE_EMPTY_FILE = "IMAGE_EMPTY_FILE"
IMAGE_NOT_AN_IMAGE = "IMAGE_NOT_AN_IMAGE"
IMAGE_UNDECODABLE = "IMAGE_UNDECODABLE"
IMAGE_TRUNCATED = "IMAGE_TRUNCATED"
IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"

# A progressive JPEG from a camera or an encoder has about 10 scans, any other at most one for each
# channel. Each costs a pass over all blocks, so that a small file with thousands would keep a
# decoder busy for minutes.
_MAX_JPEG_SCANS = 100
_START_OF_SCAN = b"\xff\xda"
_END_OF_IMAGE = b"\xff\xd9"
# What starts a segment with a length, or ends the image: neither data nor a marker by itself.
_JPEG_SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
# Metadata of a gigabyte has less than twice as many segments.
_MAX_JPEG_SEGMENTS = 10_000

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*")

# Pillow's own limit is a global that warns at one size and raises at twice that. Ours is exact and
# checked on every way in, before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None
# Pillow warns of damaged metadata, which says nothing of the pixels.
warnings.filterwarnings("ignore", module=r"PIL\.")


class ImageError(Exception):
    """A file that is no usable image.

    Attributes:
        finding_id: One of the `IMAGE_…` constants of this module.
        message: What is wrong and what to do, for a person.
    """

    def __init__(self, finding_id: str, message: str) -> None:
        super().__init__(message)
        self.finding_id = finding_id
        self.message = message


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the header says.

    Attributes:
        format: One of `FORMATS`.
        width: In pixels, upright: after EXIF rotation.
        height: In pixels, upright.
        orientation: As in EXIF, 1 to 8; 1 is upright.
        mode: As Pillow names it, e.g. `RGB`, `L` (grey), `P` (palette), `RGBA`, `CMYK`, `I;16`.
        bits: Of a channel: 1, 8, 12 or 16.
        has_alpha: Some pixels may be transparent.
    """

    format: str
    width: int
    height: int
    orientation: int
    mode: str
    bits: int
    has_alpha: bool


def probe(data: bytes, *, max_pixels: int) -> ImageInfo:
    """Read what the header says; the pixels may be damaged all the same.

    Raises:
        ImageError: It is no image of `FORMATS`, or has more than `max_pixels`.
    """
    with _only_image_errors(data), _open(data, max_pixels) as image:
        return _info(image)


def decode(data: bytes, *, max_pixels: int, at_least_px: int | None = None) -> np.ndarray[Any, Any]:
    """Decode to uint8 RGB (H, W, 3), upright.

    Args:
        data: The encoded file.
        max_pixels: Larger images are refused before a pixel is decoded.
        at_least_px: If given, a large JPEG may come out 2, 4 or 8 times smaller, both sides at
            least this long. It is averaged down while decoding, 2 to 3 times as fast, and only
            where its sides divide evenly, so that nothing shifts. See `transforms.decode_size`.

    Raises:
        ImageError: It is no image of `FORMATS`, is damaged, or has more than `max_pixels`.
    """
    return read(data, max_pixels=max_pixels, at_least_px=at_least_px)[1]


def read(
    data: bytes, *, max_pixels: int, at_least_px: int | None = None
) -> tuple[ImageInfo, np.ndarray[Any, Any]]:
    """`probe` and `decode` at once; the size in the `ImageInfo` is that of the file."""
    with _only_image_errors(data), _open(data, max_pixels) as image:
        info = _info(image)
        pixels_HW3 = None
        if info.format == "JPEG":
            pixels_HW3 = _decode_jpeg(data, image, at_least_px)
        if pixels_HW3 is None:
            pixels_HW3 = _to_rgb(image, info)
        if info.format != "TIFF":
            pixels_HW3 = _upright(pixels_HW3, info.orientation)
        return info, pixels_HW3


@contextmanager
def _only_image_errors(data: bytes) -> Iterator[None]:
    """Turn whatever a decoder raises on hostile bytes into an `ImageError`."""
    if not data:
        raise ImageError(IMAGE_EMPTY_FILE, "The file is empty. Upload it again.")
    try:
        yield
    except ImageError:
        raise
    # Decoders raise a dozen kinds of error, SyntaxError among them.
    except Exception as error:
        raise _explain(error, data) from error


def _explain(error: Exception, data: bytes) -> ImageError:
    if not is_image(data):
        return ImageError(
            IMAGE_NOT_AN_IMAGE,
            f"The file is not an image of a known format. Send one of {', '.join(FORMATS)}.",
        )
    text = str(error)
    if _ends_early(data) or isinstance(error, EOFError) or "truncated" in text.lower():
        return ImageError(
            IMAGE_TRUNCATED, "The file ends before the image does. Upload it again, whole."
        )
    why = "its header is damaged" if isinstance(error, UnidentifiedImageError) else text
    return ImageError(
        IMAGE_UNDECODABLE,
        f"The image cannot be decoded: {why or type(error).__name__}. "
        "Open it in an image program and save it anew.",
    )


def _ends_early(data: bytes) -> bool:
    """Whether a WebP is shorter than it says; its decoder does not tell."""
    return data.startswith(b"RIFF") and int.from_bytes(data[4:8], "little") + 8 > len(data)


def is_image(data: bytes) -> bool:
    """Whether the file starts as images of `FORMATS` do."""
    return data.startswith(_MAGIC) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP")


def _open(data: bytes, max_pixels: int) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            IMAGE_TOO_LARGE,
            f"The image has {width} × {height} pixels, more than the {max_pixels} allowed. "
            "Make it smaller.",
        )
    return image


def _info(image: Image.Image) -> ImageInfo:
    orientation = _orientation(image)
    width, height = image.size
    # Pillow turns a TIFF by itself, and has swapped the sides already.
    if orientation >= 5 and image.format != "TIFF":
        width, height = height, width
    return ImageInfo(
        # A camera's JPEG with several pictures is a JPEG: the first one counts.
        format="JPEG" if image.format == "MPO" else str(image.format),
        width=width,
        height=height,
        orientation=orientation,
        mode=image.mode,
        bits=_bits(image),
        has_alpha=image.has_transparency_data,
    )


def _orientation(image: Image.Image) -> int:
    try:
        # The base method: PNG's own decodes all pixels to see whether EXIF data follows them.
        exif = Image.Image.getexif(image)
        orientation = int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - damaged metadata does not make an image unusable
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _bits(image: Image.Image) -> int:
    if image.mode == "1":
        return 1
    # The layout of the encoded pixels, e.g. "RGB;16B" where Pillow keeps only 8 bits of 16.
    tiles = getattr(image, "tile", [])
    layouts = [part for tile in tiles for part in _strings(tile.args)]
    for bits in (16, 12):
        if any(f";{bits}" in layout for layout in (image.mode, *layouts)):
            return bits
    return 8


def _strings(args: Any) -> Iterator[str]:
    if isinstance(args, str):
        yield args
    elif isinstance(args, tuple | list):
        for part in args:
            yield from _strings(part)


def _decode_jpeg(
    data: bytes, image: Image.Image, at_least_px: int | None
) -> np.ndarray[Any, Any] | None:
    """Decode with libjpeg-turbo alone; None where Pillow has to."""
    if _has_absurdly_many_scans(data):
        raise ImageError(
            IMAGE_UNDECODABLE,
            f"The JPEG has more than {_MAX_JPEG_SCANS} scans. "
            "Open it in an image program and save it anew.",
        )
    width, height = image.size
    factor = _shrink_factor(width, height, at_least_px)
    if image.mode not in {"RGB", "L"}:
        return None
    try:
        return simplejpeg.decode_jpeg(  # type: ignore[no-any-return]
            data, "RGB", min_width=width // factor, min_height=height // factor
        )
    except ValueError:
        # It refuses even what every viewer forgives, such as bytes too many between two segments.
        # Pillow tells that from an image whose pixels are missing.
        image.draft(None, (width // factor, height // factor))
        return None


def _has_absurdly_many_scans(data: bytes) -> bool:
    """Whether a decoder would find more than `_MAX_JPEG_SCANS`, or segments without end.

    What looks like a scan in metadata, or behind the image, as in the film that a phone appends,
    does not count.
    """
    if data.count(_START_OF_SCAN) <= _MAX_JPEG_SCANS:
        return False  # fast, and true of almost all
    scan_count = position = 0
    for _ in range(_MAX_JPEG_SEGMENTS):
        found = _JPEG_SEGMENT.search(data, position)
        if found is None or found[0] == _END_OF_IMAGE:
            return False
        scan_count += found[0] == _START_OF_SCAN
        if scan_count > _MAX_JPEG_SCANS:
            return True
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        position = found.end() + max(length, 2)
    return True


def _shrink_factor(width: int, height: int, at_least_px: int | None) -> int:
    if at_least_px is None:
        return 1
    for factor in (8, 4, 2):
        even = width % factor == 0 and height % factor == 0
        if even and min(width, height) // factor >= at_least_px:
            return factor
    return 1


def _to_rgb(image: Image.Image, info: ImageInfo) -> np.ndarray[Any, Any]:
    if image.mode.startswith("I;16"):
        image.load()
        grey_HW = (np.asarray(image) >> (info.bits - 8)).astype(np.uint8)
        return np.repeat(grey_HW[:, :, None], 3, axis=2)
    if image.mode in {"I", "F"}:
        raise ImageError(
            IMAGE_UNDECODABLE,
            "The pixels have 32 bits, which does not say what is black and what is white. "
            "Save the image with 8 or 16 bits.",
        )
    if info.has_alpha:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


_TRANSPOSE = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


def _upright(pixels_HW3: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    if orientation == 1:
        return pixels_HW3
    return np.ascontiguousarray(_TRANSPOSE[orientation](pixels_HW3))
