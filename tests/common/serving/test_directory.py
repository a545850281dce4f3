"""Which model a name means."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from common.errors import NotFound, StorageUnavailable
from common.reasons import Reason
from common.serving.directory import Directory


class Bucket:
    """Says what a name means, and counts how often it is asked."""

    def __init__(self) -> None:
        self.model = "model-1"
        self.error: Exception | None = None
        self.asked = 0
        self.forgotten: list[str] = []
        self.directory = Directory(self.look_up, self.forgotten.append)

    def look_up(self, name: str) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return self.model


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("common.serving.directory.time", clock)
    return now


async def settle(bucket: Bucket) -> None:
    for _ in range(1000):
        await asyncio.sleep(0.001)
        if all(known.checking is None for known in bucket.directory._known.values()):
            return
    raise AssertionError("a check hangs")


async def test_a_name_is_looked_up_once_and_then_recalled(clock):
    bucket = Bucket()
    assert bucket.directory.recall("p") is None
    assert await bucket.directory.find("p") == "model-1"

    assert [bucket.directory.recall("p") for _ in range(10)] == ["model-1"] * 10
    assert bucket.asked == 1


async def test_a_name_in_use_is_checked_in_the_background(clock):
    bucket = Bucket()
    await bucket.directory.find("p")
    bucket.model = "model-2"
    clock[0] = 1.5
    assert [bucket.directory.recall("p") for _ in range(10)] == ["model-1"] * 10
    await settle(bucket)

    assert bucket.directory.recall("p") == "model-2"
    assert bucket.asked == 2


async def test_a_name_not_used_for_long_is_looked_up_first(clock):
    """Else the first call after a training would be answered by the old model."""
    bucket = Bucket()
    await bucket.directory.find("p")
    bucket.model = "model-2"
    clock[0] = 3600
    assert bucket.directory.recall("p") is None

    assert await bucket.directory.find("p") == "model-2"


async def test_what_is_gone_is_forgotten(clock):
    bucket = Bucket()
    await bucket.directory.find("p")
    bucket.error = NotFound(Reason.RESOURCE_NOT_FOUND, "none")
    clock[0] = 1.5
    bucket.directory.recall("p")
    await settle(bucket)

    assert bucket.directory.recall("p") is None
    assert bucket.forgotten == ["model-1"]
    with pytest.raises(NotFound):
        await bucket.directory.find("p")


async def test_what_was_known_holds_while_the_bucket_does_not_answer(clock):
    bucket = Bucket()
    await bucket.directory.find("p")
    bucket.error = StorageUnavailable(Reason.STORAGE_UNAVAILABLE, "down")
    clock[0] = 3600

    assert await bucket.directory.find("p") == "model-1"
    assert bucket.directory.recall("p") == "model-1"
    assert bucket.forgotten == []
    with pytest.raises(StorageUnavailable):
        await bucket.directory.find("never seen")
