"""Makes an archive of a folder, so that a user need not."""

from __future__ import annotations

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

    The same folder gives the same bytes: names are sorted, times and owners left out.
    """
    if path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="nocode-vision-") as folder:
        archive = f"{folder}/{path.name or 'data'}.tar"
        with tarfile.open(archive, "w") as tar:
            for file in sorted(path.rglob("*")):
                if file.is_file() or (file.is_dir() and not any(file.iterdir())):
                    tar.add(file, file.relative_to(path).as_posix(), recursive=False, filter=_plain)
        yield path.__class__(archive)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
