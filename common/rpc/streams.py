"""What a servicer must know about the end of a stream of requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

T = TypeVar("T")

# The cancellation follows within a millisecond; this leaves room for a busy machine.
_CANCELLATION_TAKES_S = 0.02


async def until_end(requests: AsyncIterable[T]) -> AsyncIterator[T]:
    """Yield a stream's requests, and return only if the caller has ended the stream.

    When a caller cancels, or vanishes, grpc.aio shows the handler an ordinary end of the stream
    in about half of the cases, and cancels it a moment later. Without this wait, half an upload
    looks like a whole one.
    """
    async for request in requests:
        yield request
    await asyncio.sleep(_CANCELLATION_TAKES_S)
