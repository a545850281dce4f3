"""Lists over all tasks: the lists of several backends, merged newest first, page by page."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from common.errors import InvalidInput
from common.names import ALL_TASKS
from common.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from google.protobuf.descriptor import MethodDescriptor

    from gateway.backends import Backend

    Ask = Callable[[Backend, bytes], Awaitable[bytes]]
    """Calls the list's method on one backend."""

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 1000
# A client takes messages of 4 MiB unless told; a single resource may be larger.
_MAX_PAGE_BYTES = 3 * 1024**2


def is_list(method: MethodDescriptor) -> bool:
    """Return whether a method lists resources in pages (AIP-158)."""
    return "page_token" in method.input_type.fields_by_name


@dataclass(frozen=True)
class _Place:
    """How far a backend's list has been read."""

    page_token: str = ""
    """Of the page to go on with."""
    item: str = ""
    """Identity of the last item of it that was read; empty if none was."""
    time_ns: int = 0
    """When that item was made: where to go on if it has been deleted meanwhile."""
    at_end: bool = False

    def unread(self, items: Sequence[Any]) -> tuple[list[Any], bool]:
        """Return those of a page's items that come after this place.

        Also returns whether the place is settled, or must be looked for in the next page too:
        new items at the front of the list may have pushed it there.
        """
        if not self.item:
            return list(items), True
        identities = [_identity(item) for item in items]
        if self.item in identities:
            return list(items[identities.index(self.item) + 1 :]), True
        older = [item for item in items if _time_ns(item) < self.time_ns]
        return older, bool(older)


_START = _Place()


@dataclass(frozen=True)
class Source:
    """What a list is read from: all that a backend has, or one of its tasks."""

    backend: Backend
    task: str = ALL_TASKS

    @property
    def name(self) -> str:
        """What a page token calls it."""
        return self.backend.name if self.task == ALL_TASKS else self.task


class List:
    """A list method, over several sources."""

    def __init__(self, method: MethodDescriptor) -> None:
        self._name = method.name
        self._request = message_factory.GetMessageClass(method.input_type)
        self._response = message_factory.GetMessageClass(method.output_type)
        self._items = method.output_type.fields_by_number[1].name  # AIP-158: the items are first

    async def page(self, request: bytes, sources: Sequence[Source], ask: Ask) -> bytes:
        """Return a page of the list for the parent `tasks/-`.

        Fails if one source does: a list without its part would be wrong, and nobody would know.

        Raises:
            InvalidInput: The page size or the page token is wrong.
        """
        asked: Any = self._parse(request)
        size = _page_size(asked.page_size)
        places = self._places(asked.page_token, sources)
        asked.page_size = size
        parts = [
            _Part(self, asked, source, place, ask)
            for source, place in zip(sources, places, strict=True)
        ]
        await _all(part.fill() for part in parts)
        response: Any = self._response()
        items = getattr(response, self._items)
        page_bytes = 0
        while len(items) < size:
            # One after the other: at most one of them has to read on.
            filled = [part for part in parts if await part.fill()]
            if not filled:
                break
            newest = max(filled, key=_Part.time_ns)
            page_bytes += newest.size_bytes()
            if items and page_bytes > _MAX_PAGE_BYTES:
                break
            items.append(newest.take())
        response.next_page_token = self._token(parts)
        merged: bytes = response.SerializeToString()
        return merged

    def read_page(self, response: bytes) -> tuple[list[Any], str]:
        """Return the items of a backend's answer, and its next page token."""
        page: Any = self._response.FromString(response)
        return list(getattr(page, self._items)), page.next_page_token

    def _parse(self, request: bytes) -> Any:
        try:
            return self._request.FromString(request)
        except DecodeError:
            raise InvalidInput(
                Reason.REQUEST_UNREADABLE,
                f"The request's {len(request)} bytes are not a {self._name}Request.",
            ) from None

    def _token(self, parts: Sequence[_Part]) -> str:
        places = {part.source.name: part.place for part in parts}
        if all(place.at_end for place in places.values()):
            return ""
        state = {
            "list": self._name,
            "backends": {
                name: [place.page_token, place.item, place.time_ns, place.at_end]
                for name, place in places.items()
            },
        }
        return base64.urlsafe_b64encode(json.dumps(state).encode()).decode()

    def _places(self, token: str, sources: Sequence[Source]) -> list[_Place]:
        if not token:
            return [_START for _ in sources]
        try:
            state = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
            if state["list"] != self._name or len(state["backends"]) != len(sources):
                raise ValueError("of another list, or of a caller with other roles")
            return [_place(*state["backends"][source.name]) for source in sources]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise InvalidInput(
                Reason.PAGE_TOKEN_INVALID,
                "page_token is none that this method returned for the parent tasks/-. Send the "
                "next_page_token of the page before, or none to start from the first page.",
                field="page_token",
            ) from None


class _Part:
    """The list of one source, read page by page as it is needed."""

    def __init__(self, of: List, asked: Any, source: Source, place: _Place, ask: Ask) -> None:
        self.source = source
        self.place = place
        self._list = of
        self._asked = asked
        self._ask = ask
        self._unread: deque[Any] = deque()
        self._next_token = ""

    async def fill(self) -> bool:
        """Have an item at hand, and return whether there is one."""
        while not self._unread and not self.place.at_end:
            request = type(self._asked)()
            request.CopyFrom(self._asked)
            request.parent = f"tasks/{self.source.task}"
            request.page_token = self.place.page_token
            answer = await self._ask(self.source.backend, request.SerializeToString())
            items, self._next_token = self._list.read_page(answer)
            unread, is_settled = self.place.unread(items)
            self._unread.extend(unread)
            if not unread:
                self.place = self._next_page() if is_settled else self._next_page(self.place)
        return bool(self._unread)

    def time_ns(self) -> int:
        """Return when the item at hand was made."""
        return _time_ns(self._unread[0])

    def size_bytes(self) -> int:
        """Return how large the item at hand is."""
        size: int = self._unread[0].ByteSize()
        return size

    def take(self) -> Any:
        """Return the item at hand, and go on to the one after it."""
        item = self._unread.popleft()
        if self._unread:
            self.place = _Place(self.place.page_token, _identity(item), _time_ns(item))
        else:
            self.place = self._next_page()
        return item

    def _next_page(self, sought: _Place = _START) -> _Place:
        return replace(sought, page_token=self._next_token, at_end=not self._next_token)


def _identity(item: Any) -> str:
    # The name of an architecture is unique within its task only.
    return f"{getattr(item, 'task', '')}/{item.name}"


def _time_ns(item: Any) -> int:
    """Return when a resource was made; 0 for an architecture, so that these keep their order."""
    create_time = getattr(item, "create_time", None)
    return create_time.ToNanoseconds() if create_time else 0


def _page_size(asked: int) -> int:
    if asked < 0:
        raise InvalidInput(
            Reason.FIELD_OUT_OF_RANGE,
            f"page_size is {asked}. Send 1 to {_MAX_PAGE_SIZE}, or 0 for {_DEFAULT_PAGE_SIZE}.",
            field="page_size",
            value=asked,
        )
    return min(asked, _MAX_PAGE_SIZE) or _DEFAULT_PAGE_SIZE


def _place(page_token: object, item: object, time_ns: object, at_end: object) -> _Place:
    if (
        isinstance(page_token, str)
        and isinstance(item, str)
        and isinstance(time_ns, int)
        and isinstance(at_end, bool)
    ):
        return _Place(page_token, item, time_ns, at_end)
    raise ValueError("of another kind")


async def _all(fills: Iterable[Coroutine[Any, Any, bool]]) -> None:
    """Fill all parts at the same time; the first failure ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for fill in fills:
                group.create_task(fill)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
