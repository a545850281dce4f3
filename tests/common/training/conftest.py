"""A data set and a pipeline in a real bucket, to be trained."""

from __future__ import annotations

import pytest

from tests.common.training.world import make_world


@pytest.fixture
def world(bucket, storage_settings, tmp_path):
    return make_world(storage_settings, tmp_path / "work")


@pytest.fixture
def dataset(world):
    """20 pictures of each of three colours; the classes are blue, green and red."""
    return world.dataset({"red": 20, "green": 20, "blue": 20})
