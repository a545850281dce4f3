"""Which pictures are masks, of which images."""

import pytest

from common.data.findings import Report
from common.data.formats.mask_files import MaskFiles, listed_splits


def sets(tree):
    return {one.name: {pair.image: pair.mask for pair in one.pairs} for one in MaskFiles(tree).sets}


@pytest.mark.parametrize(
    ("image", "mask", "name"),
    [
        ("images/1.jpg", "masks/1.png", "masks"),
        ("images/train/1.jpg", "masks/train/1.png", "masks"),
        ("train/images/1.jpg", "train/masks/1.png", "masks"),
        ("train2017/1.jpg", "masks_train2017/1.png", "masks"),
        ("train/1.jpg", "train_labels/1.png", "labels"),
        ("train/1.png", "trainannot/1.png", "annot"),
        ("images/training/1.jpg", "annotations/training/1.png", "annotations"),
        ("JPEGImages/1.jpg", "SegmentationClass/1.png", "SegmentationClass"),
        ("img/1.jpg", "gt/1.png", "gt"),
        ("a.b.c/x.rf.12.jpg", "labels/x.rf.12.png", "labels"),
        ("images/1.jpg", "masks/1_mask.png", "masks/*_mask"),
        ("images/1.jpg", "ground truth/1-seg.png", "ground truth/*-seg"),
        ("1.jpg", "1_mask.png", "*_mask"),
        ("train/1.jpg", "train/1_mask.png", "*_mask"),
        ("train/1_sat.jpg", "train/1_mask.png", "*_mask"),
        ("images/1.jpg", "images/1_label.png", "*_label"),
        ("0001TP.png", "LabeledApproved/masks/0001TP_L.png", "LabeledApproved/masks/*_L"),
        (
            "leftImg8bit/train/ulm/ulm_1_leftImg8bit.png",
            "gtFine/train/ulm/ulm_1_gtFine_labelIds.png",
            "gtFine/*_gtFine_labelIds",
        ),
    ],
)
def test_pairs(image, mask, name, tree_of):
    """Also inside of folders around everything, whatever these are called."""
    assert sets(tree_of(image, mask)) == {name: {image: mask}}
    around = {f"my-segmentation/v1/{image}": f"my-segmentation/v1/{mask}"}
    assert list(sets(tree_of(*around, *around.values())).values()) == [around]


@pytest.mark.parametrize(
    "paths",
    [
        ("cats/1.jpg", "dogs/1.jpg"),
        ("images/1.jpg", "labels/1.txt"),
        ("images/1.jpg", "images/left_l.jpg"),
        ("images/1.jpg", "masks/2.png"),
        ("masks/images/1.jpg",),
        ("1_mask.png", "2_mask.png"),
    ],
)
def test_no_masks(paths, tree_of):
    assert sets(tree_of(*paths)) == {}


def test_the_same_name_in_each_split(tree_of):
    tree = tree_of(
        *("train/images/1.jpg", "test/images/1.jpg", "train/masks/1.png", "test/masks/1.png"),
        *("images/val/2.jpg", "images/dev/2.jpg", "masks/val/2.png"),
    )

    assert sets(tree) == {
        "masks": {
            "images/val/2.jpg": "masks/val/2.png",
            "test/images/1.jpg": "test/masks/1.png",
            "train/images/1.jpg": "train/masks/1.png",
        }
    }


def test_cities(tree_of):
    """The masks of Cityscapes: numbers come before colours, and objects last."""
    kinds = ("color", "instanceIds", "labelIds")
    tree = tree_of(
        *(f"leftImg8bit/train/ulm/ulm_{n}_leftImg8bit.png" for n in range(2)),
        *(f"gtFine/train/ulm/ulm_{n}_gtFine_{kind}.png" for n in range(2) for kind in kinds),
    )

    found = MaskFiles(tree).sets

    assert [one.name.rpartition("_")[2] for one in found] == ["labelIds", "color", "instanceIds"]
    assert [one.is_other for one in found] == [False, False, True]


def test_voc(tree_of):
    """Objects are no classes."""
    folders = ("JPEGImages", "SegmentationClass", "SegmentationObject")

    found = MaskFiles(tree_of(*(f"VOC/{folder}/1.png" for folder in folders))).sets

    assert [(one.name, one.is_other) for one in found] == [
        ("SegmentationClass", False),
        ("SegmentationObject", True),
    ]


def test_an_image_whose_name_ends_like_that_of_a_mask(tree_of):
    tree = tree_of("images/eye_l.jpg", "images/eye_r.jpg", "masks/eye_l.png", "masks/eye_r.png")

    assert sets(tree) == {
        "masks": {"images/eye_l.jpg": "masks/eye_l.png", "images/eye_r.jpg": "masks/eye_r.png"}
    }


def test_what_is_left_over(tree_of):
    tree = tree_of("images/1.jpg", "images/2.jpg", "masks/1.bmp", "masks/1.png", "masks/3.png")

    files = MaskFiles(tree)

    assert files.images == ["images/1.jpg", "images/2.jpg"]
    assert files.sets[0].lonely == ["masks/3.png"]
    assert files.sets[0].repeated == ["masks/1.png"]


LISTED = ["JPEGImages/1.jpg", "JPEGImages/2.jpg", "JPEGImages/a.b.jpg"]


@pytest.mark.parametrize(
    ("train", "val"),
    [
        (b"1\na.b\n", b"2\n"),
        (b"\xef\xbb\xbf1\r\na.b\r\n\r\n", b"2"),
        (b"/x/JPEGImages/1.jpg /x/SegmentationClass/1.png\nJPEGImages/a.b.jpg y", b"2.jpg"),
    ],
)
def test_lists(train, val, tree_of):
    tree = tree_of(
        **{
            "ImageSets/Segmentation/train.txt": train,
            "ImageSets/Segmentation/val.txt": val,
            "ImageSets/Segmentation/trainval.txt": b"1\n2\na.b",
            "ImageSets/Main/train.txt": b"2",
        }
    )

    assert listed_splits(tree, LISTED, Report()) == {
        LISTED[0]: {"train"}, LISTED[1]: {"val"}, LISTED[2]: {"train"}
    }  # fmt: skip


def test_lists_of_missing_images(tree_of):
    report = Report()

    listed = listed_splits(tree_of(**{"train.txt": b"1\n7\n"}), LISTED, report)

    assert listed == {LISTED[0]: {"train"}}
    assert list(report.findings()[0].examples) == ["train.txt, line 2: 7"]


def test_a_text_about_something_else(tree_of):
    report = Report()

    assert listed_splits(tree_of(**{"train.txt": b"epoch 1\nepoch 2\n"}), LISTED, report) == {}
    assert report.findings() == []
