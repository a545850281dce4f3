"""The files of an unpacked archive.

They lie one after the other in a single file on disk, so that no name from an archive is ever
used as a path, and any name that an archive can hold works.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Self

from common.data.images import is_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Names that promise an image. Those of kinds that we cannot read are here too: their owner
# should hear that they were left out, and why.
IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "gif", "tif", "tiff"),
        *("heic", "heif", "avif", "jp2", "jxl", "ppm", "pgm", "pbm", "pnm", "tga", "ico", "svg"),
    )
)


class Member(NamedTuple):
    """Where a file's bytes are."""

    offset: int
    size: int


class Tree:
    """Files by their path in the archive, in the order of their paths.

    Attributes:
        files: All paths.
        images: Those of files that promise an image by their suffix, or begin like one.
    """

    def __init__(
        self, blob: Path, members: Mapping[str, Member], empty_folders: Sequence[str] = ()
    ) -> None:
        self._members = members
        self._descriptor = os.open(blob, os.O_RDONLY)
        self.files = sorted(members)
        self.images = [
            path
            for path in self.files
            if suffix(path) in IMAGE_SUFFIXES or self._begins_like_image(path)
        ]
        self.empty_folders = sorted(empty_folders)

    def __contains__(self, path: str) -> bool:
        return path in self._members

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def size(self, path: str) -> int:
        """Return the number of bytes of a file."""
        return self._members[path].size

    def _begins_like_image(self, path: str) -> bool:
        offset, size = self._members[path]
        start = os.pread(self._descriptor, min(size, 16), offset)
        # A text may begin with the two letters of a BMP, but not go on with zeros in their place.
        return is_image(start) and (start[:2] != b"BM" or start[6:10] == bytes(4))

    def read(self, path: str) -> bytes:
        """Read a whole file; may be called from several threads."""
        offset, size = self._members[path]
        return os.pread(self._descriptor, size, offset)

    def open(self, path: str) -> io.BufferedReader:
        """Open a file to be read piece by piece."""
        return io.BufferedReader(_Slice(self._descriptor, *self._members[path]))

    def describe(self) -> str:
        """Say how many files of which kinds there are, for a message."""
        if not self.files:
            return "no file"
        kinds = Counter(suffix(path) or "without a suffix" for path in self.files)
        named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
        return f"{len(self.files)} files ({named}{', …' if len(kinds) > 5 else ''})"


class _Slice(io.RawIOBase):
    """A part of an open file."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._position = offset
        self._end = offset + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = os.pread(
            self._descriptor, min(len(buffer), self._end - self._position), self._position
        )
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def suffix(path: str) -> str:
    """Return the suffix in lower case, e.g. `.jpg`; empty if there is none."""
    return PurePosixPath(path).suffix.lower()
