"""Cityscapes: what its masks say of pixels and of objects."""

import random

import pytest

from common.data import images
from common.data.findings import Report
from common.data.formats import choose
from common.data.formats.binary_masks import BinaryMasks
from common.data.formats.cityscapes import Cityscapes
from common.data.formats.cityscapes_objects import CityscapesObjects
from common.data.formats.cityscapes_table import table
from common.data.formats.coco import Coco
from common.data.formats.colour_masks import ColourMasks
from common.data.formats.index_masks import IndexMasks
from common.data.formats.instance_index import InstanceIndex
from common.masks.label_maps import VOID
from common.objects.drafts import Draft, complete
from tests.common.data.formats.drawn import read_objects, wide
from tests.common.data.formats.masks import grey, jpeg, labels_of
from tests.common.data.pictures import encode, picture
from tests.common.data.test_fuzz_import import mutated

MASKS = (IndexMasks(), BinaryMasks(), ColourMasks(), Cityscapes())
OBJECTS = (InstanceIndex(), CityscapesObjects())
IMAGE = "leftImg8bit/{0}/{1}_000000_000019_leftImg8bit.png"
MASK = "gtFine/{0}/{1}_000000_000019_gtFine_{2}.png"


def street(where: str = "train/aachen", **masks: bytes) -> dict[str, bytes]:
    """An image of 4 × 2 pixels with its masks by the ends of their names."""
    place = f"x/{where}", where.rpartition("/")[2]
    files = {IMAGE.format(where, place[1]): jpeg()}
    return files | {MASK.format(where, place[1], end): mask for end, mask in masks.items()}


LABEL_IDS = grey([0, 7, 9, 33], [26, 24, 4, 255])


def test_numbers_are_the_published_classes(tree_of):
    """Classes that nobody is measured by are void."""
    tree = tree_of(**street(labelIds=LABEL_IDS))

    found, classes, findings = labels_of(Cityscapes(), tree)

    assert list(found.values()) == [
        [[None, "road", None, "bicycle"], ["car", "person", None, None]],
    ]
    assert len(classes) == 19
    assert classes[0] == "road"
    assert findings == {}


def test_train_ids_are_used_if_only_these_are_there(tree_of):
    """They number the same classes from 0 to 18."""
    mask = grey([0, 13, 255, 18], [11, 11, 11, 11])

    found, classes, _ = labels_of(Cityscapes(), tree_of(**street(labelTrainIds=mask)))
    others, same, findings = labels_of(
        Cityscapes(), tree_of(**street(labelTrainIds=mask, labelIds=LABEL_IDS))
    )

    assert list(found.values()) == [[["road", "car", None, "bicycle"], ["person"] * 4]]
    assert classes == same
    assert next(iter(others.values()))[0] == [None, "road", None, "bicycle"]
    assert findings == {"MASK_SETS_IGNORED": ["gtFine/*_gtFine_labelTrainIds: 1 masks"]}


def test_a_value_for_void_makes_all_others_classes(tree_of):
    """As with any mask."""
    found, classes, findings = labels_of(Cityscapes(0), tree_of(**street(labelIds=LABEL_IDS)))

    assert next(iter(found.values()))[0] == [None, "road", "parking", "bicycle"]
    assert len(classes) == 33
    assert list(findings) == ["VALUES_OUTSIDE_CLASSES"], "255 is none then"


def test_a_table_in_the_archive_comes_first(tree_of):
    """As CVAT writes it: by their lines, the classes have the values 0, 1 and 2."""
    colours = b"0 0 0 unlabeled\n128 64 128 road\n0 0 142 my dog\n"
    tree = tree_of(
        **street(labelIds=grey([0, 1, 2, 2], [0, 0, 0, 0])), **{"label_colors.txt": colours}
    )

    found, classes, _ = labels_of(Cityscapes(), tree)

    assert next(iter(found.values()))[0] == [None, "road", "my dog", "my dog"]
    assert classes == ["road", "my dog"]


def test_only_this_format_takes_such_masks(tree_of):
    """Also where they have two values only, or colours lie beside them."""
    colours = encode(picture(4, 2), "PNG")
    for mask in (LABEL_IDS, grey([0, 7, 7, 0], [0, 0, 0, 0])):
        tree = tree_of(
            **street(labelIds=mask, color=colours, instanceIds=wide([7] * 4, [26000] * 4))
        )

        assert choose(MASKS, "", tree).name == "cityscapes"
        assert isinstance(choose(OBJECTS, "", tree), CityscapesObjects)
        assert "of each pixel" in Cityscapes().detect(tree)


@pytest.mark.parametrize("formats", [MASKS, OBJECTS])
def test_masks_in_general_are_of_other_formats(tree_of, formats):
    """It takes the ends of names as the data set has them."""
    files = {"images/1.jpg": jpeg(), "masks/1.png": grey([0, 1, 2, 3], [0, 0, 0, 0])}

    assert choose(formats, "", tree_of(**files)).name in {"index_masks", "instance_index"}


def test_splits_and_cities(tree_of):
    """The folders say the split, the name of the image the city; the test split has no labels."""
    files = {}
    for where in ("train/aachen", "val/bad-honnef", "test/berlin"):
        files |= street(where, labelIds=LABEL_IDS)

    reading = Cityscapes().read(tree_of(**files), Report(), max_records=10)

    assert [(record.split, record.columns) for record in reading.records] == [
        ("test", {"city": "berlin"}),
        ("train", {"city": "aachen"}),
        ("val", {"city": "bad-honnef"}),
    ]


def test_an_image_that_is_named_otherwise_has_no_city(tree_of):
    """As those that CVAT exports may be."""
    files = {
        "leftImg8bit/default/my cat_leftImg8bit.png": jpeg(),
        "gtFine/default/my cat_gtFine_labelIds.png": LABEL_IDS,
    }

    (record,) = Cityscapes().read(tree_of(**files), Report(), max_records=10).records

    assert record.columns == {}


INSTANCE_IDS = wide([7, 26000, 26000, 23], [26001, 26, 24000, 24000])


def test_objects(tree_of):
    """26001 is a car, 26 a crowd of them, 7 the road, of which there is no single one."""
    tree = tree_of(**street(instanceIds=INSTANCE_IDS, labelIds=LABEL_IDS))

    objects, _, findings = read_objects(CityscapesObjects(), tree)

    assert list(objects.values()) == [
        [
            ("car", [(1, 1)]),
            ("person", [(2, 1), (3, 1)]),
            ("car", [(1, 0), (2, 0)]),
            ("car", [(0, 1)]),
        ]
    ]
    assert sorted(findings) == ["MASK_SETS_IGNORED", "REGIONS_WITHOUT_OBJECTS"]
    (record,) = CityscapesObjects().read(tree, Report(), max_records=10).records
    assert record.columns == {"city": "aachen"}
    assert [one.crowd for one in record.annotation.objects] == [True, False, False, False]


def test_numbers_of_classes_alone_are_no_objects(tree_of):
    """As some programs write them, in 8 bits; what is meant would be a guess."""
    tree = tree_of(**street(instanceIds=grey([7, 26, 26, 23], [1, 1, 0, 255])))

    objects, _, findings = read_objects(CityscapesObjects(), tree)

    assert list(objects.values()) == [[]]
    assert set(findings) == {"REGIONS_WITHOUT_OBJECTS", "OBJECT_BORDERS_VOID"}


def test_boxes_around_objects(tree_of):
    """For detection; the masks are not kept in memory."""
    report = Report()
    tree = tree_of(**street(instanceIds=INSTANCE_IDS))

    reading = CityscapesObjects(boxes=True).read(tree, report, max_records=10)

    (record,) = reading.records
    assert [one.box for one in record.annotation.objects] == [
        (1, 1, 2, 2),
        (2, 1, 4, 2),
        (1, 0, 3, 1),
        (0, 1, 1, 2),
    ]
    assert all(one.outline is None for one in record.annotation.objects)
    assert reading.derived == "Boxes are those around masks of objects."
    assert {f.id: f.count for f in report.findings()}["BOXES_AROUND_OUTLINES"] == 4


def test_objects_that_are_listed_come_first(tree_of):
    """Files of COCO are made of these masks, and then packed beside them."""
    listed = (
        b'{"images": [{"id": 1, "file_name": "aachen_000000_000019_leftImg8bit.png"}],'
        b' "categories": [{"id": 1, "name": "car"}],'
        b' "annotations": [{"id": 1, "image_id": 1, "category_id": 1,'
        b' "segmentation": [[0, 0, 2, 0, 2, 2]], "bbox": [0, 0, 2, 2]}]}'
    )
    tree = tree_of(**street(instanceIds=INSTANCE_IDS), **{"annotations/train.json": listed})

    assert isinstance(choose((*OBJECTS, Coco(outlines=True)), "", tree), Coco)


def test_the_table():
    """Numbers in the masks as published, the same classes under both kinds of number."""
    every = {row.value: row.name for row in table("labelIds", every=True).rows}
    counted = {row.value: row.name for row in table("labelIds").rows if row.name != "void"}
    train = [row.name for row in table("gtFine/*_gtFine_labelTrainIds").rows]

    assert len(every) == 34
    assert every[0] == "unlabeled"
    assert every[33] == "bicycle"
    assert list(counted.values()) == train
    assert (counted[26], train[13]) == ("car", "car")
    assert VOID not in every


@pytest.mark.parametrize("entry", [Cityscapes(), CityscapesObjects()])
def test_mutated_masks(tree_of, entry):
    """Each is read or named; nothing but a refusal of all is raised."""
    chance = random.Random(0)
    read = 0
    for _ in range(40):
        masks = {"labelIds": mutated(LABEL_IDS, chance), "instanceIds": INSTANCE_IDS}
        if chance.random() < 0.5:
            masks["instanceIds"] = mutated(INSTANCE_IDS, chance)
        files = street(**masks) | street("val/ulm", labelIds=LABEL_IDS, instanceIds=INSTANCE_IDS)
        report = Report()
        tree = tree_of(**files)
        entry.detect(tree)
        reading = entry.read(tree, report, max_records=9)
        for record in reading.records:
            info = images.probe(tree.read(record.file), max_pixels=1000)
            draft = record.annotation
            made = (
                complete(draft, record.file, info, report, masks=True)
                if isinstance(draft, Draft)
                else draft.load(record.file, info, report)
            )
            read += made is not None
        report.findings()

    assert 40 < read <= 80
