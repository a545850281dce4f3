"""Classes renamed, merged and dropped on import, for every task."""

import numpy as np
import pytest

from common.data.mapping import LabelMapping, check
from common.errors import InvalidInput
from common.reasons import Reason
from services.detection.task import DetectionTask
from services.segmentation.instance.task import InstanceTask
from services.segmentation.semantic import annotation as notes
from services.segmentation.semantic.task import SemanticTask
from tests.common.data.packing import folders, pack_zip
from tests.common.data.pictures import encode, picture

PETS = folders(cat=3, kitten=2, dog=4)
YAML = b"names: [cat, kitten, dog]\n"


def boxes(*texts: str) -> dict[str, bytes]:
    """YOLO, an image for each text."""
    files = {"data.yaml": YAML}
    for number, text in enumerate(texts):
        files[f"images/{number}.jpg"] = encode(picture(100, 80, number))
        files[f"labels/{number}.txt"] = text.encode()
    return files


def mapped(dataset):
    return [
        (one.source, one.target, one.image_count, one.object_count or one.pixel_count)
        for one in dataset.mapped_classes
    ]


def counts(dataset):
    return {one.class_name: one.object_count or one.pixel_count for one in dataset.class_counts}


def test_classes_of_images(import_archive):
    """Merged under a new name, and dropped with their images; each is said, with its count."""
    imported = import_archive(
        pack_zip(PETS | folders_of("fox", 2)),
        label_mapping={"cat": "feline", "kitten": " feline ", "fox": ""},
    )

    assert list(imported.dataset.classes) == ["feline", "dog"]
    assert counts(imported.dataset) == {"feline": 5, "dog": 4}
    assert mapped(imported.dataset) == [
        ("cat", "feline", 3, 3),
        ("fox", "", 2, 2),
        ("kitten", "feline", 2, 2),
    ]
    assert imported.findings["CLASSES_RENAMED"] == ["cat → feline", "kitten → feline"]
    assert imported.findings["CLASSES_DROPPED"] == ["fox"]
    assert imported.findings["IMAGES_OF_DROPPED_CLASSES"] == ["fox/100.jpg", "fox/101.jpg"]
    assert imported.dataset.skipped_count == 2


def folders_of(name, count):
    return {f"{name}/{100 + n}.jpg": encode(picture(seed=100 + n)) for n in range(count)}


def test_without_a_mapping_nothing_is_said(import_archive):
    dataset = import_archive(pack_zip(PETS)).dataset

    assert list(dataset.classes) == ["cat", "dog", "kitten"]
    assert not dataset.mapped_classes


def test_objects(import_archive):
    """Those of a dropped class are gone and their images stay; equal ones of one class are one."""
    import_archive.task = DetectionTask()
    box, other = "0.5 0.5 0.5 0.25\n", "0.25 0.25 0.1 0.1\n"
    files = boxes(f"0 {box}1 {box}2 {other}", f"2 {box}", f"1 {other}", "")

    imported = import_archive(pack_zip(files), label_mapping={"kitten": "cat", "dog": ""})

    assert list(imported.dataset.classes) == ["cat"]
    assert [len(entry.annotation["objects"]) for entry in imported.entries] == [1, 0, 1, 0]
    assert mapped(imported.dataset) == [("kitten", "cat", 2, 2), ("dog", "", 2, 2)]
    assert imported.findings["OBJECTS_MERGED"] == ["images/0.jpg"]
    assert imported.findings["IMAGES_WITHOUT_KEPT_CLASS"] == ["images/1.jpg"]
    assert imported.findings["IMAGES_WITHOUT_OBJECT"] == ["images/3.jpg"]


def test_masks_of_objects(import_archive):
    import_archive.task = InstanceTask()
    square = "0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
    files = boxes(f"0 {square}2 {square}", f"1 {square}")

    imported = import_archive(pack_zip(files), label_mapping={"dog": "cat", "kitten": "tiger"})

    assert list(imported.dataset.classes) == ["cat", "tiger"]
    labels = [[one["label"] for one in e.annotation["objects"]] for e in imported.entries]
    assert labels == [[0], [1]]


def test_pixels(import_archive):
    """Those of merged classes are counted together, those of a dropped one are void."""
    import_archive.task = SemanticTask()
    values = np.zeros((48, 64), np.uint8)
    values[:, :16], values[:, 16:32], values[:, 32:40] = 1, 2, 3
    only = np.full((48, 64), 3, np.uint8)
    files = {"classes.txt": b"0 sky\n1 road\n2 path\n3 car\n"}
    for number, mask in enumerate((values, only)):
        files[f"images/{number}.jpg"] = encode(picture(64, 48, number))
        files[f"masks/{number}.png"] = encode(mask, "PNG")

    imported = import_archive(pack_zip(files), label_mapping={"path": "road", "car": ""})

    assert counts(imported.dataset) == {"sky": 24 * 48, "road": 32 * 48}
    assert mapped(imported.dataset) == [
        ("path", "road", 1, 16 * 48),
        ("car", "", 2, 8 * 48 + 64 * 48),
    ]
    assert imported.findings["IMAGES_OF_DROPPED_CLASSES"] == ["images/1.jpg"]
    (annotation,) = imported.reader.annotations(imported.entries)
    labels_HW = notes.read(annotation)
    assert labels_HW[0, ::8].tolist() == [1, 1, 1, 1, -1, 0, 0, 0]
    assert notes.void_count(annotation) == 8 * 48


def test_names_are_swapped_at_once():
    """Not one after the other, so that nothing becomes what it was."""
    mapping = LabelMapping({"a": "b", "b": "a"}, ["a", "b", "c"], unused=[])

    assert mapping.classes == ["b", "a", "c"]


def test_a_class_that_no_image_shows_stays_one():
    mapping = LabelMapping({"a": "x", "b": "x"}, ["a", "b", "c"], unused=[0, 2])

    assert mapping.classes == ["x", "c"]
    assert mapping.unused == {1}


def test_a_name_that_is_no_class_fails(import_archive):
    """Before images are read, and it says which classes there are; nothing is left behind."""
    with pytest.raises(InvalidInput) as caught:
        import_archive(pack_zip(PETS), label_mapping={"cta": "x", "cat": "y"})

    assert caught.value.field == "label_mapping"
    assert "'cta', which the data does not have as a class" in caught.value.message
    assert "cat, dog, kitten" in caught.value.message
    assert not import_archive.left_behind()


def test_too_few_classes_may_remain(import_archive):
    with pytest.raises(InvalidInput) as caught:
        import_archive(pack_zip(PETS), label_mapping={"cat": "", "kitten": ""})

    assert caught.value.reason == Reason.TOO_FEW_CLASSES


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        pytest.param({"a": "x" * 201}, Reason.FIELD_TOO_LONG, id="a long name"),
        pytest.param({"a": "b", " a": "c"}, Reason.FIELD_NOT_ALLOWED, id="the same class twice"),
        pytest.param({" ": "b"}, Reason.FIELD_NOT_ALLOWED, id="no class"),
        pytest.param(dict.fromkeys(map(str, range(10_001)), "x"), Reason.FIELD_OUT_OF_RANGE),
    ],
)
def test_refused_before_the_data_is_known(mapping, reason):
    with pytest.raises(InvalidInput) as caught:
        check(mapping)

    assert (caught.value.reason, caught.value.field) == (reason, "label_mapping")
