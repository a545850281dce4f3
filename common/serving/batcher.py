"""Batches images of many calls for the networks of one device.

Work-conserving: whenever the device is free, it takes what has queued, up to a batch; models take
turns, and so do the images and the tiles for one of them. What is admitted is bounded, and only
what can be done in time is admitted, so that under overload the device computes nothing in vain.

The device has no thread of its own. A thread that submits an image while the device is free leads:
it runs batches until nothing is queued, while others submit. So an image that comes alone is
decoded, computed and answered in one thread: each change of thread costs a good part of a call.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from common.errors import Exhausted
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from common.serving.metrics import PredictMetrics
    from common.serving.network import Network
    from common.training.learner import Output

# An estimate of the time to an answer may be this much too low.
_CAUTION = 1.2
_MIN_RETRY_S = 0.05

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Ticket:
    """A call that was admitted.

    Attributes:
        network: What it is for.
        deadline: By `time.monotonic`; infinite if the caller has none.
        in_tiles: Whether what is submitted are tiles of its images.
        abandoned: Set as soon as nobody waits for the answer; then nothing more is computed.
    """

    network: Network
    deadline: float
    in_tiles: bool = False
    abandoned: bool = False


@dataclass(eq=False, slots=True)
class Item:
    """An image that waits for the network.

    Attributes:
        ticket: The call that it is of.
        image_3SS: Resized, uint8.
        tag: What the caller wants back with the output.
        ready: When it was submitted.
    """

    ticket: Ticket
    image_3SS: Tensor
    tag: Any
    ready: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of some items.

    Attributes:
        items: All of the same network.
        outputs: One for each; empty if there is an error.
        error: Why there are none.
        started: When the network began.
        ended: When it was done.
    """

    items: list[Item]
    outputs: list[Output]
    error: Exception | None
    started: float
    ended: float


class _Lane:
    """A network's queue of images, or that of tiles."""

    def __init__(self, network: Network, in_tiles: bool) -> None:
        self.network = network
        self.in_tiles = in_tiles
        self.items: deque[Item] = deque()
        self.waiting = 0  # admitted and not yet with the network; not all of them are decoded yet


class Batcher:
    """The queue of a device. Thread-safe.

    Args:
        queue_size: Images of one model that may wait.
        batch_size: Images that a network gets at once.
        delay_s: How long an image may wait for others to fill a batch.
        finish: Called with each batch, and whether another waits for this thread; must not raise.
        metrics: Where figures go.
    """

    def __init__(
        self,
        *,
        queue_size: int,
        batch_size: int,
        delay_s: float,
        finish: Callable[[Batch, bool], None],
        metrics: PredictMetrics,
    ) -> None:
        self._queue_size = queue_size
        self._batch_size = batch_size
        self._delay_s = delay_s
        self._finish = finish
        self._metrics = metrics
        self._changed = threading.Condition()
        self._lanes: dict[tuple[Network, bool], _Lane] = {}
        self._turns: deque[_Lane] = deque()  # lanes with items, the next one first
        self._is_led = False  # a thread runs the device
        self._busy_until = 0.0
        self._closed = False
        metrics.waiting.set_function(self._waiting)

    def admit(
        self, network: Network, count: int, deadline: float, *, in_tiles: bool = False
    ) -> Ticket:
        """Make room for `count` images; each must then be submitted or withdrawn.

        A call with more images than the queue has room for is admitted if nothing waits. One with
        tiles always is: the caller bounds how many there are.

        Raises:
            Exhausted: The queue is full, or too long for the deadline.
        """
        with self._changed:
            if self._closed:
                raise Exhausted(
                    Reason.SERVER_STOPPING, "The server is stopping. Try again.", retry_after_s=1.0
                )
            lane = self._lanes.get((network, in_tiles))
            waiting = lane.waiting if lane else 0
            wait_s = self._expected_wait(lane, count)
            if not in_tiles and waiting and waiting + count > self._queue_size:
                self._metrics.queue_full.inc(count)
                raise Exhausted(
                    Reason.QUEUE_FULL,
                    f"{waiting} images wait for {network.model.name} and at most "
                    f"{self._queue_size} may, so there is no room for {count} more. "
                    "Try again later.",
                    retry_after_s=max(wait_s, _MIN_RETRY_S),
                    waiting=waiting,
                    queue_size=self._queue_size,
                )
            # A free device always tries: otherwise a wrong estimate would never be put right.
            if wait_s:
                own_s = network.times.expected(min(count, self._batch_size))
                self._check_time(wait_s, own_s, count, deadline)
            if lane is None:
                lane = self._lanes[network, in_tiles] = _Lane(network, in_tiles)
            lane.waiting += count
        return Ticket(network, deadline, in_tiles)

    def check_time(self, ticket: Ticket, count: int) -> None:
        """Check that `count` tiles of an image can be computed before its call's deadline.

        Raises:
            Exhausted: They probably cannot. A free device always tries; see `admit`.
        """
        with self._changed:
            if self._is_led:
                own_s = self._expected(ticket.network, count)
                wait_s = self._expected_wait(self._lane(ticket), count)
                self._check_time(wait_s, own_s, 1, ticket.deadline)

    def add_room(self, ticket: Ticket, count: int) -> None:
        """Make room for `count` tiles of an image that was admitted and is not submitted yet.

        However many wait already: the caller bounds how much.
        """
        with self._changed:
            self._lane(ticket).waiting += count

    def submit(self, *items: Item) -> None:
        """Queue images of a call that was admitted, and run the device if nobody does."""
        with self._changed:
            lane = self._lane(items[0].ticket)
            if not lane.items:
                self._turns.append(lane)
            lane.items.extend(items)
            if self._is_led:
                self._changed.notify()
                return
            self._is_led = True
            batch = self._next_batch()
        try:
            while batch:
                batch = self._run(*batch)
        except BaseException:
            with self._changed:
                self._is_led = False
            raise

    def withdraw(self, ticket: Ticket) -> None:
        """Give back the room of an image that was admitted and will not be submitted."""
        with self._changed:
            self._leave(self._lane(ticket))

    def close(self) -> None:
        """Admit nothing more, and return once what was admitted is done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._lanes and not self._is_led)

    # With the lock held.

    def _lane(self, ticket: Ticket) -> _Lane:
        return self._lanes[ticket.network, ticket.in_tiles]

    def _check_time(self, wait_s: float, own_s: float, count: int, deadline: float) -> None:
        needed_s = _CAUTION * (wait_s + own_s)
        if time.monotonic() + needed_s > deadline:
            self._metrics.too_late.inc(count)
            raise Exhausted(
                Reason.DEADLINE_TOO_SHORT,
                f"The answer is expected in {needed_s:.2f} s, after the call's deadline, "
                "because others wait before it. Try again later, or with a longer deadline.",
                retry_after_s=max(wait_s, _MIN_RETRY_S),
            )

    def _waiting(self) -> int:
        return sum(lane.waiting for lane in list(self._lanes.values()))

    def _expected_wait(self, own: _Lane | None, count: int) -> float:
        """Return how long the device does other things before the last of `count` more in a lane.

        Lanes take turns: of each of the others it does as many batches meanwhile, at most.
        """
        wait_s = max(0.0, self._busy_until - time.monotonic()) if self._is_led else 0.0
        turns = -(-((own.waiting if own else 0) + count) // self._batch_size)
        for lane in self._lanes.values():
            before = lane.waiting
            if lane is not own:
                before = min(before, turns * self._batch_size)
            wait_s += self._expected(lane.network, before)
        return wait_s

    def _expected(self, network: Network, count: int) -> float:
        """Return how long a network will take for images, in batches as large as may be."""
        batches, rest = divmod(count, self._batch_size)
        rest_s = network.times.expected(rest) if rest else 0.0
        return batches * network.times.expected(self._batch_size) + rest_s

    def _leave(self, lane: _Lane) -> None:
        lane.waiting -= 1
        if not lane.waiting:
            del self._lanes[lane.network, lane.in_tiles]
            if self._closed:
                self._changed.notify_all()

    def _next_batch(self) -> tuple[list[Item], list[Item]] | None:
        """Return what to compute, and what it is too late for; None if nothing is queued."""
        while self._turns:
            now = time.monotonic()
            for lane in self._turns:
                if self._fills_in(lane, now) <= 0:
                    self._turns.remove(lane)
                    return self._take(lane, now)
            self._changed.wait(min(self._fills_in(lane, now) for lane in self._turns))
        self._is_led = False
        if self._closed:
            self._changed.notify_all()
        return None

    def _fills_in(self, lane: _Lane, now: float) -> float:
        """Return how long to wait for a lane's batch to fill."""
        if len(lane.items) >= self._batch_size or self._closed:
            return 0.0
        return lane.items[0].ready + self._delay_s - now

    def _take(self, lane: _Lane, now: float) -> tuple[list[Item], list[Item]]:
        times, limit = lane.network.times, min(self._batch_size, lane.network.max_batch_size)
        batch: list[Item] = []
        late: list[Item] = []
        tightest = float("inf")
        while lane.items and len(batch) < limit:
            item = lane.items[0]
            deadline = min(tightest, item.ticket.deadline)
            in_time = now + times.expected(len(batch) + 1) <= deadline
            if batch and not in_time and not item.ticket.abandoned:
                break  # one of them would be late: for the next batch
            lane.items.popleft()
            self._leave(lane)
            if item.ticket.abandoned:
                self._metrics.cancelled.inc()
            elif in_time:
                batch.append(item)
                tightest = deadline
            else:
                late.append(item)
        if not batch:
            # An estimate may be wrong, and only computing puts it right.
            hopeful = next((item for item in late if item.ticket.deadline > now), None)
            if hopeful:
                late.remove(hopeful)
                batch.append(hopeful)
        if lane.items:
            self._turns.append(lane)
        self._busy_until = now + times.expected(len(batch)) if batch else now
        return batch, late

    # In the thread that leads.

    def _run(self, items: list[Item], late: list[Item]) -> tuple[list[Item], list[Item]] | None:
        """Compute a batch and return the next one; None if another thread may lead."""
        done = self._compute(items) if items else []
        if late:
            self._metrics.too_late.inc(len(late))
            done.append(_too_late(late))
        if self._delay_s:  # answers must not wait for the next batch to fill
            for batch in done:
                self._finish(batch, True)
            done = []
        with self._changed:
            following = self._next_batch()
        for batch in done:
            self._finish(batch, following is not None)
        return following

    def _compute(self, items: list[Item]) -> list[Batch]:
        network = items[0].ticket.network
        started = time.monotonic()
        outputs: list[Output] = []
        error: Exception | None = None
        try:
            outputs = network.forward([item.image_3SS for item in items])
        except Exception as failure:  # noqa: BLE001 - fails these calls, not the device's thread
            error = failure
        if isinstance(error, torch.OutOfMemoryError):
            error.with_traceback(None)  # it would keep the batch's memory
            if len(items) > 1:
                return self._compute_in_halves(items)
            error = Exhausted(
                Reason.OUT_OF_MEMORY,
                f"The device has not enough memory for one image with {network.model.name}.",
                retry_after_s=1.0,
            )
        ended = time.monotonic()
        if error is None:
            network.times.note(len(items), ended - started)
        self._metrics.forward_seconds.observe(ended - started)
        self._metrics.batch_size.observe(len(items))
        for item in items:
            self._metrics.queue_seconds.observe(started - item.ready)
        return [Batch(items, outputs, error, started, ended)]

    def _compute_in_halves(self, items: list[Item]) -> list[Batch]:
        network, half = items[0].ticket.network, len(items) // 2
        log.warning("%s: %s images at once are too many", network.model.name, len(items))
        network.max_batch_size = half
        return [*self._compute(items[:half]), *self._compute(items[half:])]


def _too_late(items: list[Item]) -> Batch:
    now = time.monotonic()
    error = Exhausted(
        Reason.DEADLINE_TOO_SHORT,
        "The image waited so long that its answer would come after the call's deadline. "
        "Try again later, or with a longer deadline.",
        retry_after_s=_MIN_RETRY_S,
    )
    return Batch(items, [], error, now, now)
