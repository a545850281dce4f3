"""Which image an annotation file of its own belongs to."""

import pytest

from common.data.formats.voc import PascalVoc
from common.data.formats.yolo import Yolo
from tests.common.data.formats.boxes import read_boxes
from tests.common.data.formats.made import BOX, SAME, thing, xml

VOC = PascalVoc()
YOLO = Yolo()


@pytest.mark.parametrize(
    ("filename", "label", "images", "meant"),
    [
        pytest.param("1.jpg", "a/1.xml", ["a/1.jpg", "b/1.jpg"], "a/1.jpg", id="beside"),
        pytest.param("1", "Annotations/1.xml", ["JPEGImages/1.png"], "JPEGImages/1.png", id="stem"),
        pytest.param("1.jpg", "xml/1.xml", ["photo/1.png"], "photo/1.png", id="another suffix"),
        pytest.param("", "1.xml", ["images/1.jpg"], "images/1.jpg", id="no filename"),
        pytest.param(r"C:\me\1.jpg", "x/7.xml", ["img/1.jpg"], "img/1.jpg", id="Windows path"),
        pytest.param("9.jpg", "x/1.xml", ["img/1.jpg", "img/2.jpg"], "img/1.jpg", id="missing"),
        pytest.param("a.b.c", "1.xml", ["i/a.b.c.jpg"], "i/a.b.c.jpg", id="dots, no suffix"),
        pytest.param("2.jpg", "1.xml", ["1.jpg", "2.jpg"], "2.jpg", id="filename before own name"),
        pytest.param(
            *("1.jpg", "labels/v2/1.xml", ["images/v1/1.jpg", "images/v2/1.jpg"]),
            *("images/v2/1.jpg",),
            id="same folders but one",
        ),
        pytest.param("1.png", "1.xml", ["1.jpg", "1.png"], "1.png", id="two suffixes"),
        pytest.param("1.jpg", "1.xml", ["a/1.jpg", "b/1.jpg"], None, id="ambiguous"),
        pytest.param("1.jpg", "test/1.xml", ["train/1.jpg"], None, id="of another split"),
        pytest.param("2.jpg", "1.xml", ["3.jpg"], None, id="none"),
    ],
)
def test_the_image_of_an_xml_file(filename, label, images, meant, tree_of):
    tree = tree_of(*images, **{label: xml(thing(), filename=filename)})

    objects, _, findings = read_boxes(VOC, tree)

    assert list(objects) == ([meant] if meant else [])
    assert findings.get("LABELS_WITHOUT_IMAGE", []) == ([] if meant else [label])
    assert findings.get("IMAGES_UNLABELED", []) == [i for i in images if i != meant]


def test_an_old_filename_does_not_win(tree_of):
    """A copied file still names the image of the first; it belongs to that of its own name."""
    tree = tree_of(
        *("1.jpg", "2.jpg"),
        **{
            "1.xml": xml(thing("a"), filename="1.jpg"),
            "2.xml": xml(thing("b"), filename="1.jpg"),
            "3.xml": xml(thing("c"), filename="1.jpg"),
        },
    )

    objects, _, findings = read_boxes(VOC, tree)

    assert {file: boxes[0][0] for file, boxes in objects.items()} == {"1.jpg": "a", "2.jpg": "b"}
    assert findings == {"LABELS_WITHOUT_IMAGE": ["3.xml: 1.xml is for 1.jpg"]}


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("1.jpg", "1.txt"),
        ("a/1.jpg", "a/1.txt"),
        ("images/1.jpg", "labels/1.txt"),
        ("images/b/1.jpg", "labels/b/1.txt"),
        ("b/images/1.jpg", "b/labels/1.txt"),
        ("Train/Images/1.jpg", "train/labels/1.txt"),
        ("images/train/1.jpg", "task/labels/train/1.txt"),
        ("d/images/train/1.jpg", "labels/train/1.txt"),
        ("images_train/1.jpg", "labels_train/1.txt"),
        ("photos/1.jpg", "yolo/1.txt"),
        ("obj_train_data/1.jpg", "obj_train_data/1.txt"),
    ],
)
def test_where_the_label_file_may_be(image, label, tree_of):
    """Other images of the same name, or of the same folder, do not get it."""
    others = ["elsewhere/7/2.jpg", image.replace("1.jpg", "3.jpg")]

    objects, _, findings = read_boxes(YOLO, tree_of(image, *others, **{label: BOX}))

    assert objects == {image: [("0", *SAME)]}
    assert findings["IMAGES_UNLABELED"] == sorted(others)


def test_a_label_file_is_not_for_an_image_of_another_split(tree_of):
    """Numbers as names begin anew in each split."""
    tree = tree_of(
        *("train/images/1.jpg", "train/images/2.jpg"),
        **{"train/labels/1.txt": BOX, "test/labels/2.txt": BOX},
    )

    objects, _, findings = read_boxes(YOLO, tree)

    assert list(objects) == ["train/images/1.jpg"]
    assert findings == {
        "CLASSES_GUESSED": ["0"],
        "IMAGES_UNLABELED": ["train/images/2.jpg"],
        "LABELS_WITHOUT_IMAGE": ["test/labels/2.txt"],
    }


@pytest.mark.parametrize("top", ["", "data/", "a/b/"])
def test_a_folder_around_everything_says_nothing(top, tree_of):
    """Other tasks' labels lie beside, some as pictures of the same name, in folders of each."""
    files = [f"{top}images/train2017/1.jpg", f"{top}semantic/masks/train2017/1.png"]
    pictures = [f"{top}panoptic/annotations/panoptic_train2017/1.png"]
    label = f"{top}boxes/labels/train2017/1.txt"

    objects, _, findings = read_boxes(YOLO, tree_of(*files, *pictures, **{label: BOX}))

    assert objects == {files[0]: [("0", *SAME)]}
    assert set(findings) == {"CLASSES_GUESSED"}


def test_pictures_of_labels(tree_of):
    """They lie beside the label files under the same names, and are no images."""
    tree = tree_of("images/1.jpg", "labels/1.png", "masks/1.png", **{"labels/1.txt": BOX})

    objects, _, findings = read_boxes(YOLO, tree)

    assert list(objects) == ["images/1.jpg"]
    assert findings == {"CLASSES_GUESSED": ["0"]}
