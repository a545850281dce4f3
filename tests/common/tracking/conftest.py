"""A real MLflow server, a data set in a real bucket, and jobs that are tracked."""

from __future__ import annotations

import itertools

import pytest

from common.tracking import sender
from deploy.local.mlflow import LocalMlflow
from tests.common.training.world import World, make_world

# Buckets are new in each test, but the server is the same: no name may come twice.
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory):
    """One for the tests of a module, as it takes seconds to start."""
    with LocalMlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """Let what was reported be sent soon."""
    monkeypatch.setattr(sender, "_INTERVAL_S", 0.1)


@pytest.fixture
def tracked(storage_settings, tmp_path):
    """Makes a world whose jobs are tracked by the server at an address."""

    def make(url: str, **settings: object) -> World:
        world = make_world(storage_settings, tmp_path / "work")
        changed = world.settings.model_copy(update={"mlflow_tracking_uri": url, **settings})
        return World(world.bucket, changed, _NUMBERS)

    return make
