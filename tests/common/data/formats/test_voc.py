"""Pascal VOC as the devkit, LabelImg and Roboflow write it, and as it goes wrong."""

import pytest

from common.data.findings import Report
from common.data.formats import voc
from common.data.formats.csv_table import CsvTable
from common.data.formats.voc import PascalVoc
from common.data.formats.yolo import Yolo
from common.errors import InvalidInput
from common.objects import drafts
from common.objects.drafts import complete
from tests.common.data.formats.boxes import read_boxes
from tests.common.data.formats.made import info, thing, xml

VOC = PascalVoc()


def one(tree) -> drafts.Draft:
    """The draft of the only image."""
    (record,) = VOC.read(tree, Report(), max_records=9).records
    return record.annotation


def test_devkit_layout(tree_of):
    """Lists say the split, by the name without suffix; classes are sorted."""
    tree = tree_of(
        *("V/JPEGImages/1.jpg", "V/JPEGImages/2.jpg", "V/JPEGImages/3.jpg", "V/JPEGImages/4.jpg"),
        **{
            "V/Annotations/1.xml": xml(thing("dog"), thing("cat", (5, 5, 9, 9)), filename="1.jpg"),
            "V/Annotations/2.xml": xml(thing("cat"), filename="2.jpg"),
            "V/Annotations/3.xml": xml(filename="3.jpg"),
            "V/Annotations/4.xml": xml(thing("ant"), filename="4.jpg"),
            "V/ImageSets/Main/train.txt": b"1\n",
            "V/ImageSets/Main/val.txt": b"2",  # without an end of the last line
            "V/ImageSets/Main/test.txt": b"3\r\n\r\n",
            "V/ImageSets/Main/trainval.txt": b"1\n2\n4\n",
            "V/ImageSets/Main/cat_train.txt": b"1  1\n2 -1\n",
        },
    )

    objects, splits, findings = read_boxes(VOC, tree)

    assert objects == {
        "V/JPEGImages/1.jpg": [("dog", 1, 2, 30, 40), ("cat", 5, 5, 9, 9)],
        "V/JPEGImages/2.jpg": [("cat", 1, 2, 30, 40)],
        "V/JPEGImages/3.jpg": [],
        "V/JPEGImages/4.jpg": [("ant", 1, 2, 30, 40)],
    }
    assert list(splits.values()) == ["train", "val", "test", None]
    assert findings == {}
    assert VOC.read(tree, Report(), max_records=9).classes == ["ant", "cat", "dog"]
    assert VOC.detect(tree) == "V/Annotations/1.xml has boxes as Pascal VOC writes them"


def test_trainval_is_train_if_there_is_no_other(tree_of):
    tree = tree_of(
        *("JPEGImages/1.jpg", "JPEGImages/2.jpg"),
        **{
            "Annotations/1.xml": xml(thing()),
            "Annotations/2.xml": xml(thing()),
            "ImageSets/Main/trainval.txt": b"1.jpg\n9\n",
            "ImageSets/Main/test.txt": b"2  1\n",
        },
    )

    _, splits, findings = read_boxes(VOC, tree)

    assert list(splits.values()) == ["train", "test"]
    assert findings == {"SPLIT_ENTRIES_MISSING": ["ImageSets/Main/trainval.txt, line 2: 9"]}


def test_a_listed_image_without_xml_is_named_once(tree_of):
    """It is unlabeled, not missing."""
    tree = tree_of(
        *("1.jpg", "2.jpg", "3.jpg"),
        **{"1.xml": xml(thing()), "2.xml": xml(thing())},
        **{"ImageSets/Main/train.txt": b"1\n3\n", "ImageSets/Main/val.txt": b"2\n"},
    )

    _, splits, findings = read_boxes(VOC, tree)

    assert splits == {"1.jpg": "train", "2.jpg": "val"}
    assert findings == {"IMAGES_UNLABELED": ["3.jpg"]}


def test_an_image_in_two_lists_is_in_the_first(tree_of):
    tree = tree_of(
        *("1.jpg", "2.jpg", "3.jpg"),
        **{
            "1.xml": xml(thing()),
            "2.xml": xml(thing()),
            "3.xml": xml(thing()),
            "ImageSets/Main/train.txt": b"1\n2\n",
            "ImageSets/Main/test.txt": b"2\n3\n",
        },
    )

    _, splits, findings = read_boxes(VOC, tree)

    assert list(splits.values()) == ["train", "train", "test"]
    assert findings == {"IMAGES_IN_SEVERAL_SPLITS": ["2.jpg"]}


def test_each_devkit_has_its_lists(tree_of):
    """The same names in two years are different images."""
    files = {}
    for year, split in (("2007", b"1\n"), ("2012", b"2\n")):
        for name in "12":
            files[f"VOC{year}/Annotations/{name}.xml"] = xml(thing(), filename=f"{name}.jpg")
            files[f"VOC{year}/JPEGImages/{name}.jpg"] = b""
        files[f"VOC{year}/ImageSets/Main/train.txt"] = split
        files[f"VOC{year}/ImageSets/Main/val.txt"] = b"1" if split == b"2\n" else b"2"

    objects, splits, findings = read_boxes(VOC, tree_of(**files))

    assert len(objects) == 4
    assert splits == {
        "VOC2007/JPEGImages/1.jpg": "train",
        "VOC2007/JPEGImages/2.jpg": "val",
        "VOC2012/JPEGImages/1.jpg": "val",
        "VOC2012/JPEGImages/2.jpg": "train",
    }
    assert findings == {}


def test_roboflow_layout(tree_of):
    """XML beside the images; folders say the split."""
    name = "a_jpg.rf.0f3c"
    tree = tree_of(
        *(f"train/{name}.jpg", f"valid/{name}.jpg", f"test/{name}.jpg"),
        **{
            f"{folder}/{name}.xml": xml(thing(folder), filename=f"{name}.jpg")
            for folder in ("train", "valid", "test")
        },
    )

    objects, splits, _ = read_boxes(VOC, tree)

    assert splits == {
        f"test/{name}.jpg": "test",
        f"train/{name}.jpg": "train",
        f"valid/{name}.jpg": "val",
    }
    assert {file: boxes[0][0] for file, boxes in objects.items()} == {
        f"{folder}/{name}.jpg": folder for folder in ("train", "valid", "test")
    }


def test_one_folder_says_no_split(tree_of):
    tree = tree_of("train/1.jpg", **{"train/1.xml": xml(thing())})

    assert read_boxes(VOC, tree)[1] == {"train/1.jpg": None}


@pytest.mark.parametrize(
    ("database", "box"),
    [
        ("Unknown", (1, 1, 100, 80)),
        ("The VOC2007 Database", (0, 0, 100, 80)),
        ("The VOC2012 Database", (0, 0, 100, 80)),
    ],
)
def test_where_pixels_are_counted_from(database, box, tree_of):
    """The challenges count from 1 with the last pixel included: the whole image is 1 to 100."""
    source = f"<source><database>{database}</database></source>"
    tree = tree_of("1.jpg", **{"1.xml": xml(thing(box=(1, 1, 100, 80)), more=source)})

    assert one(tree).objects[0].box == box


def test_what_is_kept_of_an_object(tree_of):
    """Marks of 0, 1 and words; floats; parts of an object are no objects."""
    part = f"<part>{thing('head', (0, 0, 1, 1)).removeprefix('<object>').removesuffix('</object>')}"
    tree = tree_of(
        "1.jpg",
        **{
            "1.xml": xml(
                thing(more="<truncated>1</truncated><difficult>0</difficult>"),
                thing(more="<truncated>Unspecified</truncated><difficult> 1 </difficult>"),
                thing(box=(1.5, "2e0", " 30.25 ", "40.0"), more=f"{part}</part>"),
            )
        },
    )

    draft = one(tree)

    assert [(o.truncated, o.difficult) for o in draft.objects] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert draft.objects[2].box == (1.5, 2, 30.25, 40)
    assert [o.where for o in draft.objects] == ["object 1", "object 2", "object 3"]
    assert (draft.source, draft.width, draft.height) == ("1.xml", 100, 80)
    assert not draft.normalized


@pytest.mark.parametrize(
    "size",
    ["", "<size/>", "<size><width>x</width></size>", "<size><width>nan</width></size>"]
    + [f"<size><width>{w}</width><height>{w}</height></size>" for w in (0, -5, "inf", "1e300")],
)
def test_a_size_that_cannot_be_is_none(size, tree_of):
    content = f"<annotation>{size}{thing()}</annotation>".encode()

    draft = one(tree_of("1.jpg", **{"1.xml": content}))

    assert (draft.width, draft.height) == (0, 0)


def test_broken_objects_are_named(tree_of):
    """The others are kept; what has numbers is judged when the image is known."""
    tree = tree_of(
        "1.jpg",
        **{
            "1.xml": xml(
                "<object><name>cat</name></object>",
                thing(name=""),
                thing(box=(1, 2, "", 4)),
                thing(box=(1, 2, "1,5", 4)),
                "<object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object>",
                thing(name="x" * 201),
                thing(),
                thing(box=("nan", 2, 3, 4)),
                thing(box=(7, 2, 7, 4)),
            )
        },
    )
    report = Report()

    (record,) = VOC.read(tree, report, max_records=9).records
    kept = complete(record.annotation, "1.jpg", info(), report)

    found = {finding.id: list(finding.examples) for finding in report.findings()}
    assert [one.box for one in kept] == [(1, 2, 30, 40)]
    assert record.annotation.dropped == 6
    assert found == {
        "BOXES_UNREADABLE": [
            "1.xml, object 1",
            "1.xml, object 2: its name has 0 characters",
            *(f"1.xml, object {number}" for number in (3, 4, 5)),
            "1.xml, object 6: its name has 201 characters",
        ],
        "BOXES_NOT_FINITE": ["1.xml, object 8"],
        "BOXES_WITHOUT_AREA": ["1.xml, object 9"],
    }


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no element found"),
        (b"<annotation><object>", "no element found"),
        (xml(thing()) + b"x", "junk after document element"),
        (b"<?xml version='1.0' encoding='utf-99'?><annotation/>", "unknown encoding"),
        (b"<project/>", "it starts with <project> instead of <annotation>"),
        (
            b'<!DOCTYPE a [<!ENTITY b "ha">]><annotation>&b;</annotation>',
            "it declares entities, which are not read",
        ),
        (
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><annotation>&b;</annotation>',
            "it declares entities, which are not read",
        ),
        (b"<annotation>" + b" " * voc._MAX_XML_BYTES + b"</annotation>", "1048576 are allowed"),
    ],
)
def test_an_unreadable_file_is_left_out(content, why, tree_of):
    """The others are read; if there are none, that is said."""
    files = {"2.xml": content, "1.xml": xml(thing())}
    objects, _, findings = read_boxes(VOC, tree_of("1.jpg", "2.jpg", **files))

    assert list(objects) == ["1.jpg"]
    assert findings.keys() == {"ANNOTATION_FILES_UNREADABLE", "IMAGES_UNLABELED"}
    assert findings["IMAGES_UNLABELED"] == ["2.jpg"]
    (example,) = findings["ANNOTATION_FILES_UNREADABLE"]
    assert example.startswith("2.xml: ")
    assert why in example

    tree = tree_of("2.jpg", **{"2.xml": content})
    assert VOC.detect(tree) is None
    with pytest.raises(InvalidInput, match="no XML file that can be read"):
        read_boxes(VOC, tree)


def test_letters_of_any_kind(tree_of):
    """In any encoding that an XML file may have; accents are composed, as in names of files."""
    content = "<annotation><filename>u\u0308.jpg</filename>{}</annotation>".format(
        thing(name="Lo\u0308we")
    )
    files = {"x.xml": content.encode("utf-16")}

    objects, _, _ = read_boxes(VOC, tree_of("i/\u00fc.jpg", **files))

    assert objects == {"i/\u00fc.jpg": [("L\u00f6we", 1, 2, 30, 40)]}


def test_most_objects(tree_of, monkeypatch):
    monkeypatch.setattr(drafts, "MAX_OBJECTS", 3)
    files = {"1.xml": xml(thing(), thing()), "2.xml": xml(thing(), thing())}

    with pytest.raises(InvalidInput, match=r"2\.xml.* more than 3 objects"):
        read_boxes(VOC, tree_of("1.jpg", "2.jpg", **files))


def test_masks_are_no_unlabeled_images(tree_of):
    """The challenges bring pictures of the labels, too."""
    tree = tree_of(
        *("V/JPEGImages/1.jpg", "V/JPEGImages/2.jpg"),
        *("V/SegmentationClass/1.png", "V/SegmentationObject/1.png"),
        **{"V/Annotations/1.xml": xml(thing(), filename="1.jpg")},
    )

    objects, _, findings = read_boxes(VOC, tree)

    assert list(objects) == ["V/JPEGImages/1.jpg"]
    assert findings == {"IMAGES_UNLABELED": ["V/JPEGImages/2.jpg"]}


@pytest.mark.parametrize(
    "files",
    [
        {"cats/1.jpg": b"", "dogs/2.jpg": b""},
        {"1.jpg": b"", "1.xml": b"<annotation><object><polygon/></object></annotation>"},
        {"1.jpg": b"", "pom.xml": b"<project/>"},
        {"1.jpg": b"", "annotations.xml": b"<annotations><image><box/></image></annotations>"},
        {"1.jpg": b"", "1.txt": b"0 .5 .5 .1 .1\n"},
        {"1.jpg": b"", "_annotations.coco.json": b'{"images":[],"annotations":[]}'},
    ],
)
def test_other_data_is_not_detected(files, tree_of):
    assert VOC.detect(tree_of(**files)) is None


def test_not_taken_for_another_format(tree_of):
    tree = tree_of(
        "V/JPEGImages/1.jpg",
        **{"V/Annotations/1.xml": xml(thing()), "V/ImageSets/Main/train.txt": b"1 1\n"},
    )

    assert Yolo().detect(tree) is None
    assert CsvTable().detect(tree) is None
