"""Makes an archive of a folder, so that a user need not."""

from __future__ import annotations

import stat
import tarfile
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def as_archive(path: Path) -> Iterator[Path]:
    """Give `path` itself if it is a file, or a temporary tar of it if it is a folder.

    The same folder gives the same bytes: names are sorted, times and owners left out. Links are
    packed as what they point to.

    Raises:
        OSError: Something cannot be read, or a link points to nothing.
    """
    if path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="nocode-vision-") as folder:
        archive = f"{folder}/{path.name or 'data'}.tar"
        # Without `dereference`, a second hard link to a file would be packed as a link too.
        with tarfile.open(archive, "w", dereference=True) as tar:
            for file in _contents(path):
                if file != path:
                    name = file.relative_to(path).as_posix()
                    tar.add(file, name, recursive=False, filter=_plain)
        yield path.__class__(archive)


def _contents(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Give the files and empty folders below a folder, itself if it is empty.

    A link to a folder that it is in (`above`: device and inode of each) is left out: it has no end.
    """
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    entries = sorted(folder.iterdir())
    if not entries:
        yield folder
    for entry in entries:
        mode = entry.stat().st_mode
        if stat.S_ISDIR(mode):
            yield from _contents(entry, above | {identity})
        elif stat.S_ISREG(mode):
            yield entry


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
