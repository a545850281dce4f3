"""The client's way from masks to polygons, which is that of the server's exports."""

import numpy as np
import pytest

from client.outlines import polygon
from common.masks import contours, rle


@pytest.mark.parametrize("density", [0.0, 0.03, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_polygons_are_those_of_exports(seed, density):
    """The client knows only the contract, so that it has its own; both draw the very mask."""
    rng = np.random.default_rng(seed)
    mask_HW = (rng.random(rng.integers(1, 30, 2)) < density).astype(np.uint8)
    encoded = rle.encode(mask_HW)

    corners = polygon(mask_HW)

    ring = np.array(corners, np.float64).ravel()
    assert rle.from_polygons([ring], *mask_HW.shape) == encoded
    assert [list(corner) for corner in corners] == contours.polygon(encoded).tolist()
