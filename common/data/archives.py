"""Unpacks an archive that nobody vouches for: zip, tar or tar.gz, told apart by content.

Members are read one after the other and written to one file, so that memory stays bounded and no
name is ever used as a path (see `common.data.tree`). Limits hold for the bytes that really come
out, not for what headers promise. Whatever is wrong refuses the whole archive.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.data.archive_members import Item, Kind, corrupt, read_chunk, read_members
from common.data.tree import Member, Tree, suffix
from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from common.data.findings import Report

# These bound what a path costs later.
_MAX_PATH_LENGTH = 1024
_MAX_PATH_DEPTH = 32

_ARCHIVE_SUFFIXES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"}
# What computers leave behind beside the user's files.
_JUNK = {"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin"}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an archive may hold at most.

    Attributes:
        unpacked_bytes: Of all that comes out, the headers of a tar included.
        members: Files and folders.
        ratio: Unpacked to packed bytes; photos have about 1, deflate can reach 1032. Small
            archives of very plain images reach hundreds, so it counts from `ratio_from_bytes` on.
        ratio_from_bytes: Unpacked bytes that are harmless at any ratio.
    """

    unpacked_bytes: int
    members: int
    ratio: int = 200
    ratio_from_bytes: int = 64 * MIB


def unpack(
    archive: Path,
    blob: Path,
    limits: Limits,
    report: Report,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Tree:
    """Unpack `archive` into the file `blob`.

    Args:
        archive: A zip, tar or tar.gz.
        blob: Written, also if the archive is refused; the caller removes it.
        limits: What is refused.
        report: Told of empty folders and of archives in the archive.
        on_progress: Called with the number of members so far; may raise to stop.

    Raises:
        InvalidInput: The archive is corrupt, unsafe, a bomb, or of another kind.
    """
    packed_bytes = archive.stat().st_size
    most_bytes = max(limits.ratio_from_bytes, limits.ratio * packed_bytes)
    members: dict[str, Member] = {}
    folders: set[str] = set()
    unpacked = position = 0

    def on_bytes(count: int) -> None:
        nonlocal unpacked
        unpacked += count
        if unpacked > limits.unpacked_bytes:
            raise _bomb(f"more than {limits.unpacked_bytes} bytes")
        if unpacked > most_bytes:
            raise _bomb(f"more than {limits.ratio} times the bytes of the archive")

    with blob.open("wb") as out:
        for count, item in enumerate(read_members(archive, on_bytes), start=1):
            on_progress(count)
            if count > limits.members:
                raise _bomb(f"more than {limits.members} files and folders")
            path = _checked_path(item)
            if path in members:
                raise corrupt(f"it has two files named {shorten(path)!r}")
            if item.kind is Kind.FOLDER:
                folders.add(path)
                continue
            keep = not _is_junk(path)
            start = position
            while chunk := read_chunk(item.file):
                if keep:
                    position += out.write(chunk)
            if keep:
                members[path] = Member(start, position - start)
            else:
                folders.add(path.rpartition("/")[0])
    full = {parent for path in members for parent in _parents(path)}
    empty = {path for path in folders - full if path and not _is_junk(path)}
    outer = {parent for path in empty for parent in _parents(path)}
    report.add("EMPTY_FOLDERS", sorted(empty - outer))
    report.add("NESTED_ARCHIVES", sorted(p for p in members if suffix(p) in _ARCHIVE_SUFFIXES))
    return Tree(blob, members, sorted(empty))


def _checked_path(item: Item) -> str:
    """Return the path with plain slashes; the accents of a name are always composed (NFC)."""
    name = unicodedata.normalize("NFC", item.name.replace("\\", "/"))
    parts = [part for part in name.split("/") if part not in {"", "."}]
    problem = ""
    if item.kind is Kind.LINK:
        problem = "is a link; pack the files themselves"
    elif item.kind is Kind.DEVICE:
        problem = "is a device or a pipe; pack files and folders only"
    elif name.startswith("/") or (parts and re.match("[A-Za-z]:", parts[0])):
        problem = "is an absolute path; pack the folder from outside, by its name"
    elif ".." in parts:
        problem = "leads out of the archive by '..'; pack the folder from outside, by its name"
    elif len(name) > _MAX_PATH_LENGTH or len(parts) > _MAX_PATH_DEPTH:
        problem = (
            f"is longer than {_MAX_PATH_LENGTH} characters or deeper than {_MAX_PATH_DEPTH} "
            "folders; pack it with shorter names"
        )
    elif not parts and item.kind is Kind.FILE:
        problem = "is a file without a name; pack the data set anew"
    if problem:
        raise InvalidInput(
            Reason.ARCHIVE_UNSAFE_PATH,
            f"The archive is refused: {shorten(item.name)!r} {problem}.",
            member=shorten(item.name),
        )
    return "/".join(parts)


def _is_junk(path: str) -> bool:
    return any(part.startswith(".") or part.lower() in _JUNK for part in path.split("/"))


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _bomb(what: str) -> InvalidInput:
    return InvalidInput(
        Reason.ARCHIVE_BOMB,
        f"The archive is refused because it would unpack to {what}. Split it into several data "
        "sets, or ask the operator to raise the limit.",
    )
