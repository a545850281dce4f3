"""Images found by what annotation files call them."""

import time

import pytest

from common.data.formats.finding_files import Finder, split_in

TREE = (
    *("images/1.jpg", "images/b/2.jpg", "images/3.final.jpg", "images/ö.jpg"),
    *("train/x.jpg", "valid/x.jpg", "train2017/y.jpg", "val2017/y.jpg"),
    *("cam1/z.jpg", "cam2/z.jpg"),
    *("d/u.jpg", "d/u.png", "d/e/u.jpg"),
)


@pytest.mark.parametrize(
    ("source", "written", "found"),
    [
        pytest.param("images/a.json", "1.jpg", "images/1.jpg", id="beside it"),
        pytest.param("a.json", "images/1.jpg", "images/1.jpg", id="from its folder"),
        pytest.param("notes/a.json", "images/1.jpg", "images/1.jpg", id="from the top"),
        pytest.param("notes/a.json", "1.jpg", "images/1.jpg", id="a name"),
        pytest.param("notes/a.json", "3.final", "images/3.final.jpg", id="a name, no suffix"),
        pytest.param("notes/a.json", "b\\2.jpg", "images/b/2.jpg", id="end of a Windows path"),
        pytest.param("a.json", "data/images/b/2.jpg", "images/b/2.jpg", id="packed inside of it"),
        pytest.param("images/a.json", "data/b/2.jpg", "images/b/2.jpg", id="beside, inside"),
        pytest.param("notes/a.json", "../images/1.jpg", "images/1.jpg", id="up and down"),
        pytest.param("a.json", "../../other/1.jpg", "images/1.jpg", id="above the top"),
        pytest.param("a.json", "C:\\Users\\me\\1.jpg", "images/1.jpg", id="of a disk"),
        pytest.param("a.json", "/home/me/pics/2.jpg", "images/b/2.jpg", id="of a machine"),
        pytest.param("a.json", "http://x.org/val2017/y.jpg", "val2017/y.jpg", id="of a server"),
        pytest.param("a.json", "./images//1.jpg", "images/1.jpg", id="empty parts"),
        pytest.param("a.json", "images/o\u0308.jpg", "images/ö.jpg", id="letters of two parts"),
        pytest.param("train/a.json", "x.jpg", "train/x.jpg", id="nearest"),
        pytest.param("a.json", "x.jpg", None, id="two are as near"),
        pytest.param("notes/a.json", "u.jpg", "d/u.jpg", id="in the folder around the other's"),
        pytest.param("notes/a.json", "u", None, id="two suffixes"),
        pytest.param("notes/a.json", "C:\\x\\u.jpg", None, id="of a disk, two"),
        pytest.param("notes/a.json", "e/u", "d/e/u.jpg", id="end of a path, no suffix"),
        pytest.param("a.json", "cam3/z.jpg", None, id="of another folder"),
        pytest.param("a.json", "cam3/1.jpg", None, id="of another folder, by name"),
        pytest.param("a.json", "9.jpg", None, id="missing"),
        pytest.param("a.json", "..", None, id="no file"),
        pytest.param("a.json", " ", None, id="nothing"),
    ],
)
def test_nearest(source, written, found, tree_of):
    assert Finder(tree_of(*TREE)).nearest(source, written) == found


@pytest.mark.parametrize(("split", "folder"), [("train", "train2017"), ("val", "val2017")])
def test_the_split_decides_between_two_that_are_as_near(split, folder, tree_of):
    """As in COCO, whose annotations lie in a folder of their own."""
    finder = Finder(tree_of(*TREE))

    assert finder.nearest("annotations/a.json", "y.jpg", split) == f"{folder}/y.jpg"
    assert finder.nearest("annotations/a.json", "z.jpg", split) is None


FILMS = [f"films/{film:03}/{frame:04}.jpg" for film in range(300) for frame in range(20)]


@pytest.mark.parametrize(
    ("source", "start", "end"),
    [
        pytest.param("a/b.json", 6, None, id="by the end of the path"),
        pytest.param("a/b.json", 6, -4, id="without the suffix"),
        pytest.param("films/{film}/a/b.json", 10, None, id="the nearest of all films"),
    ],
)
def test_frames_of_many_films_have_the_same_names(source, start, end, tree_of):
    """Each is found, without a look at all others: that would take seconds here."""
    finder = Finder(tree_of(*FILMS))
    began = time.process_time()

    found = [
        finder.nearest(source.format(film=path.split("/")[1]), path[start:end]) for path in FILMS
    ]

    assert found == FILMS
    assert time.process_time() - began < 1
    assert finder.find("a/b.json", "007/0003") == "films/007/0003.jpg"
    assert finder.nearest("a/b.json", "0003.jpg") is None
    assert finder.nearest("a/b.json", "data/films/007/0003.jpg") == "films/007/0003.jpg"


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("annotations/instances_train2017.json", "train"),
        ("valid/_annotations.coco.json", "val"),
        ("train/test.json", "test"),
        ("Test-Set/a.json", "test"),
        ("annotations.json", None),
        ("train_test.json", None),
        ("trainval.json", None),
        ("contest/latest.json", None),
    ],
)
def test_the_split_in_a_path(path, split):
    """By a word, in the innermost name that has one."""
    assert split_in(path) == split
