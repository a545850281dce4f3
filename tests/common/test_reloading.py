"""Files that are replaced while we run."""

import logging
import os

import pytest

from common.reloading import Reloaded


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_text("1")
    return path


def reloaded(path):
    return Reloaded("the number", [path], lambda: int(path.read_text()))


def replace(path, text):
    """Put another file in the place of one, as an editor or Kubernetes does."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_a_value_is_read_again_only_once_its_file_has_changed(path):
    number = reloaded(path)

    before = number.refresh()
    replace(path, "2")
    changed = number.refresh()
    after = number.refresh()

    assert (before, changed, after) == (False, True, False)
    assert number.value == 2


@pytest.mark.parametrize("error", [RuntimeError, RecursionError, TypeError])
def test_an_error_that_nobody_foresaw_changes_nothing(path, caplog, error):
    """Whoever looks at the files again and again goes on doing so."""
    errors = [error("odd")]

    def read():
        if path.read_text() == "2" and errors:
            raise errors.pop()
        return int(path.read_text())

    number = Reloaded("the number", [path], read)
    replace(path, "2")

    assert not number.refresh()
    assert "odd" in caplog.text
    assert number.refresh()


def test_a_link_that_leads_elsewhere_counts_as_a_change(tmp_path, path):
    """So a mounted Secret is replaced: its files are links into a folder that is exchanged."""
    link = tmp_path / "link"
    link.symlink_to(path)
    number = reloaded(link)
    other = tmp_path / "other"
    other.write_text("2")

    os.utime(other, ns=(path.stat().st_mtime_ns,) * 2)
    replacement = tmp_path / "replacement"
    replacement.symlink_to(other)
    replacement.replace(link)

    assert number.refresh()
    assert number.value == 2


@pytest.mark.parametrize("wrong", ["no number", None])
def test_a_file_that_cannot_be_used_changes_nothing_and_is_said_once(path, caplog, wrong):
    number = reloaded(path)

    with caplog.at_level(logging.ERROR):
        replace(path, wrong) if wrong else path.unlink()
        refreshed = [number.refresh(), number.refresh()]

    assert refreshed == [False, False]
    assert number.value == 1
    assert len(caplog.records) == 1
    replace(path, "3")
    assert number.refresh()


def test_a_file_that_changes_while_it_is_read_is_read_once_more(path):
    """What was read may be half of the old and half of the new."""
    texts = iter(["2", "3"])

    def read():
        value = int(path.read_text())
        if value == 2:
            replace(path, next(texts) + "0")
        return value

    number = Reloaded("the number", [path], read)
    replace(path, "2")

    assert not number.refresh()
    assert number.refresh()
    assert number.value == 20


def test_a_file_that_cannot_be_used_at_the_start_is_an_error(path):
    path.write_text("no number")

    with pytest.raises(ValueError, match="no number"):
        reloaded(path)
