"""Which format an archive is read as."""

import pytest

from common.data import formats
from common.errors import InvalidInput
from common.reasons import Reason
from services.classification.task import ClassificationTask

FORMATS = ClassificationTask().formats
CSV = {"labels.csv": b"file,label\n1.jpg,cat\n2.jpg,dog\n"}


@pytest.mark.parametrize(
    ("files", "tables", "name"),
    [
        (("cats/1.jpg", "dogs/2.jpg"), {}, "image_folder"),
        (("images/1.jpg", "images/2.jpg"), CSV, "csv"),
        (("1.jpg", "2.jpg"), CSV, "csv"),
        (("train/1.jpg", "test/2.jpg"), CSV, "csv"),
        (("cats/1.jpg", "dogs/2.jpg"), {"sizes.csv": b"file,size\n1.jpg,3\n"}, "image_folder"),
    ],
)
def test_detected(files, tables, name, tree_of):
    assert formats.choose(FORMATS, "", tree_of(*files, **tables)).name == name


def test_ambiguous(tree_of):
    """Both are named, with the reasons; a name decides."""
    tree = tree_of("cats/1.jpg", "dogs/2.jpg", **CSV)

    with pytest.raises(InvalidInput) as caught:
        formats.choose(FORMATS, "", tree)

    assert caught.value.reason == Reason.FORMAT_AMBIGUOUS
    assert caught.value.field == "format"
    assert "image_folder (its images lie in folders such as cats, dogs)" in caught.value.message
    assert "csv (labels.csv lists images and their labels)" in caught.value.message
    assert formats.choose(FORMATS, "csv", tree).name == "csv"


@pytest.mark.parametrize("named", ["", "coco"])
def test_unknown(named, tree_of):
    """The formats are listed, with what they need."""
    with pytest.raises(InvalidInput) as caught:
        formats.choose(FORMATS, named, tree_of("a.docx", "b.jpg"))

    assert caught.value.reason == Reason.FORMAT_UNKNOWN
    for entry in FORMATS:
        assert f"{entry.name}: {entry.description}" in caught.value.message


def test_what_is_there_is_described(tree_of):
    with pytest.raises(InvalidInput, match=r"with 3 files \(2 \.docx, 1 without a suffix\)"):
        formats.choose(FORMATS, "", tree_of("a.docx", "b.docx", "c"))
