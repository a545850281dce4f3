"""How much each caller may call: so many calls a second, and so many at the same time."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from common.errors import Exhausted
from common.reasons import Reason

if TYPE_CHECKING:
    from types import TracebackType

_KNOWN_CALLERS = 10_000
"""More are forgotten, those first that have not called for the longest time."""
_RETRY_AT_ONCE_S = 1.0


class Share:
    """What a caller has used up; a context manager around each of its calls."""

    __slots__ = ("left", "running", "seen")

    def __init__(self, left: float, seen: float) -> None:
        self.left = left
        self.seen = seen
        self.running = 0

    def __enter__(self) -> None:
        self.running += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.running -= 1


class Limits:
    """A token bucket and a count of running calls for each caller.

    Args:
        rate: Calls a second; 0 means no limit.
        burst: Calls that may come at once after a pause; 0 means those of one second.
        at_once: Calls that may run at the same time; 0 means no limit.
    """

    def __init__(self, rate: float, burst: int, at_once: int) -> None:
        self._rate = rate
        self._burst = float(burst or max(rate, 1))
        self._at_once = at_once
        self._shares: OrderedDict[str, Share] = OrderedDict()

    def __bool__(self) -> bool:
        """Return whether there is a limit."""
        return bool(self._rate or self._at_once)

    def share(self, caller: str) -> Share:
        """Take a call from a caller's share; what is returned is entered while the call runs.

        Raises:
            Exhausted: The caller has no call left.
        """
        now = time.monotonic()
        share = self._shares.get(caller)
        if share is None:
            share = self._shares[caller] = Share(self._burst, now)
            self._forget()
        else:
            self._shares.move_to_end(caller)
        if self._at_once and share.running >= self._at_once:
            raise Exhausted(
                Reason.TOO_MANY_CALLS,
                f"{self._at_once} of your calls are running, and no more may run at the same "
                "time. Wait for one to end, or cancel one.",
                retry_after_s=_RETRY_AT_ONCE_S,
                limit=self._at_once,
            )
        if self._rate:
            share.left = min(self._burst, share.left + (now - share.seen) * self._rate)
            share.seen = now
            if share.left < 1:
                wait_s = (1 - share.left) / self._rate
                raise Exhausted(
                    Reason.RATE_LIMITED,
                    f"You may make {self._rate:g} calls a second. Try again in {wait_s:.2g} s.",
                    retry_after_s=wait_s,
                    calls_a_second=f"{self._rate:g}",
                )
            share.left -= 1
        return share

    def _forget(self) -> None:
        """Drop callers beyond the limit. One whose calls are running is kept, and counted right."""
        for _ in range(len(self._shares) - _KNOWN_CALLERS):
            name, share = next(iter(self._shares.items()))
            if share.running:
                self._shares.move_to_end(name)
            else:
                del self._shares[name]
