"""Watching jobs: one reader of the bucket for each watched job, however many watch it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from common.errors import Stopping
from common.jobs import states
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from nocode.vision.v1 import job_pb2 as pb

    Read = Callable[[str, str | None], tuple[pb.Job, str] | None]

# A change is to be seen within a second.
POLL_S = 0.4


class Watches:
    """The jobs being watched in this process.

    Args:
        read: From a name and a version to the job and its version, or None if it is that version
            still. Blocks.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._feeds: dict[str, _Feed] = {}
        self._is_closed = False

    async def watch(self, name: str) -> AsyncGenerator[pb.Job]:
        """Yield a job now and whenever it has changed, until its last state.

        Of changes that come faster than they are taken, the last is yielded. What the reading
        raises is raised here.
        """
        if self._is_closed:
            raise _stopping()
        feed = self._feeds.get(name)
        if feed is None:
            feed = self._feeds[name] = _Feed(name, self._read)
        feed.watchers += 1
        try:
            async for job in feed.changes():
                yield job
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                feed.close()
                if self._feeds.get(name) is feed:
                    del self._feeds[name]

    def close(self) -> None:
        """End all watches, for good: they would go on for as long as their jobs do."""
        self._is_closed = True
        for feed in self._feeds.values():
            feed.close()
            feed.fail(_stopping())


def _stopping() -> Stopping:
    return Stopping(
        Reason.SERVER_STOPPING,
        "The server is stopping; the job goes on. Watch it again in a moment.",
        retry_after_s=1.0,
    )


class _Feed:
    """Reads one job again and again."""

    def __init__(self, name: str, read: Read) -> None:
        self.watchers = 0
        self._name = name
        self._read = read
        self._latest: pb.Job | None = None
        self._error: BaseException | None = None
        self._version = 0
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._keep_reading())

    async def changes(self) -> AsyncIterator[pb.Job]:
        seen = 0
        while True:
            while self._version == seen:
                await self._changed.wait()
            seen = self._version
            if self._error is not None:
                raise self._error
            job = self._latest
            assert job is not None  # noqa: S101 - there is a job or an error, or no new version
            yield job
            if states.ended(job.state):
                return

    def close(self) -> None:
        self._reader.cancel()

    def fail(self, error: BaseException) -> None:
        """Raise an error in all watchers."""
        self._error = error
        self._tell()

    async def _keep_reading(self) -> None:
        etag: str | None = None
        while self._latest is None or not states.ended(self._latest.state):
            try:
                answer = await asyncio.to_thread(self._read, self._name, etag)
            except Exception as error:  # noqa: BLE001 - raised again by every watcher
                self.fail(error)
                return
            if answer is not None:
                self._latest, etag = answer
                self._tell()
            await asyncio.sleep(POLL_S)

    def _tell(self) -> None:
        """Wake all watchers."""
        self._version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
