"""Masks are brought to the size and the orientation of their image."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from common.data.findings import Report
from common.data.images import ImageInfo
from common.masks.bands import bands
from common.masks.drafts import fit, resized, turned

LABELS = np.arange(6, dtype=np.int16).reshape(2, 3)


def info(width: int, height: int, orientation: int = 1) -> ImageInfo:
    return ImageInfo("JPEG", width, height, orientation, "RGB", 8, has_alpha=False)


def fitted(labels, image):
    report = Report()
    return fit(labels, "1.png", image, report), {f.id: list(f.examples) for f in report.findings()}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_a_viewer_turns_the_image(orientation):
    """Pillow is the judge."""
    picture = Image.fromarray(LABELS.astype(np.uint8))
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(file, "PNG", exif=exif)

    upright = np.asarray(ImageOps.exif_transpose(Image.open(file)))

    assert turned(LABELS, orientation).tolist() == upright.tolist()


def test_of_the_same_size():
    labels, findings = fitted(LABELS, info(3, 2))

    assert labels is LABELS
    assert findings == {}


def test_of_the_stored_size():
    """6: to be turned by 90° clockwise, so that the left column becomes the upper row."""
    labels, findings = fitted(LABELS, info(2, 3, 6))

    assert labels.tolist() == [[3, 0], [4, 1], [5, 2]]
    assert findings == {"MASKS_TURNED": ["1.png"]}


@pytest.mark.parametrize(("width", "height"), [(201, 200), (200, 201)])
def test_a_size_that_is_exact_is_not_unclear(width, height):
    """However little the sides differ."""
    labels, findings = fitted(np.zeros((height, width), np.int16), info(201, 200, 6))

    assert labels.shape == (200, 201)
    assert findings == ({} if width == 201 else {"MASKS_TURNED": ["1.png"]})


def test_of_the_upright_size():
    """Nothing is unclear where only one of both sizes fits."""
    labels, findings = fitted(LABELS, info(3, 2, 6))

    assert labels is LABELS
    assert findings == {}


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_maybe_turned(orientation):
    """These keep the size, so that nothing tells what the mask was drawn on."""
    labels, findings = fitted(LABELS, info(3, 2, orientation))

    assert labels is LABELS
    assert findings == {"MASKS_MAYBE_TURNED": ["1.png"]}


def test_scaled():
    labels, findings = fitted(LABELS, info(6, 4))

    assert labels.tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2
    assert findings == {"MASKS_SCALED": ["1.png: 3 × 2, its image 6 × 4"]}


def test_scaled_and_turned():
    labels, findings = fitted(LABELS, info(4, 6, 6))

    assert labels.shape == (6, 4)
    assert labels[0].tolist() == [3, 3, 0, 0]
    assert set(findings) == {"MASKS_SCALED", "MASKS_TURNED"}


def test_of_another_shape():
    labels, findings = fitted(LABELS, info(4, 4))

    assert labels is None
    assert findings == {"MASK_SIZE_DIFFERS": ["1.png: 3 × 2, its image 4 × 4"]}


@given(
    height=st.integers(1, 40), width=st.integers(1, 40),
    high=st.integers(1, 60), wide=st.integers(1, 60),
)  # fmt: skip
def test_resized_takes_the_pixel_at_the_centre(height, width, high, wide):
    picture = np.arange(height * width).reshape(height, width)

    found = resized(picture, wide, high)

    y, x = (np.arange(high) + 0.5) * height / high, (np.arange(wide) + 0.5) * width / wide
    # Where a centre is on the border of two pixels, either is nearest.
    ys, xs = np.divmod(found, width)
    assert (np.abs(ys + 0.5 - y[:, None]) <= 0.5 + 1e-9).all()
    assert (np.abs(xs + 0.5 - x) <= 0.5 + 1e-9).all()


@given(height=st.integers(1, 9000), width=st.integers(1, 9000))
def test_bands_are_all_rows_once(height, width):
    rows = list(bands(height, width))

    assert [row for band in rows for row in range(band.start, band.stop)] == list(range(height))
    assert all((band.stop - band.start - 1) * width < 1 << 22 for band in rows)


def test_another_size_takes_the_pixel_at_the_centre():
    row = np.array([[10, 20, 30, 40, 50, 60]])

    assert resized(row, 2, 1).tolist() == [[20, 50]]
    assert resized(row, 3, 1).tolist() == [[20, 40, 60]]
    assert resized(np.array([[1, 2]]), 4, 2).tolist() == [[1, 1, 2, 2]] * 2
