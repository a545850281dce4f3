"""A folder is sent as an archive, the same folder always as the same bytes."""

import os
import tarfile

import pytest

from client.packing import as_archive


def test_a_file_is_sent_as_it_is(tmp_path):
    """Whatever it is: the server says what it cannot read."""
    file = tmp_path / "data.zip"
    file.write_bytes(b"x")

    with as_archive(file) as archive:
        assert archive == file


def test_the_same_folder_gives_the_same_bytes(tmp_path):
    """Times and the order in which files were made do not matter."""
    sent = []
    for number, order in enumerate((("a", "b"), ("b", "a"))):
        folder = tmp_path / str(number)
        for name in order:
            (folder / name).mkdir(parents=True)
            (folder / name / "x.png").write_bytes(name.encode())
            os.utime(folder / name / "x.png", (number, number))
        with as_archive(folder) as archive:
            sent.append(archive.read_bytes())

    assert sent[0] == sent[1]


def test_an_empty_folder_is_kept(tmp_path):
    """The import has a finding for a class without images."""
    (tmp_path / "data" / "empty").mkdir(parents=True)

    with as_archive(tmp_path / "data") as archive, tarfile.open(archive) as tar:
        assert tar.getnames() == ["empty"]


@pytest.fixture
def linked(tmp_path):
    """A folder of two classes that is made of links, as a selection of a larger one may be."""
    (tmp_path / "all" / "dog").mkdir(parents=True)
    (tmp_path / "all" / "dog" / "1.jpg").write_bytes(b"one")
    (tmp_path / "data" / "cat").mkdir(parents=True)
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "all" / "dog")
    (tmp_path / "data" / "cat" / "soft.jpg").symlink_to(tmp_path / "all" / "dog" / "1.jpg")
    for name in ("hard.jpg", "twin.jpg"):
        (tmp_path / "data" / "cat" / name).hardlink_to(tmp_path / "all" / "dog" / "1.jpg")
    return tmp_path / "data"


def test_links_are_packed_as_what_they_point_to(linked):
    """To folders, to files, and second names of one file: a server unpacks no links."""
    with as_archive(linked) as archive, tarfile.open(archive) as tar:
        assert tar.getnames() == ["cat/hard.jpg", "cat/soft.jpg", "cat/twin.jpg", "dog/1.jpg"]
        for member in tar:
            assert member.isreg()
            assert tar.extractfile(member).read() == b"one"


def test_a_link_back_is_followed_no_further(linked):
    """Directly or by way of another folder."""
    (linked / "cat" / "up").symlink_to(linked)
    (linked / "dog" / "side").symlink_to(linked / "cat")

    with as_archive(linked) as archive, tarfile.open(archive) as tar:
        names = tar.getnames()

    assert "dog/side/soft.jpg" in names
    assert not [name for name in names if "up" in name.split("/")]


def test_a_link_to_nothing_is_named(linked):
    """An image that is silently left out would be missed by nobody."""
    (linked / "dog" / "1.jpg").unlink()

    with pytest.raises(FileNotFoundError) as missing, as_archive(linked):
        pass

    assert missing.value.filename == str(linked / "cat" / "soft.jpg")


def test_an_empty_folder_alone_gives_an_empty_archive(tmp_path):
    """The import says what is wrong with it."""
    with as_archive(tmp_path) as archive, tarfile.open(archive) as tar:
        assert tar.getnames() == []
