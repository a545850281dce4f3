"""Images that are inside of annotation files, to be read like all others."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from common.data.tree import Member

if TYPE_CHECKING:
    from pathlib import Path


class EmbeddedImages:
    """Files by their paths, of which the bytes are in one file on disk that has no name.

    Args:
        folder: Where there is space on disk.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as the tree
        self._members: dict[str, Member] = {}
        self._end = 0

    def add(self, path: str, content: bytes) -> None:
        """Keep a file."""
        self._file.seek(self._end)
        self._file.write(content)
        self._file.flush()
        self._members[path] = Member(self._end, len(content))
        self._end += len(content)

    def __contains__(self, path: object, /) -> bool:
        return path in self._members

    def size(self, path: str, /) -> int:
        """Return the number of bytes of a file."""
        return self._members[path].size

    def read(self, path: str, /) -> bytes:
        """Read a whole file; may be called from several threads."""
        offset, size = self._members[path]
        return os.pread(self._file.fileno(), size, offset)

    def close(self) -> None:
        """Give the space back."""
        self._file.close()
