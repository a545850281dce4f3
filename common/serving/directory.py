"""Which model a name means, fresh to a second without a read from the bucket in a call's way."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import DomainError, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

# A name in use is looked up again this often, in the background.
_FRESH_S = 1.0
# An answer this old is not used before it is looked up again: nobody has asked for a while.
_STALE_S = 5.0
_MAX_NAMES = 10_000

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    model: str
    checked_at: float
    checking: asyncio.Task[str] | None = None


class Directory:
    """The models that names of models and pipelines stand for. Used from the event loop alone.

    While the bucket does not answer, what was known before holds.

    Args:
        look_up: From a name to that of an existing model; blocks, raises `DomainError`.
        forget: Told of a model that is gone.
    """

    def __init__(self, look_up: Callable[[str], str], forget: Callable[[str], None]) -> None:
        self._look_up = look_up
        self._forget = forget
        self._known: dict[str, _Known] = {}

    def recall(self, name: str) -> str | None:
        """Return the model, if it is known and fresh enough."""
        known = self._known.get(name)
        if known is None:
            return None
        age_s = time.monotonic() - known.checked_at
        if age_s > _STALE_S:
            return None
        if age_s > _FRESH_S and known.checking is None:
            self._check(name, known)
        return known.model

    async def find(self, name: str) -> str:
        """Look a name up.

        Raises:
            InvalidInput: It is no name of a model or pipeline.
            NotFound: There is none of that name.
            WrongState: The pipeline has no model.
            StorageUnavailable: The bucket does not answer, and the name was not known before.
        """
        known = self._known.get(name)
        if known is None:
            model = await asyncio.to_thread(self._look_up, name)
            if len(self._known) >= _MAX_NAMES:
                del self._known[next(iter(self._known))]
            self._known[name] = _Known(model, time.monotonic())
            return model
        return await asyncio.shield(known.checking or self._check(name, known))

    def _check(self, name: str, known: _Known) -> asyncio.Task[str]:
        known.checking = asyncio.create_task(self._refresh(name, known), name=f"look up {name}")
        known.checking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return known.checking

    async def _refresh(self, name: str, known: _Known) -> str:
        try:
            model = await asyncio.to_thread(self._look_up, name)
        except StorageUnavailable:
            log.warning("%s cannot be looked up; %s goes on answering", name, known.model)
        except DomainError:
            self._known.pop(name, None)
            self._forget(known.model)
            raise
        else:
            known.model = model
        finally:
            known.checking = None
        known.checked_at = time.monotonic()
        return known.model
