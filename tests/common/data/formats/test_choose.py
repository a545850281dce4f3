"""Which format an archive is read as."""

import pytest

from common.data import formats
from common.errors import InvalidInput
from common.reasons import Reason
from services.classification.task import ClassificationTask
from services.detection.task import DetectionTask
from tests.common.data.formats.made import BOX, thing, xml

NONE = xml().decode()
XML = xml(thing()).decode()
LINE = BOX.decode()
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
    with pytest.raises(InvalidInput, match=r"with 4 files \(2 \.docx, 1 without a suffix, 1 \.jpg"):
        formats.choose(FORMATS, "", tree_of("a.docx", "b.docx", "c", "d.jpg"))


def test_an_archive_without_an_image(tree_of):
    """Labels alone, as an export without `Save images` has them."""
    with pytest.raises(
        InvalidInput, match=r"no image in the archive, which has 2 files \(2 \.txt\)"
    ):
        formats.choose(FORMATS, "", tree_of("a.txt", "b.txt"))


NAMES = [f"{number:04}" for number in range(150)]
HEAD = "filename,xmin,ymin,xmax,ymax,class\n"


@pytest.mark.parametrize(
    ("images", "labels", "name"),
    [
        pytest.param(
            NAMES, {f"{n}.txt": "" for n in NAMES} | {"0149.txt": LINE}, "yolo", id="YOLO"
        ),
        pytest.param(NAMES, {f"{n}.xml": NONE for n in NAMES} | {"0149.xml": XML}, "voc", id="VOC"),
        pytest.param(
            NAMES[-1:],
            {"boxes.csv": HEAD + "".join(f"{name}.jpg,1,2,3,4,cat\n" for name in NAMES)},
            "csv_boxes",
            id="table",
        ),
        pytest.param(
            NAMES[-1:],
            {"boxes.csv": "".join(f"{name}.jpg,1,2,3,4,cat\n" for name in NAMES)},
            "csv_boxes",
            id="table, no names of columns",
        ),
    ],
)
def test_what_tells_the_format_may_come_late(images, labels, name, tree_of):
    """Behind images that show nothing, or the rows of images that were left away."""
    tree = tree_of(
        *(f"{image}.jpg" for image in images),
        **{path: text.encode() for path, text in labels.items()},
    )

    assert formats.choose(DetectionTask().formats, "", tree).name == name


def test_boxes_in_other_json_are_no_broken_coco(tree_of):
    """CreateML has a list of `annotations` too; to export it anew would not help."""
    createml = b'[{"image": "1.jpg", "annotations": [{"label": "a", "coordinates": {"x": 1}}]}]'

    with pytest.raises(InvalidInput, match="is none that is known"):
        formats.choose(DetectionTask().formats, "", tree_of("1.jpg", **{"1.json": createml}))
