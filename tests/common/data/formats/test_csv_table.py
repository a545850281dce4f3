"""Tables as people write them."""

import pytest

from common.data import formats
from common.data.findings import Report
from common.data.formats import tables as table_files
from common.data.formats.csv_table import CsvTable
from common.errors import InvalidInput

TABLE = CsvTable()
IMAGES = ("images/1.jpg", "images/2.jpg", "images/3.JPG")
LABELS = {"images/1.jpg": "cat", "images/2.jpg": "dog", "images/3.JPG": "cat"}


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            "file,label\nimages/1.jpg,cat\nimages/2.jpg,dog\nimages/3.JPG,cat", id="plain"
        ),
        pytest.param("Label;FileName\ncat;1.jpg\ndog;2.jpg\ncat;3.JPG\n", id="semicolons, order"),
        pytest.param("path\tclass\n1.jpg\tcat\n2.jpg\tdog\n3.JPG\tcat\n", id="tabs"),
        pytest.param("image|category\r\n1|cat\r\n2|dog\r\n3|cat\r\n", id="bars, no suffix"),
        pytest.param('"image_id","target"\n"1","cat"\n"2","dog"\n"3","cat"\n', id="quotes"),
        pytest.param("1.jpg,cat\n2.jpg,dog\n3.JPG,cat\n", id="no header"),
        pytest.param(
            "img,label\n.\\images\\1.jpg, cat \n\n2.jpg,dog\n3.JPG,cat\n,,\n", id="Windows"
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_ways_to_write_a_table(table, encoding, tree_of, read):
    tree = tree_of(*IMAGES, **{"labels.csv": table.encode(encoding)})

    labels, splits, findings = read(TABLE, tree)

    assert labels == LABELS
    assert set(splits.values()) == {None}
    assert findings == {}
    assert TABLE.detect(tree) == "labels.csv lists images and their labels"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_labels_of_any_letters(encoding, tree_of, read):
    table = "file,label\n1.jpg,Löwe\n2.jpg,Bär\n".encode(encoding)

    labels, _, _ = read(TABLE, tree_of("1.jpg", "2.jpg", **{"t.csv": table}))

    assert labels == {"1.jpg": "Löwe", "2.jpg": "Bär"}


def test_other_columns_are_kept(tree_of):
    """For `group_by`; named as written."""
    table = b"file,label,split,Patient ID,note\n1.jpg,a,,p7,\n2.jpg,b,,p9,x\n"

    reading = TABLE.read(tree_of("1.jpg", "2.jpg", **{"t.csv": table}), Report(), max_records=9)

    assert [record.columns for record in reading.records] == [
        {"Patient ID": "p7", "note": ""},
        {"Patient ID": "p9", "note": "x"},
    ]


def test_split_column(tree_of, read):
    """An empty cell leaves the image to be split by us."""
    table = b"file,label,subset\n1.jpg,a,train\n2.jpg,b,Validation\n3.JPG,a,\n"

    _, splits, _ = read(TABLE, tree_of(*IMAGES, **{"t.csv": table}))

    assert splits == {"images/1.jpg": "train", "images/2.jpg": "val", "images/3.JPG": None}


def test_a_table_a_split(tree_of, read):
    tables = {
        "d/train.csv": b"file,label\nimages/1.jpg,a\n",
        "d/test.csv": b"file,label\nimages/2.jpg,b\n",
    }

    _, splits, _ = read(TABLE, tree_of("d/images/1.jpg", "d/images/2.jpg", **tables))

    assert splits == {"d/images/1.jpg": "train", "d/images/2.jpg": "test"}


def test_folders_for_the_splits(tree_of, read):
    """If nothing else says the split; one folder alone says nothing."""
    table = b"file,label\ntrain/1.jpg,a\ntrain/2.jpg,b\ntest/3.jpg,a\n"
    files = ("x/train/1.jpg", "x/train/2.jpg", "x/test/3.jpg")

    _, splits, _ = read(TABLE, tree_of(*files, **{"x/labels.csv": table}))
    assert splits == dict(zip(files, ("train", "train", "test"), strict=True))

    _, splits, _ = read(TABLE, tree_of(*files[:2], **{"x/labels.csv": table}))
    assert set(splits.values()) == {None}


def test_a_file_is_found_by_the_end_of_its_path(tree_of, read):
    """If one file only is meant; else the row is left out."""
    table = b"file,label\na/1.jpg,x\nb/1.jpg,y\n1.jpg,z\n"

    labels, _, findings = read(TABLE, tree_of("d/a/1.jpg", "d/b/1.jpg", **{"t.csv": table}))

    assert labels == {"d/a/1.jpg": "x", "d/b/1.jpg": "y"}
    assert findings == {"LISTED_FILES_MISSING": ["t.csv, row 4: 1.jpg"]}


def test_findings(tree_of, read):
    """Each names file and row."""
    table = b"file,label\n1.jpg,a\n1.jpg,a\n2.jpg,\n9.jpg,b\n2.jpg,b\n"
    other = b"name,age\nAnn,3\n"

    labels, _, findings = read(TABLE, tree_of(*IMAGES, **{"t.csv": table, "people.csv": other}))

    assert labels == {"images/1.jpg": "a", "images/2.jpg": "b"}
    assert findings == {
        "IMAGES_NOT_LISTED": ["images/3.JPG"],
        "LISTED_FILES_MISSING": ["t.csv, row 5: 9.jpg"],
        "ROWS_WITHOUT_LABEL": ["t.csv, row 4: 2.jpg"],
        "TABLES_IGNORED": ["people.csv"],
        "ROWS_REPEATED": ["t.csv, row 3: 1.jpg"],
    }


def test_a_file_under_two_labels_is_two_images(tree_of):
    """The import sees that they are the same, and says so."""
    table = b"file,label\n1.jpg,a\n1.jpg,b\n"

    reading = TABLE.read(tree_of("1.jpg", **{"t.csv": table}), Report(), max_records=9)

    assert [(r.file, r.annotation) for r in reading.records] == [
        ("1.jpg", {"label": 0}),
        ("1.jpg", {"label": 1}),
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"file,label,split\n1.jpg,a,holdout\n", "t.csv, row 2: the split is 'holdout'"),
        (b"file,label\n1.jpg," + b"x" * 201, "t.csv, row 2: the label has 201 characters"),
        (b"file,label\n1.jpg," + b"x" * 200_000, "t.csv cannot be read after row 1"),
        (b"file,label\n1.jpg,a" + b',"x\n"' * 210_000, "t.csv cannot be read after row 1: a row"),
        (b"file,label\n1.jpg,a" + b",x" * 600_000, "t.csv cannot be read after row 1: a row"),
    ],
)
def test_what_cannot_be_read(table, message, tree_of, read):
    """File and row are named."""
    with pytest.raises(InvalidInput, match=message):
        read(TABLE, tree_of("1.jpg", **{"t.csv": table}))


def test_as_many_rows_as_an_archive_may_have_files(tree_of):
    """The same file under many labels does not fill the memory."""
    table = b"file,label\n" + b"".join(b"1.jpg,%d\n" % number for number in range(10))
    tree = tree_of("1.jpg", **{"t.csv": table})

    assert len(TABLE.read(tree, Report(), max_records=10).records) == 10
    with pytest.raises(InvalidInput, match=r"t\.csv, row 11: the tables list more than 9 images"):
        TABLE.read(tree, Report(), max_records=9)


def test_most_classes(tree_of, read, monkeypatch):
    """A column that is different for each image is no label."""
    monkeypatch.setattr(formats, "MAX_CLASSES", 2)
    table = b"file,label\n1.jpg,a\n1.jpg,b\n2.jpg,a\n"
    assert len(read(TABLE, tree_of(*IMAGES, **{"t.csv": table}))[0]) == 2

    with pytest.raises(InvalidInput, match=r"more than 2 classes.* up to t\.csv, row 5"):
        read(TABLE, tree_of(*IMAGES, **{"t.csv": table + b"2.jpg,c\n"}))


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        pytest.param(b"", b"," * 40, id="columns"),
        pytest.param(b",n", b"," + b"x" * 2000, id="long cells"),
        pytest.param(b"," + b"n" * 2000, b",", id="a long name, which the manifest repeats"),
    ],
)
def test_further_columns_are_bounded(header, cells, tree_of, read, monkeypatch):
    """Over all rows of all tables."""
    header = header or b"".join(b",c%d" % number for number in range(40))
    tables = {
        f"{number}.csv": b"file,label%s\n1.jpg,%d%s\n" % (header, number, cells)
        for number in range(10)
    }
    tree = tree_of("1.jpg", **tables)
    assert len(TABLE.read(tree, Report(), max_records=10).records) == 10

    monkeypatch.setattr(table_files, "MAX_COLUMN_BYTES", 10_000)
    with pytest.raises(InvalidInput, match=r"[3-9]\.csv, row 2: up to here, the columns other"):
        TABLE.read(tree, Report(), max_records=10)


def test_too_large_a_table(tree_of, read, monkeypatch):
    monkeypatch.setattr(table_files, "MAX_TABLE_BYTES", 10)

    with pytest.raises(InvalidInput, match=r"t\.csv has 18 bytes; a table may have 10"):
        read(TABLE, tree_of("1.jpg", **{"t.csv": b"file,label\n1.jpg,a"}))


@pytest.mark.parametrize(
    "tables",
    [{}, {"t.csv": b""}, {"t.csv": b"name,age\nAnn,3\n"}, {"t.csv": b"a,b,c\n1.jpg,x,y\n"}],
)
def test_no_table(tables, tree_of, read):
    """Neither detected nor read if it is asked for by name."""
    tree = tree_of("1.jpg", **tables)

    assert TABLE.detect(tree) is None
    with pytest.raises(InvalidInput, match="no table with columns for file and label"):
        read(TABLE, tree)


def test_a_table_of_other_files_is_not_detected(tree_of):
    """A table with fitting columns may still be about something else."""
    assert TABLE.detect(tree_of("1.jpg", **{"t.csv": b"file,label\nx.doc,a\n"})) is None
