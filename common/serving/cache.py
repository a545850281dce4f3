"""Networks in memory: loaded off the event loop, bounded, the least recently used leave first."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from common.errors import DomainError, Internal, WrongState
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from common.serving.metrics import PredictMetrics
    from common.serving.network import Network
    from nocode.vision.v1.model_pb2 import Model

# Two models that fit in memory only one at a time take turns this slowly at most, so that the
# server answers more than it loads.
_MIN_STAY_S = 2.0
# A damaged model is not read again for each call.
_FAILURE_HOLDS_S = 5.0

log = logging.getLogger(__name__)


class Entry:
    """A network in the cache. While it has users, its memory counts even if it has left.

    Attributes:
        network: Once it is loaded.
        loading: Ends when it is, or cannot be.
        users: Calls that use it or wait for it.
        has_left: It is in the cache no more, and goes with its last user.
        size_bytes: The memory that it is given.
        loaded_at: By `time.monotonic`.
    """

    __slots__ = ("has_left", "loaded_at", "loading", "network", "size_bytes", "users")

    def __init__(self) -> None:
        self.network: Network | None = None
        self.loading: asyncio.Task[None] | None = None
        self.users = 0
        self.has_left = False
        self.size_bytes = 0
        self.loaded_at = 0.0

    @property
    def loaded(self) -> Network:
        """The network of a pinned entry."""
        if self.network is None:
            raise RuntimeError("the entry is not pinned")
        return self.network


class ModelCache:
    """Networks by the name of their model. Used from the event loop alone.

    Args:
        read: Returns a model; blocks.
        load: Makes the network of a model; blocks.
        capacity_bytes: Memory for weights; never exceeded.
        metrics: Where figures go.
        min_stay_s: How long a network stays at least once it is loaded.
    """

    def __init__(
        self,
        read: Callable[[str], Model],
        load: Callable[[Model], Network],
        *,
        capacity_bytes: int,
        metrics: PredictMetrics,
        min_stay_s: float = _MIN_STAY_S,
    ) -> None:
        self._read = read
        self._load = load
        self._capacity_bytes = capacity_bytes
        self._metrics = metrics
        self._min_stay_s = min_stay_s
        self._entries: dict[str, Entry] = {}  # the least recently used first
        self._used_bytes = 0
        self._leaving_bytes = 0  # of those used: what goes with its last users
        self._one_load = asyncio.Lock()
        self._freed = asyncio.Event()
        self._failures: dict[str, tuple[float, Internal]] = {}

    def pin(self, name: str) -> Entry | None:
        """Return a loaded network, which then stays until it is unpinned; None if it must load."""
        entry = self._entries.get(name)
        if entry is None or entry.network is None:
            return None
        entry.users += 1
        self._entries[name] = self._entries.pop(name)
        return entry

    async def load(self, name: str) -> Entry:
        """Load and pin a network. Calls that want the same one at the same time share the load.

        Raises:
            NotFound: There is no such model.
            WrongState: It is larger than all the memory for models.
            Internal: Its weights are damaged.
            StorageUnavailable: The bucket does not answer.
        """
        held_until, failure = self._failures.get(name, (0.0, None))
        if failure and time.monotonic() < held_until:
            raise failure
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = Entry()
            entry.loading = asyncio.create_task(self._fill(name, entry), name=f"load {name}")
            # Nobody may be left to hear of a failure.
            entry.loading.add_done_callback(lambda task: task.cancelled() or task.exception())
        entry.users += 1
        try:
            if entry.loading:
                await asyncio.shield(entry.loading)
        except BaseException:
            self.unpin(entry)
            raise
        return entry

    def unpin(self, entry: Entry) -> None:
        """End a use."""
        entry.users -= 1
        if entry.has_left and not entry.users:
            self._free(entry)

    def forget(self, name: str) -> None:
        """Let go of a model that was deleted."""
        if (entry := self._entries.get(name)) and entry.network:
            self._remove(name)

    async def _fill(self, name: str, entry: Entry) -> None:
        try:
            async with self._one_load:
                started = time.monotonic()
                model = await asyncio.to_thread(self._read, name)
                await self._make_room(model)
                entry.size_bytes = model.weights_size_bytes
                self._used_bytes += entry.size_bytes
                entry.network = await asyncio.to_thread(self._load, model)
                self._used_bytes += entry.network.size_bytes - entry.size_bytes
                entry.size_bytes = entry.network.size_bytes
        except BaseException as error:
            self._used_bytes -= entry.size_bytes
            del self._entries[name]
            self._metrics.loads_failed.inc()
            if isinstance(error, Internal):
                self._failures[name] = (time.monotonic() + _FAILURE_HOLDS_S, error)
            if not isinstance(error, DomainError):
                log.exception("%s cannot be loaded", name)
            raise
        self._failures.pop(name, None)
        entry.loading = None
        entry.loaded_at = time.monotonic()
        self._metrics.loads_succeeded.inc()
        self._metrics.load_seconds.observe(entry.loaded_at - started)
        self._show()
        log.info("%s loaded in %.2f s", name, entry.loaded_at - started)

    async def _make_room(self, model: Model) -> None:
        needed = model.weights_size_bytes
        if needed > self._capacity_bytes:
            raise WrongState(
                Reason.MODEL_TOO_LARGE,
                f"{model.name} takes {needed} bytes, but this server has {self._capacity_bytes} "
                "for all its models. The operator can raise NOCODE_MODEL_CACHE_BYTES.",
                field="name",
                size_bytes=needed,
                capacity_bytes=self._capacity_bytes,
            )
        while self._used_bytes + needed > self._capacity_bytes:
            self._freed.clear()
            oldest = self._least_needed()
            staying_bytes = self._used_bytes - self._leaving_bytes
            if oldest is None or staying_bytes + needed <= self._capacity_bytes:
                await self._freed.wait()  # those that have left are still in use
                continue
            stays_s = self._entries[oldest].loaded_at + self._min_stay_s - time.monotonic()
            if stays_s > 0:
                await asyncio.sleep(stays_s)
                continue
            self._metrics.evictions.inc()
            log.info("%s makes room for %s", oldest, model.name)
            self._remove(oldest)

    def _least_needed(self) -> str | None:
        """Return the network that was used least recently: of those not in use, if there are."""
        loaded = [(name, entry) for name, entry in self._entries.items() if entry.network]
        idle = (name for name, entry in loaded if not entry.users)
        return next(idle, loaded[0][0] if loaded else None)

    def _remove(self, name: str) -> None:
        entry = self._entries.pop(name)
        entry.has_left = True
        self._leaving_bytes += entry.size_bytes
        if not entry.users:
            self._free(entry)
        self._show()

    def _free(self, entry: Entry) -> None:
        self._used_bytes -= entry.size_bytes
        self._leaving_bytes -= entry.size_bytes
        entry.network = None
        self._freed.set()

    def _show(self) -> None:
        self._metrics.models_loaded.set(sum(1 for e in self._entries.values() if e.network))
        self._metrics.model_bytes.set(self._used_bytes)
