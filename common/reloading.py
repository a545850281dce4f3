"""What is read from files that are replaced while we run: certificates, keys, tokens."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Reloaded(Generic[T]):
    """A value that is read from files, and read again once they have changed.

    Files that cannot be used, such as a certificate whose key has not been replaced yet, leave the
    value as it is; the next `refresh` tries again.

    Args:
        what: What the files hold, for the log.
        paths: The files.
        read: Reads them.

    Raises:
        OSError: `read` cannot read the files.
        ValueError: `read` cannot use what they hold.
    """

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._what = what
        self._paths = tuple(paths)
        self._read = read
        self._loaded = self._state()
        self._refused: object = None
        self.value = read()

    def refresh(self) -> bool:
        """Read the files again if they have changed, and return whether the value is a new one."""
        state = self._state()
        if state == self._loaded:
            return False
        try:
            value = self._read()
            if self._state() != state:
                raise ValueError("they changed while they were being read")
        except Exception as error:  # noqa: BLE001 - whoever asks must be able to ask again
            if state != self._refused:  # said once for each state of the files
                self._refused = state
                _log.error("%s: the new files are not used: %s", self._what, error or repr(error))
            return False
        self._loaded = state
        self.value = value
        _log.info("%s: read again", self._what)
        return True

    def _state(self) -> tuple[object, ...]:
        """Return what differs once a file, or what a link leads to, has been replaced."""
        return tuple(_stat(path) for path in self._paths)


def _stat(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_dev, stat.st_size
