"""Threads that take work from a queue: what a `ThreadPoolExecutor` does, at a tenth of its cost.

Nobody asks what became of the work, so there is no future for each piece of it.
"""

from __future__ import annotations

import logging
import sys
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


class Workers:
    """Some threads. Thread-safe.

    Args:
        count: Number of threads.
        name: What they are called.
        queue_size: Pieces of work that may wait, give or take a few; infinitely many if not given.
    """

    def __init__(self, count: int, name: str, *, queue_size: int = sys.maxsize) -> None:
        self._queue_size = queue_size
        self._queue: SimpleQueue[tuple[Callable[..., None], tuple[object, ...]] | None] = (
            SimpleQueue()
        )
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_full(self) -> bool:
        """Whether no more work may wait."""
        return self._queue.qsize() >= self._queue_size

    def submit(self, function: Callable[..., None], *arguments: object) -> bool:
        """Call a function in one of the threads; return False, and do not, if the queue is full."""
        if self.is_full:
            return False
        self._queue.put((function, arguments))
        return True

    def close(self) -> None:
        """End the threads, once all that was submitted before is done."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while work := self._queue.get():
            function, arguments = work
            try:
                function(*arguments)
            except Exception:
                log.exception("%s failed", function.__qualname__)
