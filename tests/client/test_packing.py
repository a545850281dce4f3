"""A folder is sent as an archive, the same folder always as the same bytes."""

import os
import tarfile

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
