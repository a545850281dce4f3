"""The half of instance segmentation that needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from common.data import formats
from common.data.findings import Report
from common.data.images import ImageInfo
from common.data.tree import Member, Tree
from common.errors import InvalidInput
from common.masks import rle
from common.objects import annotation as notes
from services.segmentation.instance.task import InstanceTask

TASK = InstanceTask()
SQUARE = [[5, 6, 15, 6, 15, 26, 5, 26]]
BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 6, 10, 20]}
YOLO_OUTLINE = b"0 0.25 0.375 0.75 0.375 0.5 0.625\n"


def coco(**more) -> bytes:
    """A file with one object."""
    lists = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 100, "height": 80}],
        "annotations": [BOX | more],
        "categories": [{"id": 1, "name": "cat"}],
    }
    return json.dumps(lists).encode()


@pytest.fixture
def tree_of(tmp_path):
    """Make a tree of an image and another file."""

    def tree_of(name: str, content: bytes) -> Tree:
        (tmp_path / "blob").write_bytes(content)
        members = {"1.jpg": Member(0, 0), name: Member(0, len(content))}
        return Tree(tmp_path / "blob", members)

    return tree_of


def test_it_has_its_name_and_the_likeliest_formats_first():
    assert TASK.name == "instance-segmentation"
    assert TASK.counted == "object_count"
    assert [entry.name for entry in TASK.formats][:4] == [
        *("coco", "yolo", "object_masks", "instance_index")
    ]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.json", coco(segmentation=SQUARE), "coco"),
        ("x.json", coco(segmentation={"size": [80, 100], "counts": [6, 7, 7987]}), "coco"),
        ("1.txt", YOLO_OUTLINE, "yolo"),
    ],
)
def test_outlines_are_detected(name, content, expected, tree_of):
    """As one format and no other."""
    assert formats.choose(TASK.formats, "", tree_of(name, content)).name == expected


@pytest.mark.parametrize(
    ("name", "content"), [("x.json", coco()), ("1.txt", b"0 0.5 0.5 0.5 0.25\n")]
)
def test_boxes_alone_are_no_data_for_masks(name, content, tree_of):
    with pytest.raises(InvalidInput):
        formats.choose(TASK.formats, "", tree_of(name, content))


def test_a_file_becomes_what_the_manifest_holds(tree_of):
    """The mask as text; box and area of its own."""
    tree = tree_of("x.json", coco(segmentation=SQUARE, area=777))
    report = Report()
    (record,) = formats.choose(TASK.formats, "", tree).read(tree, report, max_records=9).records
    info = ImageInfo("JPEG", 100, 80, 1, "RGB", 8, has_alpha=False)

    made = json.loads(json.dumps(TASK.complete(record.annotation, "1.jpg", info, report)))

    (one,) = notes.read(made)
    expected_HW = np.zeros((80, 100), np.uint8)
    expected_HW[6:26, 5:15] = 1
    np.testing.assert_array_equal(rle.decode(rle.trusted(one.mask, 80, 100)), expected_HW)
    assert (one.box, one.area) == ((5, 6, 15, 26), 200)
    assert [finding.id for finding in report.findings()] == ["AREAS_NOT_OF_MASKS"]


def test_an_image_of_many_objects_stays_small(tree_of):
    """369 circles in a photo of 4000 × 3000: some hundred bytes each, not 12 million."""
    angle_P = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rng = np.random.default_rng(0)
    objects = []
    for number in range(369):
        x, y = rng.uniform(100, 3900), rng.uniform(100, 2900)
        points_P2 = np.stack([x + 60 * np.cos(angle_P), y + 60 * np.sin(angle_P)], axis=1)
        objects.append(BOX | {"id": number, "bbox": None, "segmentation": [points_P2.ravel()]})
    lists = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 4000, "height": 3000}],
        "annotations": objects,
        "categories": [{"id": 1, "name": "cell"}],
    }
    tree = tree_of("x.json", json.dumps(lists, default=list).encode())
    (record,) = TASK.formats[0].read(tree, Report(), max_records=9).records
    info = ImageInfo("JPEG", 4000, 3000, 1, "RGB", 8, has_alpha=False)

    made = TASK.complete(record.annotation, "1.jpg", info, Report())

    assert len(made["objects"]) == 369
    assert len(json.dumps(made)) < 369 * 500


def test_it_needs_no_torch_until_it_learns():
    """An import runs in a process that does not pay for it."""
    code = (
        "import sys;"
        "from services.segmentation.instance.task import InstanceTask; InstanceTask().formats;"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
