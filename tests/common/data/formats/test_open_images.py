"""Tables of Open Images, as published and as tools that download parts of them write them."""

from types import SimpleNamespace

import numpy as np
import pytest

from common.data import formats
from common.data.findings import Report
from common.data.formats.csv_boxes import CsvBoxes
from common.data.formats.open_images import OpenImages
from common.data.formats.pictures import Boxed, Flattened, Outlined, Tagged
from common.errors import InvalidInput
from common.masks import rle
from common.objects.drafts import complete
from tests.common.data.formats.open_images_made import (
    BOX,
    BOX_COLUMNS,
    BOXES,
    CAT,
    DOG,
    IMAGES,
    MASK,
    MASK_COLUMNS,
    MASK_FILE,
    NAMES,
    ONE,
    PUBLISHED,
    TWO,
    box_table,
    label_table,
    mask_table,
)
from tests.common.data.formats.reading import boxes, pictures_of
from tests.common.data.pictures import encode

OPEN = OpenImages()


def test_boxes(tree_of):
    tree = tree_of(*IMAGES, **{"a.csv": BOXES, "class-descriptions-boxable.csv": NAMES})

    pictures, classes, findings = pictures_of(OPEN, tree)

    assert findings == {}
    assert classes == []
    first, second = (pictures[file] for file in IMAGES)
    assert first.normalized
    assert boxes(first) == [("Cat", *BOX), ("Dog", *BOX)]
    assert boxes(second) == [("Dog", *BOX)]
    assert [(s.truncated, s.crowd) for s in first.shapes] == [(False, False), (True, True)]
    # -1 means that nobody knows.
    assert [(s.truncated, s.crowd) for s in second.shapes] == [(False, False)]
    assert first.labeled
    assert OPEN.detect(tree) == "a.csv has the columns of Open Images"


@pytest.mark.parametrize("more", [{}, {"read me.csv": b"a,b\n"}])
def test_all_that_is_published(more, tree_of):
    """A box and its mask are one object; masks are no images."""
    tree = tree_of(*IMAGES, **PUBLISHED, **more)

    pictures, _, findings = pictures_of(OPEN, tree)

    first = pictures[IMAGES[0]]
    assert boxes(first) == [("Cat", *BOX), ("Dog", *BOX)]
    assert first.tags == ["Cat"]
    assert (rle.decode(first.shapes[0].outline.rle) == MASK).all()
    assert first.shapes[1].outline is None
    ignored = {"TABLES_IGNORED": ["read me.csv"]} if more else {}
    absent = "train-annotations-human-imagelabels-boxable.csv, row 3"
    assert findings == {"LABELS_ABSENT": [absent]} | ignored


def test_made_into_data_sets(tree_of):
    """The mask, of half the size, is scaled to its image."""
    tree = tree_of(*IMAGES, **PUBLISHED)
    info = SimpleNamespace(width=100, height=80, orientation=1)

    found = {}
    for kind in (Boxed, Outlined):
        report = Report()
        reading = kind(OPEN).read(tree, report, max_records=9)
        record = reading.records[0]
        masks = kind is Outlined
        found[kind] = [
            (reading.classes[one.label], one.box)
            for one in complete(record.annotation, record.file, info, report, masks=masks)
        ]
        assert "IMAGES_NOT_LISTED" not in {finding.id for finding in report.findings()}

    assert found[Boxed] == [("Cat", (10, 16, 40, 32)), ("Dog", (10, 16, 40, 32))]
    assert found[Outlined] == [("Cat", (10, 16, 40, 32))]
    assert all(kind(OPEN).detect(tree) for kind in (Boxed, Outlined, Tagged, Flattened))


def test_the_layout_of_downloaders(tree_of):
    """FiftyOne writes a folder for each split, with tables of the same columns."""
    files = {
        f"{split}/{path}": content
        for split in ("train", "validation")
        for path, content in {
            "labels/detections.csv": box_table((ONE, CAT, "0,0,0,0,0")),
            "labels/classifications.csv": label_table((ONE, "verification", DOG, "1")),
            "labels/segmentations.csv": mask_table(MASK_FILE),
            f"labels/masks/0/{MASK_FILE}": encode(MASK, "PNG"),
            "metadata/classes.csv": b"LabelName,DisplayName\n" + NAMES,
            "metadata/image_ids.csv": b"ImageID,Subset,OriginalURL\n",
        }.items()
    }
    images = [f"{split}/data/{ONE}.jpg" for split in ("train", "validation")]
    tree = tree_of(*images, **files)

    pictures, _, findings = pictures_of(OPEN, tree)

    assert {file: picture.split for file, picture in pictures.items()} == {
        "train/data/0a1b2c3d4e5f6071.jpg": "train",
        "validation/data/0a1b2c3d4e5f6071.jpg": "val",
    }
    for picture in pictures.values():
        assert boxes(picture) == [("Cat", *BOX)]
        assert picture.shapes[0].outline is not None
        assert picture.tags == ["Dog"]
    assert list(findings) == ["TABLES_IGNORED"]


@pytest.mark.parametrize(
    ("row", "tags", "finding_id"),
    [
        ((ONE, "verification", CAT, "1"), ["Cat"], None),
        ((ONE, "verification", CAT, "1.0"), ["Cat"], None),
        ((ONE, "verification", CAT, "0"), [], "LABELS_ABSENT"),
        ((ONE, "machine", CAT, "0.7"), [], "LABELS_UNVERIFIED"),
        ((ONE, "machine", CAT, "1"), [], "LABELS_UNVERIFIED"),
        ((ONE, "verification", CAT, "sure"), [], "LABELS_UNVERIFIED"),
        ((ONE, "verification", CAT, "nan"), [], "LABELS_UNVERIFIED"),
    ],
)
def test_labels_of_images(row, tags, finding_id, tree_of):
    tree = tree_of(*IMAGES, **{"a.csv": label_table(row, row), "names.csv": NAMES})

    pictures, _, findings = pictures_of(OPEN, tree)

    picture = pictures[IMAGES[0]]
    assert picture.tags == tags
    assert list(findings) == ([finding_id] if finding_id else [])
    # Nobody has looked for objects.
    assert not picture.labeled


def test_a_data_set_for_classification(tree_of):
    labels = label_table((ONE, "verification", CAT, "1"), (TWO, "verification", DOG, "1"))
    tree = tree_of(*IMAGES, **{"a.csv": labels, "class-descriptions.csv": NAMES})

    reading = Tagged(OPEN).read(tree, Report(), max_records=9)

    assert [reading.classes[record.annotation["label"]] for record in reading.records] == [
        "Cat",
        "Dog",
    ]
    assert Tagged(OPEN).detect(tree)
    assert not Boxed(OPEN).detect(tree)


def test_images_with_labels_only_are_unlabeled_for_boxes(tree_of):
    tree = tree_of(
        *IMAGES,
        **{
            "boxes.csv": box_table((ONE, CAT, "0,0,0,0,0")),
            "labels.csv": label_table((TWO, "verification", CAT, "1")),
        },
    )
    report = Report()

    reading = Boxed(OPEN).read(tree, report, max_records=9)

    assert [record.file for record in reading.records] == [IMAGES[0]]
    (unlabeled,) = [f for f in report.findings() if f.id == "IMAGES_UNLABELED"]
    assert list(unlabeled.examples) == [IMAGES[1]]


def test_classes_without_a_name_keep_their_identifier(tree_of):
    tree = tree_of(*IMAGES, **{"a.csv": box_table(*[(ONE, CAT, "0,0,0,0,0")] * 3)})

    pictures, _, findings = pictures_of(OPEN, tree)

    assert [shape.label for shape in pictures[IMAGES[0]].shapes] == [CAT] * 3
    assert findings == {"CLASSES_GUESSED": ["a.csv, row 2: /m/01yrx"]}


def test_masks_without_boxes_are_objects(tree_of):
    """Two of the same box are two objects, one of which is the box's."""
    other = f"{ONE}_m01yrx_00000000.png"
    pictures = {f"masks/{file}": encode(MASK, "PNG") for file in (MASK_FILE, other)}
    tables = {"m.csv": mask_table(MASK_FILE, other), "names.csv": NAMES}

    alone, _, _ = pictures_of(OPEN, tree_of(*IMAGES, **tables, **pictures))
    tables["b.csv"] = box_table((ONE, CAT, "0,0,1,0,0"))
    both, _, _ = pictures_of(OPEN, tree_of(*IMAGES, **tables, **pictures))

    for picture in (alone[IMAGES[0]], both[IMAGES[0]]):
        assert boxes(picture) == [("Cat", *BOX)] * 2
        assert all(shape.outline for shape in picture.shapes)
    assert [shape.where for shape in both[IMAGES[0]].shapes] == ["row 2", "row 3 of m.csv"]
    assert [shape.crowd for shape in both[IMAGES[0]].shapes] == [True, False]


def test_coloured_masks(tree_of):
    """What is not black is inside, of whatever kind the picture is."""
    picture = np.zeros((*MASK.shape, 3), np.uint8)
    picture[MASK] = (0, 0, 255)
    tree = tree_of(
        *IMAGES, **{"m.csv": mask_table(MASK_FILE), f"masks/{MASK_FILE}": encode(picture, "PNG")}
    )

    (shape,) = pictures_of(OPEN, tree)[0][IMAGES[0]].shapes

    assert (rle.decode(shape.outline.rle) == MASK).all()


def test_what_cannot_be_read_is_named(tree_of):
    bad = BOX_COLUMNS + f"{ONE},x,{CAT},1,0.1,wide,0.2,0.4\n{ONE},x,{CAT}\n\n{ONE}x,x,{CAT},1\n"
    masks = MASK_COLUMNS + f"{MASK_FILE},{ONE},{CAT},1,0.1,0.4,0.2,0.4\ngone.png,{ONE},{CAT}\n"
    tree = tree_of(
        *IMAGES,
        **{"a.csv": bad.encode(), "m.csv": masks.encode(), f"m/{MASK_FILE}": b"\x89PNG\r\n\x1a\nx"},
        **{"names.csv": NAMES},
    )

    pictures, _, findings = pictures_of(OPEN, tree)

    assert findings.pop("OBJECT_MASKS_UNREADABLE")[0].startswith(f"m/{MASK_FILE}: ")
    assert findings == {
        "BOXES_UNREADABLE": ["a.csv, row 2", "a.csv, row 3", "m.csv, row 3"],
        "LISTED_FILES_MISSING": [f"a.csv, row 5: {ONE}x", "m.csv, row 3: gone.png"],
    }
    picture = pictures[IMAGES[0]]
    assert picture.dropped == 3
    assert boxes(picture) == [("Cat", *BOX)]
    assert picture.shapes[0].outline is None


def test_tables_of_boxes_leave_these_alone(tree_of):
    """Both could read them; only one takes them, unless the other is named."""
    tree = tree_of(*IMAGES, **{"a.csv": BOXES, "class-descriptions.csv": NAMES})
    both = (CsvBoxes(), Boxed(OPEN))

    assert formats.choose(both, "", tree).name == "open_images"
    assert formats.choose(both, "csv_boxes", tree).name == "csv_boxes"
    assert CsvBoxes().read(tree, Report(), max_records=9).classes == [CAT, DOG]


@pytest.mark.parametrize("files", [{}, {"class-descriptions.csv": NAMES}, {"a.csv": b"a,b\n1,2\n"}])
def test_refused_if_there_is_nothing_to_read(files, tree_of):
    with pytest.raises(InvalidInput, match="no annotation file of open_images"):
        OPEN.read(tree_of(*IMAGES, **files), Report(), max_records=9)


def test_more_images_than_may_be(tree_of):
    with pytest.raises(InvalidInput, match="more than 1 images"):
        OPEN.read(tree_of(*IMAGES, **{"a.csv": BOXES}), Report(), max_records=1)
