"""The files of an unpacked archive.

They lie one after the other in a single file on disk, so that no name from an archive is ever
used as a path, and any name that an archive can hold works.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

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


class Files(Protocol):
    """What is asked for files by their paths, perhaps from several threads."""

    def __contains__(self, path: object, /) -> bool:
        """Whether there is such a file."""

    def size(self, path: str, /) -> int:
        """Return the number of bytes of a file."""

    def read(self, path: str, /) -> bytes:
        """Read a whole file."""

    def close(self) -> None:
        """Let go of what was held to read them."""


class Tree:
    """Files by their path in the archive, in the order of their paths.

    Attributes:
        files: All paths.
        images: Those of files that promise an image by their suffix, or begin like one.
        folder: Where there is space on disk, as long as the tree is open.
        told: What the request says of the files, by the fields of `HuggingFaceSource`, e.g.
            `image_column`.
    """

    def __init__(
        self, blob: Path, members: Mapping[str, Member], empty_folders: Sequence[str] = ()
    ) -> None:
        self._members = members
        self._inner: Files | None = None
        self.folder = blob.parent
        self.told: Mapping[str, str] = {}
        self._descriptor = os.open(blob, os.O_RDONLY)
        self.files = sorted(members)
        self.images = [
            path
            for path in self.files
            if suffix(path) in IMAGE_SUFFIXES or self._begins_like_image(path)
        ]
        self.empty_folders = sorted(empty_folders)

    def __contains__(self, path: str) -> bool:
        return path in self._members or (self._inner is not None and path in self._inner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._inner is not None:
            self._inner.close()
        os.close(self._descriptor)

    def attach(self, inner: Files) -> None:
        """Add files that lie inside of others, such as the images in the rows of a table.

        They can be read like all others, by their paths, but are not among `files` and `images`.
        """
        self._inner = inner

    def size(self, path: str) -> int:
        """Return the number of bytes of a file."""
        inner = self._holder(path)
        return self._members[path].size if inner is None else inner.size(path)

    def _holder(self, path: str) -> Files | None:
        """Return what holds a file, if it is inside of another."""
        return None if path in self._members else self._inner

    def _begins_like_image(self, path: str) -> bool:
        offset, size = self._members[path]
        start = os.pread(self._descriptor, min(size, 16), offset)
        # A text may begin with the two letters of a BMP, but not go on with zeros in their place.
        return is_image(start) and (start[:2] != b"BM" or start[6:10] == bytes(4))

    def read(self, path: str) -> bytes:
        """Read a whole file; may be called from several threads."""
        inner = self._holder(path)
        if inner is not None:
            return inner.read(path)
        offset, size = self._members[path]
        return os.pread(self._descriptor, size, offset)

    def open(self, path: str) -> io.BufferedReader:
        """Open a file to be read piece by piece."""
        inner = self._holder(path)
        if inner is not None:
            return io.BufferedReader(io.BytesIO(inner.read(path)))
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
        self._start = offset
        self._position = offset
        self._end = offset + size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._position, os.SEEK_END: self._end}
        position = base[whence] + offset
        if position < self._start:
            raise ValueError("a position before the start of the file")
        self._position = position
        return position - self._start

    def tell(self) -> int:
        return self._position - self._start

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = os.pread(
            self._descriptor,
            max(0, min(len(buffer), self._end - self._position)),
            self._position,
        )
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def suffix(path: str) -> str:
    """Return the suffix in lower case, e.g. `.jpg`; empty if there is none."""
    return PurePosixPath(path).suffix.lower()
