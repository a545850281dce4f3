"""Archives that nobody vouches for."""

import gzip
import io
import re
import struct
import tarfile
import zipfile

import pytest

from common.data import archive_members
from common.data.archives import Limits, unpack
from common.data.findings import Report
from common.reasons import Reason
from tests.common.data.packing import pack_tar, pack_tar_header, pack_zip

FILES = {"a/1.txt": b"one", "a/2.txt": b"", "b c/ü.txt": b"x" * 300_000}


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(pack_zip(FILES), id="zip"),
        pytest.param(pack_zip(FILES, zipfile.ZIP_STORED), id="zip, stored"),
        pytest.param(pack_tar(FILES), id="tar, pax"),
        pytest.param(pack_tar(FILES, kind=tarfile.GNU_FORMAT), id="tar, gnu"),
        pytest.param(pack_tar(FILES, kind=tarfile.USTAR_FORMAT), id="tar, ustar"),
        pytest.param(pack_tar(FILES, "w:gz"), id="tar.gz"),
        pytest.param(
            gzip.compress(pack_tar(FILES)[:1024]) + gzip.compress(pack_tar(FILES)[1024:]),
            id="tar.gz of two streams",
        ),
    ],
)
def test_content_decides_on_the_kind(archive, unpacked):
    """Nobody names the kind; every file comes out as it went in."""
    assert unpacked(archive) == (FILES, {})


def test_order_of_members_does_not_matter(unpacked):
    """The tree is sorted by path."""
    names = ["b/2", "a/1", "b/1", "a"]

    files, _ = unpacked(pack_tar({f"{name}.jpg": b"" for name in names}))

    assert list(files) == ["a.jpg", "a/1.jpg", "b/1.jpg", "b/2.jpg"]


# What is refused whole.


@pytest.mark.parametrize("pack", [pack_zip, pack_tar])
@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "a\\..\\x", "/etc/passwd", "\\\\server\\x", "C:\\x", "c:x", "a/.."],
)
def test_unsafe_paths(pack, name, refusal):
    """The member is named."""
    error = refusal(pack({"ok.jpg": b"1", name: b"1"}))

    assert error.reason == Reason.ARCHIVE_UNSAFE_PATH
    assert error.details["member"] == name
    assert repr(name) in error.message


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
)
def test_links_and_devices_in_a_tar(kind, refusal):
    header = tarfile.TarInfo("cats/1.jpg")
    header.type = kind
    header.linkname = "/etc/passwd"

    error = refusal(pack_tar_header(header))

    assert error.reason == Reason.ARCHIVE_UNSAFE_PATH
    assert error.details["member"] == "cats/1.jpg"


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010666])
def test_links_and_devices_in_a_zip(mode, refusal):
    info = zipfile.ZipInfo("cats/1.jpg")
    info.external_attr = mode << 16
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(info, "/etc/passwd")

    assert refusal(packed.getvalue()).reason == Reason.ARCHIVE_UNSAFE_PATH


@pytest.mark.parametrize("name", ["d/" * 40 + "x", "x" * 1025])
def test_absurd_names(name, refusal):
    assert refusal(pack_tar({name: b""})).reason == Reason.ARCHIVE_UNSAFE_PATH


@pytest.mark.parametrize("pack", [pack_zip, lambda files: pack_tar(files, "w:gz")])
def test_bomb_by_ratio(pack, refusal, unpacked):
    """What is small unpacked may be packed as tightly as it will."""
    archive = pack({"zeros": bytes(3_000_000)})

    assert refusal(archive, ratio_from_bytes=1_000_000).reason == Reason.ARCHIVE_BOMB
    assert unpacked(archive, ratio_from_bytes=3_100_000)[0]["zeros"] == bytes(3_000_000)


def test_a_bomb_as_one_meets_them(refusal):
    """100 MiB of zeros in 100 KB, with the limits that are in force."""
    archive = pack_zip({"zeros.jpg": bytes(100 * 1024**2)})

    error = refusal(archive, unpacked_bytes=10**12)

    assert len(archive) < 110_000
    assert error.reason == Reason.ARCHIVE_BOMB
    assert "200 times" in error.message


def test_bomb_by_total_size(refusal):
    error = refusal(pack_tar({"a": bytes(600), "b": bytes(600)}), unpacked_bytes=1000)

    assert error.reason == Reason.ARCHIVE_BOMB
    assert "1000 bytes" in error.message


def test_bomb_by_count(refusal):
    files = {f"{i}": b"" for i in range(11)}

    assert refusal(pack_zip(files), members=10).reason == Reason.ARCHIVE_BOMB


def test_bomb_in_what_is_ignored(refusal):
    """Files that are not kept are read all the same, and count."""
    archive = pack_tar({"__MACOSX/zeros": bytes(3_000_000)}, "w:gz")

    assert refusal(archive, ratio_from_bytes=1_000_000).reason == Reason.ARCHIVE_BOMB


def test_sizes_in_headers_are_not_believed(refusal):
    """A zip that claims to hold little is cut where its checksum no longer fits."""
    archive = bytearray(pack_zip({"zeros": bytes(3_000_000)}))
    directory = archive.rindex(b"PK\x01\x02")
    archive[directory + 24 : directory + 28] = struct.pack("<L", 10)

    assert refusal(bytes(archive)).reason == Reason.ARCHIVE_CORRUPT


@pytest.mark.parametrize("end", [0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("pack", [pack_zip, pack_tar, lambda f: pack_tar(f, "w:gz")])
def test_truncated(pack, end, refusal):
    files = {f"{i}.bin": bytes(range(256)) * 40 for i in range(3)}
    archive = pack(files).rstrip(b"\0") if pack is not pack_zip else pack(files)

    assert refusal(archive[: int(len(archive) * end)]).reason == Reason.ARCHIVE_CORRUPT


def test_checksums_are_checked(refusal):
    """Of zip for each file, of gzip for all."""
    stored = pack_zip({"a": b"hello world"}, zipfile.ZIP_STORED).replace(b"hello", b"jello", 1)
    zipped = bytearray(pack_tar({"a": b"hello"}, "w:gz"))
    zipped[-6] ^= 1  # in the CRC

    assert refusal(stored).reason == Reason.ARCHIVE_CORRUPT
    assert refusal(bytes(zipped)).reason == Reason.ARCHIVE_CORRUPT


def test_encrypted_zip(refusal):
    archive = bytearray(pack_zip({"a": b"1"}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(signature) + place] |= 1

    error = refusal(bytes(archive))

    assert error.reason == Reason.ARCHIVE_CORRUPT
    assert "password" in error.message


def test_unusual_zip_methods(refusal):
    """Only what unpacks in bounded memory is."""
    error = refusal(pack_zip({"a": bytes(100)}, zipfile.ZIP_LZMA))

    assert error.reason == Reason.ARCHIVE_CORRUPT
    assert "deflate" in error.message


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a/1.jpg", "a/./1.jpg", "a\\1.jpg"])
def test_two_files_of_one_name(second, refusal):
    """What different programs would read differently is not guessed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/1.jpg", b"1")
        archive.writestr(second, b"2")

    error = refusal(packed.getvalue())

    assert error.reason == Reason.ARCHIVE_CORRUPT
    assert "'a/1.jpg'" in error.message


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"Rar!\x1a\x07\x01\x00" + bytes(600), id="rar"),
        pytest.param(b"7z\xbc\xaf\x27\x1c" + bytes(600), id="7z"),
        pytest.param(b"hello", id="text"),
        pytest.param(bytes(10240), id="zeros"),
    ],
)
def test_other_kinds(content, refusal):
    assert refusal(content).reason == Reason.ARCHIVE_KIND_UNKNOWN


def test_gzip_without_a_tar(refusal):
    assert refusal(gzip.compress(b"a,b\n" * 500)).reason == Reason.ARCHIVE_CORRUPT


def test_zip_directory_is_bounded(refusal, monkeypatch):
    """A zip's directory is read at once, so that its size is limited."""
    monkeypatch.setattr(archive_members, "_MAX_ZIP_DIRECTORY_BYTES", 100_000)

    error = refusal(pack_zip({f"{i:060}": b"" for i in range(1000)}), members=10_000)

    assert error.reason == Reason.ARCHIVE_CORRUPT
    assert "tar" in error.message


# What is let pass, and mentioned or not.


def test_junk_is_ignored_silently(unpacked):
    junk = ("__MACOSX/a/._1.jpg", "a/.DS_Store", "Thumbs.db", "a/desktop.ini", ".git/config")

    files, findings = unpacked(pack_zip({"a/1.jpg": b"1"} | dict.fromkeys(junk, b"x")))

    assert files == {"a/1.jpg": b"1"}
    assert findings == {}


@pytest.mark.parametrize("pack", [pack_zip, pack_tar])
def test_empty_folders_are_found(pack, unpacked):
    """The innermost are named; one with nothing but junk is empty."""
    files = {"a/": b"", "a/1.jpg": b"1", "b/": b"", "b/c/": b"", "d/": b"", "d/.DS_Store": b"x"}

    assert unpacked(pack(files))[1] == {"EMPTY_FOLDERS": ["b/c", "d"]}


def test_archives_in_the_archive_are_found(unpacked):
    files, findings = unpacked(pack_zip({"x/more.zip": b"PK", "x/1.jpg": b"1", "b.tar.gz": b""}))

    assert findings == {"NESTED_ARCHIVES": ["b.tar.gz", "x/more.zip"]}
    assert len(files) == 3


def test_names_in_other_encodings(unpacked):
    """UTF-8 that is not marked as such is read so, all else as old programs wrote it."""
    utf8 = pack_zip({"k__tzchn.jpg": b"1"}).replace(b"k__tzchn.jpg", "kätzchn.jpg".encode())
    assert list(unpacked(utf8)[0]) == ["kätzchn.jpg"]
    old = pack_zip({"k_tz.jpg": b"1"}).replace(b"k_tz", "kätz".encode("cp437"))
    assert list(unpacked(old)[0]) == ["kätz.jpg"]
    header = tarfile.TarInfo("k\udce4tz.jpg")
    latin1 = pack_tar_header(header)
    (name,) = unpacked(latin1)[0]
    assert re.fullmatch("k.tz.jpg", name)
    name.encode()  # is proper text


def test_accents_are_composed(unpacked):
    """A Mac writes é as two characters; it is the same class all the same."""
    assert list(unpacked(pack_tar({"cafe\u0301/1.jpg": b""}))[0]) == ["caf\u00e9/1.jpg"]


def test_names_that_differ_in_capitals_are_two(unpacked):
    """They are on Linux, and nothing is written under these names."""
    assert len(unpacked(pack_zip({"a/1.jpg": b"1", "A/1.JPG": b"2"}))[0]) == 2


def test_progress_may_stop_it(tmp_path):
    """Cancelling an import stops the unpacking."""

    class Stop(BaseException):
        pass

    def stop(count):
        raise Stop

    (tmp_path / "archive").write_bytes(pack_zip(FILES))
    limits = Limits(unpacked_bytes=1000, members=10)

    with pytest.raises(Stop):
        unpack(tmp_path / "archive", tmp_path / "blob", limits, Report(), on_progress=stop)
