"""What labeling programs export, and publishers share, is imported as it is; counted by hand."""

import pytest

from services.detection.task import DetectionTask
from tests.common.data import exports
from tests.common.data.packing import pack_zip

# Archive, format, objects of each class, images of each split, how often each finding is made, and
# how many files were left out.
EXPORTS = {
    "Roboflow COCO": (
        exports.roboflow_coco(),
        "coco",
        {"RBC": 2, "WBC": 2},
        {"train": 2, "val": 1, "test": 1},
        {"CLASSES_UNUSED": 1, "IMAGES_WITHOUT_OBJECT": 1},
        0,
    ),
    "Roboflow YOLO": (
        exports.roboflow_yolo(),
        "yolo",
        {"RBC": 1, "WBC": 2},
        {"train": 1, "val": 1, "test": 1},
        {"IMAGES_WITHOUT_OBJECT": 1},
        0,
    ),
    "Roboflow VOC": (
        exports.roboflow_voc(),
        "voc",
        {"RBC": 3},
        {"train": 1, "val": 1, "test": 1},
        {},
        0,
    ),
    "Ultralytics, no YAML": (
        exports.ultralytics(),
        "yolo",
        {"45": 3},
        {"train": 2, "val": 1},
        {"CLASSES_GUESSED": 1},
        0,
    ),
    "Ultralytics, folders": (
        exports.ultralytics(exports.COCO8),
        "yolo",
        {"bowl": 3},
        {"train": 2, "val": 1},
        {"CLASSES_UNUSED": 1},
        0,
    ),
    "Ultralytics, lists": (
        exports.ultralytics(exports.COCO8_LISTS, **exports.LISTS),
        "yolo",
        {"bowl": 3},
        {"train": 2, "val": 1},
        {"CLASSES_UNUSED": 1, "SPLIT_ENTRIES_MISSING": 1},
        0,
    ),
    "LabelImg YOLO": (
        exports.labelimg_yolo(),
        "yolo",
        {"Straße": 1, "Ampel": 2},
        {},
        {"IMAGES_UNLABELED": 1},
        1,
    ),
    "LabelImg VOC": (exports.labelimg_voc(), "voc", {"Ampel": 1, "Straße": 1}, {}, {}, 0),
    "CVAT YOLO": (
        exports.cvat_yolo(),
        "yolo",
        {"dog": 1, "cat": 2},
        {"train": 2, "val": 1},
        {"IMAGES_WITHOUT_OBJECT": 1},
        0,
    ),
    "CVAT Ultralytics": (
        exports.cvat_ultralytics(),
        "yolo",
        {"dog": 1, "cat": 1},
        {"train": 1, "val": 1},
        {},
        0,
    ),
    "CVAT COCO": (
        exports.cvat_coco(),
        "coco",
        {"dog": 1, "cat": 1},
        {},
        {"IMAGES_WITHOUT_OBJECT": 1},
        0,
    ),
    "CVAT VOC": (
        exports.cvat_voc(),
        "voc",
        {"cat": 1, "dog": 1},
        {"train": 1, "val": 1},
        {},
        0,
    ),
    "Label Studio COCO": (
        exports.label_studio_coco(),
        "coco",
        {"Car": 1, "Airplane": 1},
        {},
        {"IMAGES_WITHOUT_OBJECT": 1},
        0,
    ),
    "Label Studio YOLO": (
        exports.label_studio_yolo(),
        "yolo",
        {"Airplane": 1, "Car": 1},
        {},
        {},
        0,
    ),
    "Pascal VOC 2012": (
        exports.voc2012(),
        "voc",
        {"dog": 2, "person": 1},
        {"train": 1, "val": 1},
        {"IMAGES_UNLABELED": 1, "SPLIT_ENTRIES_MISSING": 31},
        1,
    ),
    "COCO val2017": (
        exports.coco_val2017(),
        "coco",
        {"stop sign": 2, "toothbrush": 1},
        {},
        {"LISTED_FILES_MISSING": 1, "ANNOTATION_FILES_IGNORED": 2},
        1,
    ),
    "Global Wheat": (
        exports.global_wheat(),
        "csv_boxes",
        {"object": 3},
        {},
        {"IMAGES_NOT_LISTED": 1, "TABLES_IGNORED": 1, "CLASSES_GUESSED": 1},
        1,
    ),
    "SKU-110K": (
        exports.sku110k(),
        "csv_boxes",
        {"object": 6},
        {"train": 1, "val": 1, "test": 1},
        {},
        0,
    ),
    "cars on Kaggle": (
        exports.kaggle_cars(),
        "csv_boxes",
        {"object": 1},
        {},
        {"IMAGES_NOT_LISTED": 1, "CLASSES_GUESSED": 1},
        1,
    ),
    "tables for TensorFlow": (
        exports.tensorflow_tables(),
        "csv_boxes",
        {"raccoon": 2},
        {"train": 1, "test": 1},
        {},
        0,
    ),
    "from a Mac": (exports.from_a_mac(), "yolo", {"0": 2}, {}, {"CLASSES_GUESSED": 1}, 0),
    "from Windows": (
        exports.from_windows(),
        "yolo",
        {"a": 1},
        {},
        {"CLASSES_UNUSED": 1},
        0,
    ),
    "copies in train and test": (
        exports.copies_in_train_and_test(),
        "yolo",
        {"a": 3},
        {"train": 1, "test": 2},
        {"EXACT_DUPLICATES": 1, "DUPLICATES_ACROSS_SPLITS": 1},
        0,
    ),
}
# So few images always have these.
FEW = {"FEW_OBJECTS", "CLASS_TOO_SMALL", "CLASS_NOT_IN_TRAIN"}


@pytest.fixture
def import_boxes(import_archive):
    import_archive.task = DetectionTask()
    return import_archive


@pytest.mark.parametrize(
    ("files", "format_", "objects", "splits", "findings", "skipped"),
    EXPORTS.values(),
    ids=EXPORTS.keys(),
)
def test_exports(files, format_, objects, splits, findings, skipped, import_boxes):
    """Without a word from the user; what is noticed is true, and no more."""
    dataset = import_boxes(pack_zip(files)).dataset

    assert dataset.format == format_
    assert {c.class_name: c.object_count for c in dataset.class_counts} == objects
    assert {s.subset: s.image_count for s in dataset.given_splits} == splits
    assert {f.id: f.count for f in dataset.findings if f.id not in FEW} == findings
    assert dataset.skipped_count == skipped


def test_boxes_of_exports(import_boxes):
    """In pixels from 0, whatever the program counts from, and whatever the image is called."""
    devkit = import_boxes(pack_zip(exports.voc2012()))
    wheat = import_boxes(pack_zip(exports.global_wheat()))
    cvat = import_boxes(pack_zip(exports.cvat_coco()))

    assert [entry.annotation["objects"] for entry in devkit.entries] == [
        [{"label": 1, "box": [10, 20, 40, 60]}],
        [{"label": 0, "box": [10, 20, 40, 60]}],
        [{"label": 0, "box": [10, 20, 40, 60]}],
    ]
    assert {entry.file: entry.annotation["objects"] for entry in wheat.entries} == {
        "train/a1.jpg": [{"label": 0, "box": [4, 5, 10, 12]}],
        "train/b6ab77fd7.jpg": [
            {"label": 0, "box": [34, 22, 90, 58]},
            {"label": 0, "box": [26, 44, 50, 64]},
        ],
    }
    assert {entry.columns["source"] for entry in wheat.entries} == {"usask_1", "arvalis_1"}
    assert {entry.file: entry.annotation["objects"] for entry in cvat.entries} == {
        "images/default/f.PNG": [{"label": 0, "box": [0, 2, 30, 42]}],
        "images/default/g.PNG": [],
        "images/default/s/f.PNG": [{"label": 1, "box": [1, 2, 31, 42]}],
    }


def test_a_class_that_lost_all_its_boxes_is_not_one_without_any(import_boxes):
    """The one was meant to be there, the other may be a leftover."""
    files = exports.images("1.jpg") | exports.texts(
        **{
            "1.txt": exports.BOX + "1 5 5 0.1 0.1\n",
            "data.yaml": "names: [cat, lost, unused]\n",
        }
    )

    imported = import_boxes(pack_zip(files))

    assert list(imported.dataset.classes) == ["cat"]
    assert imported.findings["BOXES_OUTSIDE_IMAGE"] == ["1.txt, line 2"]
    assert imported.findings["CLASSES_WITHOUT_IMAGES"] == ["lost"]
    assert imported.findings["CLASSES_UNUSED"] == ["unused"]
