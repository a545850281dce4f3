"""Tables of boxes as tools and people write them."""

import math
import random

import pytest

from common.data import formats
from common.data.findings import Report
from common.data.formats import tables as table_files
from common.data.formats.csv_boxes import CsvBoxes
from common.data.formats.csv_table import CsvTable
from common.errors import InvalidInput
from common.objects import drafts
from tests.common.data.formats.boxes import read_boxes
from tests.common.data.test_fuzz_import import mutated

BOXES = CsvBoxes()
IMAGES = ("images/1.jpg", "images/2.jpg")
EXPECTED = {
    "images/1.jpg": [("cat", 10, 20, 40, 60), ("dog", 1, 2, 4, 6)],
    "images/2.jpg": [("cat", 10, 20, 40, 60)],
}


def read(tree, **options):
    return read_boxes(BOXES, tree, **options)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            "filename,width,height,class,xmin,ymin,xmax,ymax\n"
            "1.jpg,100,80,cat,10,20,40,60\n"
            "1.jpg,100,80,dog,1,2,4,6\n"
            "2.jpg,100,80,cat,10,20,40,60\n",
            id="TensorFlow, Roboflow",
        ),
        pytest.param(
            "images/1.jpg,10,20,40,60,cat\nimages/1.jpg,1,2,4,6,dog\nimages/2.jpg,10,20,40,60,cat",
            id="keras-retinanet, without a header",
        ),
        pytest.param(
            "file;label;x;y;w;h\n1;cat;10,0;20,0;30;40\n1;dog;1;2;3;4\n2;cat;10;20;30;40\n",
            id="corner and size, decimal commas",
        ),
        pytest.param(
            "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
            "cat,10,20,30,40,1.jpg,100,80\ndog,1,2,3,4,1.jpg,100,80\ncat,10,20,30,40,2.jpg,100,80",
            id="Make Sense",
        ),
        pytest.param(
            "path\tx_center\ty_center\twidth\theight\tclass\n"
            "1.jpg\t25\t40\t30\t40\tcat\n1.jpg\t2.5\t4\t3\t4\tdog\n2.jpg\t25\t40\t30\t40\tcat\n",
            id="center and size, tabs",
        ),
        pytest.param(
            'XMin,YMin,XMax,YMax,"ImageID","LabelName"\r\n10,20,40,60,1,cat\r\n\r\n'
            "1,2,4,6,1, dog \r\n10,20,40,60,2,cat\r\n",
            id="order, Windows, quotes",
        ),
        pytest.param(
            "image,x1,y1,x2,y2,class\nC:\\pics\\1.jpg,10,20,40,60,cat\n"
            "C:\\pics\\1.jpg,1,2,4,6,dog\nC:\\pics\\2.jpg,10,20,40,60,cat\n",
            id="paths of another machine",
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_ways_to_write_a_table(table, encoding, tree_of):
    tree = tree_of(*IMAGES, **{"labels.csv": table.encode(encoding)})

    objects, splits, findings = read(tree)

    assert objects == EXPECTED
    assert splits == dict.fromkeys(IMAGES)
    assert findings == {}
    assert BOXES.detect(tree) == "labels.csv lists images and boxes"
    assert BOXES.read(tree, Report(), max_records=2).classes == ["cat", "dog"]


def drafts_of(tree):
    return {r.file: r.annotation for r in BOXES.read(tree, Report(), max_records=99).records}


def test_a_draft_says_where_its_boxes_are(tree_of):
    table = b"file,class,xmin,ymin,xmax,ymax,width,height\n\n1.jpg,cat,1,2,3,4,100,80\n"

    draft = drafts_of(tree_of("1.jpg", **{"a/t.csv": table}))["1.jpg"]

    assert (draft.source, draft.width, draft.height, draft.normalized) == (
        "a/t.csv",
        100,
        80,
        False,
    )
    assert draft.objects[0].where == "row 3"


def test_open_images(tree_of):
    """Fractions, and marks by other names."""
    table = (
        b"ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsTruncated,IsGroupOf\n"
        b"1,x,/m/01,1,0.1,0.5,0.2,1.0,1,0\n"
        b"1,x,/m/02,1,0.0,0.25,0.0,1.003,0,1\n"
        b"2,x,/m/01,1,0.1,0.5,0.2,0.9,0,0\n"
    )

    draft = drafts_of(tree_of(*IMAGES, **{"t.csv": table}))["images/1.jpg"]

    assert draft.normalized
    first, second = draft.objects
    assert (first.box, first.truncated, first.crowd) == ((0.1, 0.2, 0.5, 1.0), True, False)
    assert (second.box, second.truncated, second.crowd) == ((0, 0, 0.25, 1.003), False, True)


@pytest.mark.parametrize(
    ("rows", "normalized"),
    [
        (["0,0,1,1"], True),
        (["0.1,0.1,0.5,0.5", "0.2,0.2,0.4,0.4", "0.1,0.1,30,40"], True),
        (["0,0,1,1", "10,20,30,40", "1,1,3,3"], False),
        (["0,0,2,2"], False),
        (["nan,nan,nan,nan"], False),
    ],
)
def test_fractions_or_pixels(rows, normalized, tree_of):
    """What more than half of the boxes are; the others are mistakes, for the import to find."""
    table = "file,class,x1,y1,x2,y2\n" + "".join(f"1.jpg,cat,{row}\n" for row in rows)

    draft = drafts_of(tree_of("1.jpg", **{"t.csv": table.encode()}))["1.jpg"]

    assert draft.normalized == normalized
    assert len(draft.objects) == len(rows)


@pytest.mark.parametrize(
    "table",
    [
        b"1.jpg,10,20,40,60,cat\n2.jpg,,,,,\n",
        b"file,class,x1,y1,x2,y2\n1.jpg,cat,10,20,40,60\n2.jpg,,,,,\n",
        b"file,class,x1,y1,x2,y2\n1.jpg,cat,10,20,40,60\n2.jpg\n",
        b"file,x1,y1,x2,y2,class\n1.jpg,10,20,40,60,cat\n2.jpg,nan,nan,nan,nan,None\n",
    ],
)
def test_an_image_with_no_object(table, tree_of):
    """A row with its file and nothing else; an image without a row is not labeled."""
    objects, _, findings = read(tree_of(*IMAGES, "images/3.jpg", **{"t.csv": table}))

    assert objects == {"images/1.jpg": [("cat", 10, 20, 40, 60)], "images/2.jpg": []}
    assert findings == {"IMAGES_NOT_LISTED": ["images/3.jpg"]}


def test_numbers_for_the_import_to_judge(tree_of):
    """Inverted, without an area, not finite."""
    table = b"file,class,x1,y1,x2,y2\n1.jpg,a,9,9,1,1\n1.jpg,a,5,5,5,5\n1.jpg,a,1,2,inf,nan\n"

    (boxes,) = read(tree_of("1.jpg", **{"t.csv": table}))[0].values()

    assert boxes[:2] == [("a", 9, 9, 1, 1), ("a", 5, 5, 5, 5)]
    assert boxes[2][3] == math.inf
    assert math.isnan(boxes[2][4])


def test_findings(tree_of):
    """Each names file and row."""
    table = (
        b"file,class,x1,y1,x2,y2\n1.jpg,cat,1,2,3,4\n9.jpg,cat,1,2,3,4\n1.jpg,,1,2,3,4\n"
        b"1.jpg,cat,1,x,3,4\n2.jpg,cat,1,2,,\n"
    )
    tree = tree_of(*IMAGES, **{"t.csv": table, "classes.csv": b"cat,0\ndog,1\n"})

    objects, _, findings = read(tree)

    assert objects == {"images/1.jpg": [("cat", 1, 2, 3, 4)], "images/2.jpg": []}
    assert findings == {
        "LISTED_FILES_MISSING": ["t.csv, row 3: 9.jpg"],
        "ROWS_WITHOUT_LABEL": ["t.csv, row 4: 1.jpg"],
        "BOXES_UNREADABLE": ["t.csv, row 5: 1,x,3,4", "t.csv, row 6: 1,2,,"],
        "TABLES_IGNORED": ["classes.csv"],
    }
    assert {file: draft.dropped for file, draft in drafts_of(tree).items()} == {
        "images/1.jpg": 2,
        "images/2.jpg": 1,
    }


def test_split_column(tree_of):
    """An empty cell leaves the image to be split by us; one in two splits is kept in one."""
    header = "file,class,x1,y1,x2,y2,split\n"
    rows = "1.jpg,a,1,2,3,4,train\n1.jpg,a,5,6,7,8,\n2.jpg,b,1,2,3,4,Valid\n2.jpg,b,1,2,3,4,test\n"

    _, splits, findings = read(tree_of(*IMAGES, **{"t.csv": (header + rows).encode()}))

    assert splits == {"images/1.jpg": "train", "images/2.jpg": "val"}
    assert findings["IMAGES_IN_SEVERAL_SPLITS"] == ["images/2.jpg"]


def test_a_table_a_split(tree_of):
    """As Roboflow lays it out: a table and its images in a folder for each, or named for it."""
    row = b"file,class,x1,y1,x2,y2\n1.jpg,a,1,2,3,4\n"
    tables = {"train/_annotations.csv": row, "valid/_annotations.csv": row}

    _, splits, findings = read(tree_of("train/1.jpg", "valid/1.jpg", **tables))
    assert splits == {"train/1.jpg": "train", "valid/1.jpg": "val"}
    assert findings == {}

    _, splits, _ = read(tree_of("train/1.jpg", "test/1.jpg", **{"train.csv": row, "test.csv": row}))
    assert splits == {"train/1.jpg": "train", "test/1.jpg": "test"}


def test_tables_in_pixels_and_in_fractions(tree_of):
    """Of one image, they cannot be put together; what is left out is named."""
    tables = {
        "a.csv": b"file,class,x1,y1,x2,y2\n1.jpg,a,1,2,3,4\n",
        "b.csv": b"file,class,x1,y1,x2,y2\n1.jpg,a,0.1,0.2,0.3,0.4\n",
    }

    objects, _, findings = read(tree_of("1.jpg", **tables))

    assert objects == {"1.jpg": [("a", 1, 2, 3, 4)]}
    assert findings == {"BOXES_UNREADABLE": ["1.jpg: in a.csv and b.csv, not both in pixels"]}


def test_other_columns_are_kept_where_they_say_one_thing(tree_of):
    """For `group_by`: the patient of an image, and not the number of a box."""
    table = b"file,class,x1,y1,x2,y2,Patient,n\n1.jpg,a,1,2,3,4,p7,1\n1.jpg,a,5,6,7,8,p7,2\n"

    (record,) = BOXES.read(tree_of("1.jpg", **{"t.csv": table}), Report(), max_records=9).records

    assert record.columns == {"Patient": "p7"}


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"t.csv": b""},
        {"t.csv": b"file,label\n1.jpg,cat\n"},
        {"t.csv": b"file,class,xmin,ymin,xmax\n1.jpg,cat,1,2,3\n"},
        {"t.csv": b"1.jpg,1,2,3,4\n"},
        {"t.csv": b"1.jpg,a,b,c,d,cat\n"},
        {"t.csv": b"other.jpg,1,2,3,4,cat\n"},
    ],
)
def test_no_table_of_boxes(tables, tree_of):
    """Neither detected nor read if it is asked for by name."""
    tree = tree_of("1.jpg", **tables)

    assert BOXES.detect(tree) is None
    with pytest.raises(InvalidInput, match="no table with columns for file and box"):
        read(tree)


def test_a_table_of_other_files_is_not_detected(tree_of):
    table = b"file,class,x1,y1,x2,y2\nx.doc,a,1,2,3,4\n"

    assert BOXES.detect(tree_of("1.jpg", **{"t.csv": table})) is None


def test_the_same_table_labels_whole_images_for_another_task(tree_of):
    """Which of the two a table is read as, the task decides; no task has both formats."""
    tree = tree_of(*IMAGES, **{"t.csv": b"file,class,x1,y1,x2,y2\n1.jpg,cat,1,2,3,4\n"})

    assert BOXES.detect(tree)
    assert CsvTable().detect(tree)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"file,class,x1,y1,x2,y2,split\n1.jpg,a,1,2,3,4,x\n", r"t\.csv, row 2: the split is 'x'"),
        (b"1.jpg,1,2,3,4," + b"x" * 201, r"t\.csv, row 1: the label has 201 characters"),
        (b"1.jpg,1,2,3,4,a\n" * 60 + b"1.jpg," + b"x" * 200_000, "cannot be read after row 60"),
    ],
)
def test_what_cannot_be_read(table, message, tree_of):
    """File and row are named."""
    with pytest.raises(InvalidInput, match=message):
        read(tree_of("1.jpg", **{"t.csv": table}))


def test_bounds(tree_of, monkeypatch):
    """Of images, objects, classes, other columns and bytes."""
    table = b"file,class,x1,y1,x2,y2,n\n1.jpg,a,1,2,3,4,x\n2.jpg,b,1,2,3,4,y\n"
    tree = tree_of(*IMAGES, **{"t.csv": table})
    assert len(read(tree, max_records=2)[0]) == 2

    with pytest.raises(InvalidInput, match=r"t\.csv, row 3: the tables list more than 1 images"):
        read(tree, max_records=1)
    for module, name, message in [
        (drafts, "MAX_OBJECTS", r"t\.csv, row 3: .* more than 1 objects"),
        (formats, "MAX_CLASSES", r"more than 1 classes.* t\.csv, row 3"),
        (table_files, "MAX_COLUMN_BYTES", r"t\.csv, row 2: up to here, the columns other"),
        (table_files, "MAX_TABLE_BYTES", r"t\.csv has \d+ bytes; a table may have 1\."),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, 1)
            with pytest.raises(InvalidInput, match=message):
                read(tree)


def test_a_box_in_one_cell(tree_of):
    """As x, y, width and height, with brackets or without; broken ones are named."""
    table = (
        b'file,bbox,class\n1.jpg,"[10.0, 20, 30, 40]",cat\n1.jpg,(1 2 3 4),dog\n2.jpg,[],\n'
        b'2.jpg,"10,20,30,40",cat\n2.jpg,"[1, 2, 3]",cat\n2.jpg,"[1, 2, x, 4, 5]",cat\n'
    )

    objects, _, findings = read(tree_of(*IMAGES, **{"t.csv": table}))

    assert objects == EXPECTED
    assert findings == {"BOXES_UNREADABLE": ["t.csv, row 6: 1,2,3", "t.csv, row 7: 1,2,x,4,5"]}


def test_a_table_without_a_class_has_one(tree_of):
    """It is said what else could have been meant as class; a row without a box says no object."""
    table = b"file,species,x1,y1,x2,y2\n1.jpg,lion,1,2,3,4\n2.jpg,,,,,\n"

    objects, _, findings = read(tree_of(*IMAGES, **{"t.csv": table}))

    assert objects == {"images/1.jpg": [("object", 1, 2, 3, 4)], "images/2.jpg": []}
    assert findings == {"CLASSES_GUESSED": ["t.csv: object; other columns are species"]}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train_labels", "test_labels"), ["train", "test"]),
        (("annotations_train", "annotations_val"), ["train", "val"]),
        (("train-annotations-bbox", "other"), [None, None]),
        (("val", "test"), [None, None]),
    ],
)
def test_the_split_in_the_names_of_tables(names, splits, tree_of):
    """As long as there is something to train on, and something else."""
    tables = {
        f"{name}.csv": f"file,class,x1,y1,x2,y2\n{number}.jpg,a,1,2,3,4\n".encode()
        for number, name in enumerate(names, start=1)
    }

    _, found, _ = read(tree_of(*IMAGES, **tables))

    assert list(found.values()) == splits


def test_mutated_tables(tree_of):
    """Each is read or refused, and nothing else happens."""
    chance = random.Random(0)
    wholes = [
        b"file,class,x1,y1,x2,y2,width,height,split,n\n1.jpg,cat,1,2,3,4,10,20,train,x\n"
        b"2.jpg,dog,0.1,2e5,nan,-4,10,20,val,y\n1.jpg,cat,1,2,3,4,10,20,train,x\n",
        b"1.jpg,10,20,40,60,cat\n2.jpg,,,,,\n",
        "file;class;x;y;w;h\n1;é;1,5;2;3;4\n".encode("utf-16"),
    ]
    refused = 0
    for number in range(600):
        content = mutated(wholes[number % len(wholes)], chance)
        tree = tree_of("1.jpg", "2.jpg", **{"t.csv": content})
        try:
            BOXES.detect(tree)
            read(tree)
        except InvalidInput:
            refused += 1
    assert 60 < refused < 560
