"""Reads the members of a zip, tar or tar.gz one after the other, whatever the bytes are.

The only error is `InvalidInput`, and no header makes it take more than a bounded piece of memory.
What the members are called and how much comes out is for the caller to judge.
"""

from __future__ import annotations

import errno
import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Protocol

from common.errors import InvalidInput
from common.names import shorten
from common.reasons import Reason
from common.settings import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_CHUNK_BYTES = 256 * 1024
# A zip's directory is held in memory; 128 MiB are about a million files.
_MAX_ZIP_DIRECTORY_BYTES = 128 * MIB
# Of a tar: the longest header that is no member, such as a long name or the attributes of a file,
# which Linux limits to 64 KiB, and how many may follow each other.
_MAX_TAR_HEADER_BYTES = 256 * 1024
_MAX_TAR_HEADERS = 8
# What may follow the end of a tar, which pads itself to 10 KiB.
_MAX_TAR_END_BYTES = MIB


class Kind(Enum):
    """What a member is."""

    FILE = auto()
    FOLDER = auto()
    LINK = auto()
    DEVICE = auto()


class Readable(Protocol):
    """What bytes can be read from, one piece after the other."""

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes; none at the end."""


class Item(NamedTuple):
    """A member: its name as written, what it is, and its bytes, to be read before the next."""

    name: str
    kind: Kind
    file: Readable


def read_members(archive: Path, on_bytes: Callable[[int], None]) -> Iterator[Item]:
    """Yield the members of an archive of any kind.

    Args:
        archive: The file.
        on_bytes: Called with the number of bytes whenever some are unpacked, those of a tar's
            headers included; may raise to refuse them.
    """
    with archive.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if start[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
            yield from _read_zip(archive, on_bytes)
        elif start[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield from _read_tar(_Counted(unpacked, on_bytes))
        elif _tar_header(start) is not None:
            yield from _read_tar(_Counted(file, on_bytes))
        else:
            raise InvalidInput(
                Reason.ARCHIVE_KIND_UNKNOWN,
                "The file is no zip, tar or tar.gz: its first bytes are "
                f"{start[:8].hex(' ') or 'missing'}. Pack the data set as one of these.",
            )


def read_chunk(file: Readable, size: int = _CHUNK_BYTES) -> bytes:
    """Read the next bytes of a member; none at its end.

    Raises:
        InvalidInput: They cannot be unpacked, or are not those that were packed.
    """
    with _corrupt_if_unreadable():
        return file.read(size)


class _Counted:
    """Says how many bytes are read."""

    def __init__(self, file: Readable, on_bytes: Callable[[int], None]) -> None:
        self._file = file
        self._on_bytes = on_bytes

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._on_bytes(len(data))
        return data


# Zip.


class _GuardedFile(io.BufferedReader):
    """Refuses to be read in a piece that only a forged directory asks for."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_ZIP_DIRECTORY_BYTES:
            raise corrupt(
                "it lists more files than a zip may; a tar may have as many, if they are there"
            )
        return super().read(size)


def _read_zip(path: Path, on_bytes: Callable[[int], None]) -> Iterator[Item]:
    with _GuardedFile(io.FileIO(path)) as file:
        with _corrupt_if_unreadable():
            archive = zipfile.ZipFile(file)
        for info in archive.infolist():
            name = _zip_name(info)
            if info.flag_bits & 0x1:
                raise corrupt(f"{shorten(name)!r} is encrypted; pack it without a password")
            # Others are rare, and give no bound on the memory that a piece of them unpacks to.
            if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise corrupt(
                    f"{shorten(name)!r} is packed by method {info.compress_type}; pack it by the "
                    "usual one, deflate"
                )
            with _corrupt_if_unreadable():
                member = archive.open(info)
            with member:
                yield Item(name, _zip_kind(info), _Counted(member, on_bytes))


def _zip_name(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 0x800:  # the name is marked as UTF-8
        return info.filename
    return _text(info.filename.encode("cp437"))


def _zip_kind(info: zipfile.ZipInfo) -> Kind:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return Kind.LINK
    if info.filename.endswith(("/", "\\")) or stat.S_ISDIR(mode):
        return Kind.FOLDER
    return Kind.FILE if stat.S_IFMT(mode) in {0, stat.S_IFREG} else Kind.DEVICE


# Tar. The standard library parses a header; the rest is read here, strictly forward and with a
# limit on every piece, where the library would read headers of any size into memory.

_TAR_KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.CONTTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.FOLDER,
    tarfile.LNKTYPE: Kind.LINK,
    tarfile.SYMTYPE: Kind.LINK,
    tarfile.CHRTYPE: Kind.DEVICE,
    tarfile.BLKTYPE: Kind.DEVICE,
    tarfile.FIFOTYPE: Kind.DEVICE,
}


class _TarMember:
    """The bytes of a member of a tar, up to its end and no further."""

    def __init__(self, stream: Readable, size: int) -> None:
        self._stream = stream
        self._left = size
        self._padding = -size % tarfile.BLOCKSIZE

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, self._left)) if self._left else b""
        if self._left and not data:
            raise EOFError
        self._left -= len(data)
        return data

    def skip_rest(self) -> None:
        while self._left:
            read_chunk(self)
        _read_exactly(self._stream, self._padding)


def _read_tar(stream: Readable) -> Iterator[Item]:
    long_name: bytes | None = None
    size: int | None = None
    headers = 0
    while any(block := _read_exactly(stream, tarfile.BLOCKSIZE)):
        info = _tar_header(block)
        if info is None:
            raise corrupt("it holds something that is no tar header")
        if info.size < 0:  # a read of so many bytes would read all there are
            raise corrupt(f"{shorten(info.name)!r} has a negative size")
        if info.type in _TAR_KINDS:
            kind = _TAR_KINDS[info.type]
            name = _text(long_name or info.name.encode("utf-8", "surrogateescape"))
            file = _TarMember(
                stream, (info.size if size is None else size) if kind is Kind.FILE else 0
            )
            yield Item(name, kind, file)
            file.skip_rest()
            long_name, size, headers = None, None, 0
            continue
        # What is no member says something about the next one.
        headers += 1
        if info.size > _MAX_TAR_HEADER_BYTES or headers > _MAX_TAR_HEADERS:
            raise corrupt("it has a header of absurd length")
        data = _read_exactly(stream, info.size + -info.size % tarfile.BLOCKSIZE)[: info.size]
        if info.type == tarfile.GNUTYPE_LONGNAME:
            long_name = data.rstrip(b"\0")
        elif info.type in {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE}:
            records = _pax_records(data)
            long_name = records.get(b"path", long_name)
            size = _pax_size(records)
        elif info.type not in {tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK, b"V"}:
            raise corrupt(
                f"{shorten(info.name)!r} is of the kind {info.type!r}; pack it as plain files"
            )
    # To the end, where gzip has its checksum.
    for _ in range(_MAX_TAR_END_BYTES // _CHUNK_BYTES):
        if not read_chunk(stream):
            return
    raise corrupt("something follows after its end")


def _tar_header(block: bytes) -> tarfile.TarInfo | None:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    """Parse lines of the form `length key=value`, where the length is that of the whole line."""
    records = {}
    start = 0
    while start < len(data):
        length_text = data[start : start + 8].partition(b" ")[0]
        length = int(length_text) if length_text.isdigit() and len(length_text) < 8 else 0
        end = start + length
        key, separator, value = data[start + len(length_text) + 1 : end].partition(b"=")
        if not separator or end > len(data) or not value.endswith(b"\n"):
            raise corrupt("it has a damaged extended header")
        if key.startswith(b"GNU.sparse."):
            raise corrupt("it has sparse files; pack it without --sparse")
        records[key] = value[:-1]
        start = end
    return records


def _pax_size(records: Mapping[bytes, bytes]) -> int | None:
    text = records.get(b"size")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise corrupt("it has a damaged extended header")
    return int(text)


def _read_exactly(stream: Readable, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = read_chunk(stream, size - len(data))
        if not chunk:
            raise corrupt("it ends early")
        data += chunk
    return data


# Both.


def _text(raw: bytes) -> str:
    """Decode a name that should be UTF-8; old programs write other encodings, and do not say."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp437")


@contextmanager
def _corrupt_if_unreadable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Of these, gzip's own have no number, and a seek to a place that cannot be is EINVAL.
        if error.errno not in {None, errno.EINVAL}:
            raise
        raise corrupt(str(error)) from error
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
        *(NotImplementedError, RuntimeError, ValueError, OverflowError),
    ) as error:
        raise corrupt(str(error) or "it ends early") from error


def corrupt(why: str) -> InvalidInput:
    """Make the error for an archive that is not as it should be."""
    return InvalidInput(
        Reason.ARCHIVE_CORRUPT, f"The archive is corrupt or cannot be read: {why}. Pack it anew."
    )
