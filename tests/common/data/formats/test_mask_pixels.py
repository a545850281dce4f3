"""The numbers in a file of a mask are read as they stand there."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.data import images
from common.data.formats import mask_pixels
from common.data.images import ImageError
from common.data.tree import Member, Tree
from tests.common.data.pictures import encode, encode_image, picture, rotated_jpeg

VALUES = np.array([[0, 1, 2], [3, 0, 1]], np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(bits: int, rows: list[bytes], width: int, height: int | None = None) -> bytes:
    """A grey PNG, written by hand."""
    header = struct.pack(">IIBBBBB", width, height or len(rows), bits, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def palette(values, mode="P"):
    image = Image.fromarray(values).convert("L")
    image.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200, 9, 9, 9])
    return image


@pytest.fixture
def read(tree_of):
    def read(data: bytes, **options):
        return mask_pixels.read(tree_of(**{"1.png": data}), "1.png", **options)

    return read


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(png(1, [b"\x50"], 4), [[0, 1, 0, 1]], id="1 bit"),
        pytest.param(png(2, [b"\x1b"], 4), [[0, 1, 2, 3]], id="2 bits"),
        pytest.param(png(4, [b"\x01\x2f"], 4), [[0, 1, 2, 15]], id="4 bits"),
        pytest.param(png(8, [b"\x00\x07\xff"], 3), [[0, 7, 255]], id="8 bits"),
        pytest.param(png(16, [b"\0\1\x01\x2c"], 2), [[1, 300]], id="16 bits"),
        pytest.param(encode_image(palette(VALUES), "PNG"), VALUES.tolist(), id="palette"),
        pytest.param(
            encode_image(palette(VALUES), "PNG", bits=2), VALUES.tolist(), id="palette of 2 bits"
        ),
        pytest.param(
            encode_image(palette(VALUES), "PNG", transparency=0), VALUES.tolist(),
            id="palette with a transparent color",
        ),
        pytest.param(encode_image(palette(VALUES), "BMP"), VALUES.tolist(), id="BMP"),
        pytest.param(encode(VALUES, "TIFF"), VALUES.tolist(), id="TIFF"),
        pytest.param(encode(VALUES.astype(np.uint16) * 999, "TIFF"),
                     (VALUES.astype(int) * 999).tolist(), id="TIFF of 16 bits"),
        pytest.param(encode(VALUES.astype(np.int32) * 99_999, "TIFF"),
                     (VALUES.astype(int) * 99_999).tolist(), id="TIFF of 32 bits"),
        pytest.param(encode(np.dstack([VALUES] * 3), "PNG"), VALUES.tolist(), id="RGB, all equal"),
        pytest.param(encode(np.dstack([VALUES] * 4), "PNG"), VALUES.tolist(), id="RGBA"),
        pytest.param(encode_image(Image.fromarray(VALUES).convert("LA"), "PNG"), VALUES.tolist(),
                     id="grey with alpha"),
    ],
)  # fmt: skip
def test_numbers(data, expected, read):
    found = read(data)

    assert found.array.tolist() == expected
    assert not found.coloured
    assert not found.lossy


def test_colours(read):
    colours = picture(5, 4)

    found = read(encode(colours, "PNG"))

    assert found.coloured
    assert found.array.tolist() == colours.tolist()


def test_a_jpeg_is_lossy(read):
    """Grey stays grey."""
    found = read(encode(np.full((16, 16), 200, np.uint8)))

    assert found.lossy
    assert not found.coloured
    assert np.abs(found.array.astype(int) - 200).max() <= 2


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_its_own_orientation_counts(orientation, read):
    """A mask that a phone turned is turned like any image."""
    pixels = np.repeat(np.repeat(picture(4, 3), 16, 0), 16, 1)

    data = rotated_jpeg(pixels, orientation)

    upright = images.decode(data, max_pixels=10**6)
    assert read(data).array.shape == upright.shape


def test_too_many_pixels(read):
    """Known before a pixel is decoded: this one has none."""
    with pytest.raises(ImageError) as caught:
        read(png(8, [b""], 40_000, 40_000))

    assert caught.value.finding_id == images.IMAGE_TOO_LARGE
    with pytest.raises(ImageError):
        read(encode(VALUES, "PNG"), max_pixels=5)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"0 1 2", id="a text"),
        pytest.param(encode(VALUES, "PNG")[:50], id="cut"),
        pytest.param(encode(VALUES.astype(np.float32), "TIFF"), id="fractions"),
        pytest.param(png(8, [b"\1\2\3"], 3)[:-20] + bytes(20), id="damaged"),
    ],
)
def test_unreadable(data, read):
    with pytest.raises(ImageError):
        read(data)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about damaged metadata
@settings(max_examples=300)
@given(
    st.sampled_from([
        encode(VALUES, "PNG"), encode_image(palette(VALUES), "PNG"), png(4, [b"\x01\x2f"], 4),
        encode(VALUES, "TIFF"), encode(VALUES, "BMP"), encode(picture(9, 7)),
    ]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    st.integers(0, 60),
)  # fmt: skip
def test_whatever_the_bytes_are(tmp_path_factory, data, changes, cut):
    """There is a mask or an `ImageError`, and nothing else."""
    broken = bytearray(data)
    for place, value in changes:
        broken[place % len(broken)] = value
    broken = broken[: len(broken) - cut]
    path = tmp_path_factory.mktemp("fuzz") / "blob"
    path.write_bytes(bytes(broken) or b" ")

    with Tree(path, {"1.png": Member(0, len(broken))}) as tree:
        try:
            found = mask_pixels.read(tree, "1.png", max_pixels=1_000_000)
        except ImageError:
            return

    assert found.array.ndim in {2, 3}


def test_made_by_hand_is_what_pillow_reads():
    """The helper above writes valid files."""
    assert np.asarray(Image.open(io.BytesIO(png(8, [b"\1\2"], 2)))).tolist() == [[1, 2]]
