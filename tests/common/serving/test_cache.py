"""Networks in memory, with loads that wait for the test."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from common.errors import Internal, NotFound, WrongState
from common.reasons import Reason
from common.serving.cache import ModelCache
from common.serving.metrics import PredictMetrics


class Loads:
    """A bucket with models of 10 bytes."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error: Exception | None = None

    def read(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, weights_size_bytes=10)

    def load(self, model: SimpleNamespace) -> SimpleNamespace:
        assert self.may_go_on.wait(10)
        if self.error:
            raise self.error
        self.loaded.append(model.name)
        return SimpleNamespace(name=model.name, size_bytes=10)


@pytest.fixture
def loads():
    return Loads()


def cache_of(loads: Loads, capacity_bytes: int = 25, min_stay_s: float = 0.0) -> ModelCache:
    return ModelCache(
        loads.read,
        loads.load,
        capacity_bytes=capacity_bytes,
        metrics=PredictMetrics(CollectorRegistry()),
        min_stay_s=min_stay_s,
    )


async def use(cache: ModelCache, name: str) -> None:
    cache.unpin(cache.pin(name) or await cache.load(name))


async def test_a_load_is_shared_and_does_not_block_the_loop(loads):
    cache = cache_of(loads)
    loads.may_go_on.clear()
    waiting = [asyncio.create_task(cache.load("a")) for _ in range(10)]
    await asyncio.sleep(0.05)  # the loop goes on
    assert not any(task.done() for task in waiting)
    assert cache.pin("a") is None
    loads.may_go_on.set()
    entries = await asyncio.gather(*waiting)

    assert loads.loaded == ["a"]
    assert all(entry is entries[0] for entry in entries)
    assert entries[0].users == 10


async def test_a_caller_that_hangs_up_does_not_end_the_load_of_others(loads):
    cache = cache_of(loads)
    loads.may_go_on.clear()
    first, second = (asyncio.create_task(cache.load("a")) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0.01)
    loads.may_go_on.set()

    assert (await second).loaded.name == "a"
    assert loads.loaded == ["a"]


async def test_the_least_recently_used_leaves(loads):
    cache = cache_of(loads)
    for name in ("a", "b", "a", "c", "a", "c", "b"):
        await use(cache, name)

    assert loads.loaded == ["a", "b", "c", "b"]


async def test_memory_in_use_counts_until_its_last_user_is_done(loads):
    """The third model waits; it does not fail, nor does it exceed the memory."""
    cache = cache_of(loads)
    held = [await cache.load("a"), await cache.load("b")]
    third = asyncio.create_task(cache.load("c"))
    await asyncio.sleep(0.05)
    assert not third.done()
    assert held[0].loaded.name == "a"  # still there for its user
    cache.unpin(held[0])
    await asyncio.wait_for(third, 10)

    assert loads.loaded == ["a", "b", "c"]
    assert cache._used_bytes <= 25


async def test_only_as_many_leave_as_must(loads):
    """Room that is being made already is not made again."""
    cache = cache_of(loads, capacity_bytes=35)
    held = [await cache.load(name) for name in "abc"]
    fourth = asyncio.create_task(cache.load("d"))
    await asyncio.sleep(0.05)
    left = [entry.loaded.name for entry in held if entry.has_left]
    cache.unpin(held[0])
    await asyncio.wait_for(fourth, 10)

    assert left == ["a"]
    assert cache.pin("b")
    assert cache.pin("c")


async def test_one_that_nobody_uses_leaves_first(loads):
    cache = cache_of(loads)
    held = await cache.load("a")
    await use(cache, "b")
    await asyncio.wait_for(cache.load("c"), 10)

    assert not held.has_left
    assert cache.pin("b") is None


async def test_a_model_stays_for_a_while_so_that_two_do_not_thrash(loads):
    cache = cache_of(loads, capacity_bytes=15, min_stay_s=0.3)
    await use(cache, "a")
    started = time.monotonic()
    await use(cache, "b")

    assert time.monotonic() - started > 0.25


async def test_a_model_larger_than_all_memory_is_refused(loads):
    with pytest.raises(WrongState) as caught:
        await cache_of(loads, capacity_bytes=9).load("a")

    assert caught.value.reason == "MODEL_TOO_LARGE"


async def test_a_failed_load_is_tried_again(loads):
    cache = cache_of(loads)
    loads.error = NotFound(Reason.RESOURCE_NOT_FOUND, "none")
    with pytest.raises(NotFound):
        await cache.load("a")
    loads.error = None

    assert (await cache.load("a")).loaded
    assert cache._used_bytes == 10


async def test_a_damaged_model_is_not_read_again_for_each_call(loads, monkeypatch):
    cache = cache_of(loads)
    loads.error = Internal(Reason.MODEL_DAMAGED, "damaged")
    with pytest.raises(Internal):
        await cache.load("a")
    loads.error = None
    with pytest.raises(Internal):
        await cache.load("a")
    assert loads.loaded == []

    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 60)
    monkeypatch.setattr("common.serving.cache.time", later)
    assert (await cache.load("a")).loaded


async def test_a_forgotten_model_goes_with_its_last_user(loads):
    cache = cache_of(loads)
    entry = await cache.load("a")
    cache.forget("a")
    assert cache.pin("a") is None
    assert entry.loaded
    cache.unpin(entry)

    assert entry.network is None
    assert cache._used_bytes == 0
