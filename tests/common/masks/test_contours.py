"""From masks to polygons and back."""

import numpy as np
import pytest

from common.masks import contours, rle

RING = np.pad(np.pad(np.zeros((3, 4)), 2, constant_values=1), 3)


def again(mask):
    """The mask of its own polygon."""
    height, width = mask["size"]
    return rle.from_polygons([contours.polygon(mask).ravel().astype(float)], height, width)


@pytest.mark.parametrize("density", [0.02, 0.3, 0.5, 0.7, 0.98])
@pytest.mark.parametrize("seed", range(20))
def test_any_mask_is_its_polygon(density, seed):
    """Pixels alone, in many pieces, with holes, touching at corners, and at the image's edges."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2)
    mask = rle.encode(rng.random((height, width)) < density)

    assert again(mask) == mask


@pytest.mark.parametrize(
    ("inside_HW", "corners"),
    [
        pytest.param(np.ones((2, 3)), [[0, 0], [3, 0], [3, 2], [0, 2]], id="a whole image"),
        pytest.param(
            np.eye(2),
            [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0], [1, 1], [2, 1], [2, 2], [1, 2], [1, 1]],
            id="two pieces, and the way between them",
        ),
    ],
)
def test_corners(inside_HW, corners):
    assert contours.polygon(rle.encode(inside_HW)).tolist() == corners


def test_a_hole_is_outside():
    mask = rle.encode(RING)

    polygon = contours.polygon(mask)

    assert again(mask) == mask
    # Four corners of each border, the way to the inner one, and back to its own first corner.
    assert len(polygon) == 10


def test_nothing_has_no_corner():
    assert contours.polygon(rle.encode(np.zeros((4, 4)))).shape == (0, 2)
