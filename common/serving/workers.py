"""Threads that take work from a queue, and their way back to the event loop.

What a `ThreadPoolExecutor` and its futures do, at a tenth of their cost: nobody asks what became of
a piece of work, and the loop is woken once for all the answers that come together.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

log = logging.getLogger(__name__)


class Mailbox:
    """What threads want done in the event loop, in the order in which it came.

    Args:
        loop: The event loop; it runs until the threads have ended.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Callable[..., None], tuple[object, ...]]] = deque()
        self._is_awake = False  # the loop will look into the mailbox

    def post(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function, which does not raise, in the event loop. From any thread."""
        self._calls.append((function, arguments))
        if not self._is_awake:
            # Several threads may come here at once, which wakes the loop in vain, at worst.
            self._is_awake = True
            self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        # First: a call that comes later than this is not counted below, and wakes the loop again.
        self._is_awake = False
        for _ in range(len(self._calls)):
            function, arguments = self._calls.popleft()
            function(*arguments)


class Workers:
    """Some threads that take work in the order in which it comes. Thread-safe.

    Of threads that wait, the one that worked last goes on: what it needs is still in its core's
    cache.

    Args:
        count: Number of threads.
        name: What they are called.
        queue_size: Pieces of work that may wait, give or take a few; infinitely many if not given.
    """

    def __init__(self, count: int, name: str, *, queue_size: int = sys.maxsize) -> None:
        self._queue_size = queue_size
        self._work: deque[tuple[Callable[..., None], tuple[object, ...]] | None] = deque()
        self._idle: list[threading.Lock] = []  # of the threads that wait, the latest last
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_full(self) -> bool:
        """Whether no more work may wait."""
        return len(self._work) >= self._queue_size

    def submit(self, function: Callable[..., None], *arguments: object) -> bool:
        """Call a function in one of the threads; return False, and do not, if the queue is full."""
        if self.is_full:
            return False
        self._work.append((function, arguments))
        self._wake()
        return True

    def close(self) -> None:
        """End the threads, once all that was submitted before is done."""
        for _ in self._threads:
            self._work.append(None)
            self._wake()
        for thread in self._threads:
            thread.join()

    def _wake(self) -> None:
        """Wake a thread, if one waits."""
        try:
            wake = self._idle.pop()
        except IndexError:
            return
        wake.release()

    def _run(self) -> None:
        wake = threading.Lock()
        wake.acquire()
        while True:
            try:
                work = self._work.popleft()
            except IndexError:
                self._wait(wake)
                continue
            if work is None:
                return
            function, arguments = work
            try:
                function(*arguments)
            except Exception:
                log.exception("%s failed", function.__qualname__)

    def _wait(self, wake: threading.Lock) -> None:
        self._idle.append(wake)
        if self._work:  # it came just now, and woke nobody
            try:
                self._idle.remove(wake)
            except ValueError:
                pass  # somebody does wake this thread
            else:
                return
        wake.acquire()
