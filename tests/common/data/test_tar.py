"""Tars whose headers nobody vouches for; see `test_archives` for what they share with zips."""

import gzip
import tarfile
import time

import pytest

from common.data import archive_members
from common.reasons import Reason
from tests.common.data.packing import pack_tar


def tar_member(kind: bytes, content: bytes, name: str = "x", size: int | None = None) -> bytes:
    header = tarfile.TarInfo(name)
    header.type = kind
    header.size = len(content) if size is None else size
    return header.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def negative_size(kind: bytes) -> bytes:
    """A header whose size, in the notation for more than 8 GiB, is -1."""
    header = bytearray(tar_member(kind, b""))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_tar_names_longer_than_a_header(kind, unpacked):
    """Both ways of writing long names are read."""
    files = {"d/" * 20 + "é" * 150 + ".jpg": b"1", "short.jpg": b"2"}

    assert unpacked(pack_tar(files, kind=kind))[0] == files


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(tar_member(b"x", b"", size=8_000_000_000), id="huge extended header"),
        pytest.param(tar_member(b"L", b"", size=8_000_000_000), id="huge name"),
        pytest.param(tar_member(b"g", b"9 a=bcd\n") * 9, id="headers without end"),
        pytest.param(tar_member(b"x", b"99 path=a\n"), id="record longer than its header"),
        pytest.param(tar_member(b"x", b"-1 path=a\n"), id="record of negative length"),
        pytest.param(tar_member(b"x", b"nonsense"), id="no record"),
        pytest.param(tar_member(b"x", b"13 size=-512\n"), id="negative size, pax"),
        *(
            pytest.param(negative_size(kind), id=f"negative size, {kind.decode()}")
            for kind in (b"0", b"5", b"x", b"g", b"L", b"1")
        ),
        pytest.param(tar_member(b"x", b"21 GNU.sparse.major=1\n"), id="sparse file, pax"),
        pytest.param(tar_member(b"S", b""), id="sparse file, gnu"),
        pytest.param(tar_member(b"M", b""), id="volume of several"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "gz"])
def test_forged_tar_headers(start, pack, refusal, monkeypatch):
    """They are refused before memory is taken for them."""
    pieces = []
    read = archive_members._Counted.read

    def record(self, size):
        pieces.append(read(self, size))
        return pieces[-1]

    monkeypatch.setattr(archive_members._Counted, "read", record)
    archive = pack(start + pack_tar({"a": bytes(2_000_000)}))

    assert refusal(archive).reason == Reason.ARCHIVE_CORRUPT
    assert max(map(len, pieces)) <= 512


def test_many_records_in_an_extended_header_take_little_time():
    """Each is looked at once: ten times as many take ten times as long, not a hundred times."""

    def seconds(count: int) -> float:
        data = b"5 a=\n" * count
        start = time.process_time()
        archive_members._pax_records(data)
        return time.process_time() - start

    few = min(seconds(20_000) for _ in range(5))

    assert min(seconds(200_000) for _ in range(3)) < 30 * few


def test_size_from_an_extended_header_counts(unpacked):
    """Files of more than 8 GiB have their size there; so may smaller ones."""
    archive = tar_member(b"x", b"10 size=3\n") + tar_member(b"0", b"abc", size=0) + bytes(1024)

    assert unpacked(archive)[0] == {"x": b"abc"}


def test_bomb_in_the_headers_of_a_tar(refusal):
    """They name no file, and are read all the same."""
    headers = tar_member(b"x", b"200000 comment=" + b"a" * 199_984 + b"\n")
    members = [headers * 7 + tar_member(b"0", b"", f"{i}.jpg") for i in range(10)]
    archive = gzip.compress(b"".join(members))

    error = refusal(archive, ratio_from_bytes=1_000_000)

    assert len(archive) * 200 < 14_000_000
    assert error.reason == Reason.ARCHIVE_BOMB
    assert "200 times" in error.message


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(pack_tar({"a": b"1"})[:1024], id="no end"),
        pytest.param(pack_tar({"a": b"1"}) + b"x" * 2_000_000, id="something after the end"),
    ],
)
def test_tar_with_a_strange_end(archive, refusal):
    assert refusal(archive).reason == Reason.ARCHIVE_CORRUPT
