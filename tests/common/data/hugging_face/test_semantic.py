"""Columns of masks, and outlines where there are none."""

import numpy as np
import pytest

from common.data.findings import Report
from common.data.hugging_face.semantic import HuggingFaceMasks
from common.data.images import probe
from common.errors import InvalidInput
from services.segmentation.semantic.task import SemanticTask
from tests.common.data.formats.samples import mask
from tests.common.data.hugging_face import tables
from tests.common.data.packing import jpeg
from tests.common.data.pictures import encode


@pytest.fixture
def read(tree_of):
    """Return the pixels of each class, by file, and the ids of findings."""

    def read(files, void_index=None, **told):
        tree, report = tree_of(files, **told), Report()
        reading = HuggingFaceMasks(void_index).read(tree, report, max_records=100)
        found = {}
        for record in reading.records:
            info = probe(tree.read(record.file), max_pixels=10**6)
            labels = record.annotation.load(record.file, info, report)
            if labels is not None:
                values, counts = np.unique(labels, return_counts=True)
                names = [reading.classes[v] if v >= 0 else "void" for v in values]
                found[record.file] = dict(zip(names, counts.tolist(), strict=True))
        return (
            found,
            {record.split for record in reading.records},
            {f.id for f in report.findings()},
        )

    return read


PIXELS = 64 * 48


def test_parquet_of_numbers(read):
    """Named by the hub's id2label.json, and void where the request says."""
    content = tables.parquet(
        {"image": tables.images(3), "label": [tables.image(mask(64, 48, 0, 1, 2, 255))] * 3}
    )
    names = b'{"0": "sky", "1": "road", "2": "car"}'

    found, _, findings = read({"data/train.parquet": content, "id2label.json": names})

    quarter = PIXELS // 4
    assert len(found) == 3
    assert next(iter(found.values())) == {
        "void": quarter,
        "sky": quarter,
        "road": quarter,
        "car": quarter,
    }
    assert findings == set()
    found, _, _ = read({"data/train.parquet": content, "id2label.json": names}, void_index=2)
    assert next(iter(found.values()))["void"] == 2 * quarter


def test_metadata_of_colours(read):
    """Masks in files beside, of whatever names."""
    colours = mask(64, 48, (255, 0, 0), (0, 0, 255))
    files = {
        "train/metadata.jsonl": tables.lines(
            {"file_name": "1.jpg", "mask_file_name": "other/a.png"},
            {"file_name": "2.jpg", "mask_file_name": "lost.png"},
            {"file_name": "3.jpg", "mask_file_name": None},
        ),
        "train/other/a.png": colours,
        "test/metadata.jsonl": tables.lines({"file_name": "4.jpg", "mask_file_name": "b.png"}),
        "test/b.png": colours,
    } | {f"{'test' if n == 4 else 'train'}/{n}.jpg": jpeg(n) for n in (1, 2, 3, 4)}

    found, splits, findings = read(files)

    half = PIXELS // 2
    assert found == {
        "test/4.jpg": {"colour #0000ff": half, "colour #ff0000": half},
        "train/1.jpg": {"colour #0000ff": half, "colour #ff0000": half},
    }
    assert splits == {"train", "test"}
    assert findings == {"MASK_CLASSES_GUESSED", "IMAGES_WITHOUT_MASK", "IMAGES_NOT_LISTED"}


def test_pictures_that_are_no_masks(read):
    """A column may be called like masks, and have photos."""
    photo = encode(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8), "PNG")
    content = tables.parquet({"image": tables.images(2), "target": [tables.image(photo)] * 2})

    with pytest.raises(InvalidInput, match="say no class of pixels"):
        read({"a.parquet": content})


def test_damaged_masks(read):
    """They are left out with their images."""
    masks = [mask(64, 48, 0, 5), b"no image", None]
    content = tables.parquet(
        {"image": tables.images(3), "mask": [tables.image(one) for one in masks]}
    )

    found, _, findings = read({"a.parquet": content})

    assert list(found.values()) == [{"background": PIXELS // 2, "foreground": PIXELS // 2}]
    assert findings == {"MASK_CLASSES_GUESSED", "MASKS_UNREADABLE"}


def test_outlines(tree_of):
    """Without masks, objects are filled."""
    ring = [4, 5, 24, 5, 24, 35, 4, 35]
    row = {"file_name": "1.jpg", "objects": {"segmentation": [[ring]], "category": ["leaf"]}}
    tree = tree_of({"metadata.jsonl": tables.lines(row), "1.jpg": jpeg(1)})
    task, report = SemanticTask(), Report()
    entry = HuggingFaceMasks()

    assert entry.detect(tree)
    reading = entry.read(tree, report, max_records=9)
    info = probe(tree.read("1.jpg"), max_pixels=10**6)
    annotation = task.complete(reading.records[0].annotation, "1.jpg", info, report)

    assert reading.classes == ["background", "leaf"]
    assert annotation is not None
    assert task.classes_of(annotation) == {0: PIXELS - 600, 1: 600}
