"""Images: what is read, converted and refused."""

import io
import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from common.data import images
from common.data.images import ImageError
from common.settings import ServiceSettings
from tests.common.data.pictures import encode, encode_image, picture, rotated_jpeg

LIMIT = 1_000_000

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def decode(data: bytes, **options):
    return images.decode(data, max_pixels=LIMIT, **options)


def decode_2_megapixels(data: bytes):
    return images.decode(data, max_pixels=2_000_000)


def refusal(data: bytes, max_pixels: int = LIMIT) -> ImageError:
    with pytest.raises(ImageError) as caught:
        images.decode(data, max_pixels=max_pixels)
    return caught.value


class TestFormats:
    """What can be read."""

    @pytest.mark.parametrize("file_format", images.FORMATS)
    def test_every_format_is_read(self, file_format):
        data = encode(picture(), file_format)

        info = images.probe(data, max_pixels=LIMIT)
        pixels = decode(data)

        assert (info.format, info.width, info.height) == (file_format, 64, 48)
        assert (pixels.dtype, pixels.shape) == (np.uint8, (48, 64, 3))
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable

    @pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF"])
    def test_lossless_formats_come_back_exactly(self, file_format):
        assert np.array_equal(decode(encode(picture(), file_format)), picture())

    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
    def test_a_jpeg_is_as_pillow_reads_it(self, options):
        data = encode(picture(), "JPEG", quality=90, **options)
        pillow = np.array(Image.open(io.BytesIO(data)))

        assert np.abs(decode(data).astype(int) - pillow).max() <= 2

    def test_of_an_animation_the_first_frame_counts(self):
        frames = [Image.fromarray(picture(seed=seed)) for seed in (1, 2)]
        for file_format in ("GIF", "WEBP", "TIFF"):
            options = {"lossless": True} if file_format == "WEBP" else {}
            data = encode_image(
                frames[0], file_format, save_all=True, append_images=frames[1:], **options
            )
            alone = encode_image(frames[0], file_format, **options)

            assert np.array_equal(decode(data), decode(alone)), file_format

    def test_other_formats_are_refused(self):
        for file_format in ("PPM", "ICO", "TGA"):
            assert refusal(encode(picture(), file_format)).finding_id == "IMAGE_NOT_AN_IMAGE"


class TestConversions:
    """Everything becomes upright RGB."""

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("shrunk", [False, True])
    def test_exif_rotation_is_applied(self, orientation, shrunk):
        data = rotated_jpeg(picture(64, 48), orientation)
        options = {"at_least_px": 12} if shrunk else {}
        with Image.open(io.BytesIO(data)) as image:
            upright = np.array(ImageOps.exif_transpose(image))
        factor = 4 if shrunk else 1

        info = images.probe(data, max_pixels=LIMIT)
        pixels = decode(data, **options)

        assert (info.orientation, info.height, info.width) == (orientation, *upright.shape[:2])
        assert pixels.shape == (upright.shape[0] // factor, upright.shape[1] // factor, 3)
        if not shrunk:
            assert np.abs(pixels.astype(int) - upright).max() <= 2

    @pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
    def test_rotation_counts_in_every_format_that_has_it(self, file_format):
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encode(picture(), file_format, exif=exif, lossless=True)

        info, pixels = images.read(data, max_pixels=LIMIT)

        assert (info.orientation, info.width, info.height) == (6, 48, 64)
        assert np.array_equal(pixels, np.rot90(picture(), -1))

    def test_damaged_exif_does_not_make_an_image_unusable(self):
        data = encode(picture(), exif=b"Exif\0\0not what it should be")

        assert images.probe(data, max_pixels=LIMIT).orientation == 1
        assert decode(data).shape == (48, 64, 3)

    @pytest.mark.parametrize("orientation", [0, 9, 65535])
    def test_a_nonsensical_orientation_is_upright(self, orientation):
        info = images.probe(rotated_jpeg(picture(), orientation), max_pixels=LIMIT)

        assert (info.orientation, info.width, info.height) == (1, 64, 48)

    @pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
    def test_grey_becomes_three_equal_channels(self, file_format):
        grey = picture()[:, :, 0]
        data = encode_image(Image.fromarray(grey), file_format)

        pixels = decode(data)

        assert images.probe(data, max_pixels=LIMIT).mode == "L"
        assert np.abs(pixels.astype(int) - grey[:, :, None]).max() <= (
            12 if file_format == "JPEG" else 0
        )

    def test_transparent_pixels_lie_on_white(self):
        rgba = np.dstack([picture(), np.full((48, 64), 255, np.uint8)])
        rgba[:24, :, 3] = 0
        rgba[24, :] = (0, 0, 0, 128)
        data = encode(rgba, "PNG")

        pixels = decode(data)

        assert images.probe(data, max_pixels=LIMIT).has_alpha
        assert (pixels[:24] == 255).all()
        assert (pixels[24] == 127).all()  # half black, half white
        assert np.array_equal(pixels[25:], picture()[25:])

    def test_a_transparent_palette_entry_lies_on_white(self):
        image = Image.new("P", (4, 2), 1)
        image.putpalette([0, 0, 0, 10, 20, 30])
        image.putpixel((0, 0), 0)
        data = encode_image(image, "PNG", transparency=0)

        pixels = decode(data)

        assert pixels[0, 0].tolist() == [255, 255, 255]
        assert pixels[1, 1].tolist() == [10, 20, 30]

    @pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
    def test_of_16_bits_the_upper_8_are_kept(self, file_format):
        grey = np.linspace(0, 65535, 48 * 64).astype(np.uint16).reshape(48, 64)
        data = encode(grey, file_format)

        pixels = decode(data)

        assert images.probe(data, max_pixels=LIMIT).bits == 16
        assert np.array_equal(pixels[:, :, 1], grey >> 8)

    def test_16_bit_colour_is_seen_and_scaled(self):
        wide = picture(8, 6).astype(np.uint16) * 257
        data = png_rgb16(wide)

        assert images.probe(data, max_pixels=LIMIT).bits == 16
        assert np.array_equal(decode(data), picture(8, 6))

    def test_an_adobe_cmyk_jpeg_has_its_colours(self):
        data = encode_image(Image.fromarray(picture()).convert("CMYK"), "JPEG", quality=95)

        pixels = decode(data)

        assert images.probe(data, max_pixels=LIMIT).mode == "CMYK"
        assert np.abs(pixels.astype(int) - picture()).mean() < 4

    def test_32_bit_pixels_are_refused_for_want_of_a_white(self):
        data = encode(picture()[:, :, 0].astype(np.float32), "TIFF")

        assert "32 bits" in refusal(data).message


class TestShrinking:
    """A large JPEG may come out smaller."""

    @pytest.mark.parametrize(
        ("size", "at_least", "expected"),
        [
            pytest.param((640, 480), 224, (320, 240), id="half"),
            pytest.param((640, 480), 240, (320, 240), id="just half"),
            pytest.param((640, 480), 241, (640, 480), id="half would be too small"),
            pytest.param((640, 480), 16, (80, 60), id="an eighth at most"),
            pytest.param((642, 480), 16, (321, 240), id="sides divide by two only"),
            pytest.param((641, 481), 16, (641, 481), id="sides do not divide"),
        ],
    )
    def test_both_sides_stay_long_enough_and_divide(self, size, at_least, expected):
        info, pixels = images.read(encode(picture(*size)), max_pixels=LIMIT, at_least_px=at_least)

        assert (info.width, info.height) == size
        assert (pixels.shape[1], pixels.shape[0]) == expected

    def test_a_jpeg_that_pillow_must_read_shrinks_the_same(self):
        """Bytes between segments, as some cameras leave them, are forgiven."""
        data = encode(picture(640, 480))
        odd = data[:-2] + b"\0\0\0\0" + data[-2:]

        assert np.array_equal(decode(odd, at_least_px=60), decode(data, at_least_px=60))


class TestRefusals:
    """What is no usable image, and why."""

    def test_nothing(self):
        assert refusal(b"").finding_id == "IMAGE_EMPTY_FILE"

    @pytest.mark.parametrize("data", [b"hello", b"\0" * 1000, b"%PDF-1.7", b"\xff\xd8"])
    def test_no_image(self, data):
        assert refusal(data).finding_id == "IMAGE_NOT_AN_IMAGE"

    @pytest.mark.parametrize("file_format", images.FORMATS)
    def test_half_a_file_is_truncated(self, file_format):
        data = encode(picture(), file_format)

        assert refusal(data[: len(data) * 6 // 10]).finding_id == "IMAGE_TRUNCATED"

    def test_a_jpeg_that_lacks_its_last_rows_is_truncated(self):
        data = encode(picture(640, 480))

        assert refusal(data[:-100]).finding_id == "IMAGE_TRUNCATED"

    def test_a_damaged_png_is_undecodable(self):
        data = bytearray(encode(picture(), "PNG"))
        data[data.index(b"IDAT") + 8] ^= 0xFF

        assert refusal(bytes(data)).finding_id == "IMAGE_UNDECODABLE"

    @pytest.mark.parametrize("file_format", images.FORMATS)
    def test_too_many_pixels_are_refused_before_decoding(self, file_format):
        data = encode(picture(100, 80), file_format)

        assert images.decode(data, max_pixels=8000).shape == (80, 100, 3)
        error = refusal(data, max_pixels=7999)
        assert error.finding_id == "IMAGE_TOO_LARGE"
        assert "100 × 80" in error.message
        with pytest.raises(ImageError):
            images.probe(data, max_pixels=7999)

    def test_a_png_that_claims_a_trillion_pixels_is_too_large(self):
        data = bytearray(encode(picture(), "PNG"))
        data[16:24] = struct.pack(">II", 1_000_000, 1_000_000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))

        assert refusal(bytes(data)).finding_id == "IMAGE_TOO_LARGE"

    def test_a_limit_above_pillows_own_is_ours_alone(self):
        """Pillow would raise from 179 million pixels on."""
        data = encode_image(Image.new("1", (20_000, 9_500)), "PNG")

        assert images.probe(data, max_pixels=200_000_000).width == 20_000

    def test_a_jpeg_of_thousands_of_scans_is_refused_at_once(self):
        data = encode(picture(), "JPEG", progressive=True)
        last_scan = data[data.rindex(b"\xff\xda") : -2]

        assert "scans" in refusal(data[:-2] + last_scan * 200 + data[-2:]).message

    def test_a_jpeg_that_is_not_progressive_may_have_no_more_scans(self):
        """One for each channel, as old cameras write them, is fine."""
        data = encode(picture(1024, 1024), "JPEG", subsampling=0)
        start = data[: data.index(b"\xff\xda")]
        scans = [b"\xff\xda\0\x08\x01%c\0\0\x3f\0" % channel for channel in (1, 2, 3)]

        assert decode_2_megapixels(start + b"".join(scans) + b"\xff\xd9").shape == (1024, 1024, 3)
        with pytest.raises(ImageError, match="scans"):
            decode_2_megapixels(start + b"".join(scans) * 333 + b"\xff\xd9")

    def test_a_jpeg_of_segments_without_end_is_refused_at_once(self):
        """They are not all looked at."""
        data = encode(picture())
        segments = b"\xff\xfe\0\x02" * 20_000 + b"\xff\xfe\0\xfe" + b"\xff\xda" * 126

        assert "scans" in refusal(data[:2] + segments + data[2:]).message

    @pytest.mark.parametrize("options", [{}, {"progressive": True}])
    def test_what_looks_like_a_scan_in_metadata_or_behind_the_image_is_none(self, options):
        """A thumbnail, and the film that a phone appends."""
        data = encode(picture(), "JPEG", **options)
        thumbnails = b"\xff\xe1\x03\xea" + b"\xff\xda" * 500

        odd = data[:2] + thumbnails + data[2:] + b"\xff\xda" * 500

        assert np.array_equal(decode(odd), decode(data))

    def test_64_megapixels_are_the_most_unless_the_operator_says_otherwise(self):
        limit = ServiceSettings.model_fields["max_image_pixels"].default
        largest, larger = (
            encode_image(Image.new("1", (width, 8000)), "PNG") for width in (8000, 8001)
        )

        assert images.probe(largest, max_pixels=limit).width == 8000
        with pytest.raises(ImageError, match="64000000 allowed"):
            images.probe(larger, max_pixels=limit)


def test_1000_mutated_images_raise_nothing_but_image_errors():
    """Also: what is decoded is a picture within the limit."""
    rng = random.Random(0)
    originals = [
        *(encode(picture(), file_format) for file_format in images.FORMATS),
        encode(picture(), "JPEG", progressive=True),
        encode_image(Image.fromarray(picture()).convert("CMYK"), "JPEG"),
        encode(picture()[:, :, 0].astype(np.uint16) * 200, "PNG"),
        encode(picture()[:, :, 0].astype(np.uint16) * 200, "TIFF", compression="tiff_lzw"),
        encode(picture(), "TIFF", compression="jpeg"),
        encode_image(Image.fromarray(picture()).convert("P"), "PNG", transparency=3),
        rotated_jpeg(picture(), 6),
    ]
    refusals = []
    for _ in range(1000):
        data = mutate(rng, rng.choice(originals), originals)
        try:
            probed = images.probe(data, max_pixels=LIMIT)
            info, pixels = images.read(data, max_pixels=LIMIT, at_least_px=rng.choice([None, 8]))
        except ImageError as error:
            refusals.append(error)
        else:
            assert probed == info
            assert pixels.dtype == np.uint8
            assert 0 < pixels.shape[0] * pixels.shape[1] <= LIMIT
            assert pixels.shape[2:] == (3,)

    assert 300 < len(refusals) < 1000  # the mutations matter, and some files survive them
    assert {error.finding_id for error in refusals} >= {
        "IMAGE_NOT_AN_IMAGE",
        "IMAGE_TRUNCATED",
        "IMAGE_UNDECODABLE",
        "IMAGE_TOO_LARGE",
    }
    assert all(error.message for error in refusals)


def test_no_torch_is_imported():
    """An import job reads images without the 0.7 GiB that torch takes."""
    code = "import sys, common.data.images; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def mutate(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Damage a file as transfers, disks and attackers do."""
    mutated = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(max(1, min(len(mutated), rng.choice([40, 400, len(mutated)]))))
        match rng.randrange(6):
            case 0:
                del mutated[start:]
            case 1:
                for offset in rng.choices(range(start, len(mutated)), k=4) if mutated else ():
                    mutated[offset] = rng.randrange(256)
            case 2:
                mutated[start : start + rng.randint(1, 64)] = b""
            case 3:
                mutated[start:start] = rng.randbytes(rng.randint(1, 64))
            case 4:
                mutated[start : start + 4] = rng.choice(
                    [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"]
                )
            case 5:
                other = rng.choice(others)
                mutated[start:] = other[min(start, len(other)) :]
    return bytes(mutated)


def png_rgb16(pixels: np.ndarray) -> bytes:
    """A PNG with 16 bits a colour, which Pillow cannot write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
