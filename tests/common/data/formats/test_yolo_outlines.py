"""YOLO texts read for masks."""

from __future__ import annotations

import random

import pytest

from common.data.findings import Report
from common.data.formats.yolo import Yolo
from common.errors import InvalidInput
from common.objects import drafts
from common.objects.drafts import complete
from tests.common.data.formats.made import BOX, SAME, info
from tests.common.data.formats.test_yolo import OUTLINE, two_sets
from tests.common.data.test_fuzz_import import mutated

YOLO = Yolo()
OUTLINES = Yolo(outlines=True)
POINTS = [0.25, 0.375, 0.75, 0.375, 0.5, 0.625]
NAMES = b"names: [cat, dog]\n"


def read(tree):
    """The drafts of images, and the findings' examples."""
    report = Report()
    reading = OUTLINES.read(tree, report, max_records=1000)
    found = {record.file: record.annotation for record in reading.records}
    return found, {finding.id: list(finding.examples) for finding in report.findings()}


def test_points_are_kept(tree_of):
    """As fractions, with the box around; a line of a box has no outline."""
    found, findings = read(tree_of("1.jpg", **{"1.txt": OUTLINE + BOX, "data.yaml": NAMES}))

    outlined, boxed = found["1.jpg"].objects
    (polygon,) = outlined.outline.polygons
    assert polygon.tolist() == POINTS
    assert (outlined.box, outlined.boxed) == (SAME, False)
    assert (boxed.outline, boxed.box, boxed.boxed) == (None, SAME, True)
    assert findings == {}


def test_a_triangle_becomes_its_mask(tree_of):
    """On 100 × 80 pixels: 50 wide and 20 high, half of that, give or take the border."""
    found, _ = read(tree_of("1.jpg", **{"1.txt": OUTLINE + BOX, "data.yaml": NAMES}))
    report = Report()

    (one,) = complete(found["1.jpg"], "1.jpg", info(), report, masks=True)

    assert one.box == pytest.approx((25, 30, 75, 50), abs=1)
    assert one.area == pytest.approx(500, abs=25)
    assert [finding.id for finding in report.findings()] == ["OBJECTS_WITHOUT_OUTLINE"]


def test_detection_does_not_hold_points(tree_of):
    """Which would take most of its memory."""
    tree = tree_of("1.jpg", **{"1.txt": OUTLINE, "data.yaml": NAMES})

    (record,) = YOLO.read(tree, Report(), max_records=9).records

    assert record.annotation.objects[0].outline is None


@pytest.mark.parametrize("names", [("boxes", "outlines"), ("a", "z")])
def test_of_two_sets_of_label_files_that_of_outlines_is_read(names, tree_of):
    """Though it is the smaller one; an image that only the other labels is unlabeled."""
    found, findings = read(two_sets(tree_of, *names))

    assert sorted(found) == [
        *("images/train2017/1.jpg", "images/val2017/0.jpg", "images/val2017/2.jpg")
    ]
    assert all(one.outline for draft in found.values() for one in draft.objects)
    assert findings["IMAGES_UNLABELED"] == ["images/train2017/3.jpg"]
    assert findings["LABELS_IGNORED"] == [f"{names[0]}/labels"]


def test_an_empty_set_of_label_files_is_not_taken_for_outlines(tree_of):
    """It says nothing of what it is."""
    files = {
        **{f"a/labels/{number}.txt": b"" for number in range(9)},
        **{f"b/labels/{number}.txt": OUTLINE for number in range(4)},
    }

    found, _ = read(tree_of(*(f"images/{number}.jpg" for number in range(9)), **files))

    assert sum(len(draft.objects) for draft in found.values()) == 4


def test_what_is_detected(tree_of):
    """Texts with an outline, somewhere; not boxes, and not the points of poses."""
    pose = b"0 0.5 0.5 0.5 0.25 0.1 0.1 1 0.9 0.9 1\n"
    assert OUTLINES.detect(tree_of("1.jpg", **{"1.txt": BOX + OUTLINE})) == (
        "1.txt has a number of a class and an outline on a line"
    )
    assert OUTLINES.detect(tree_of("1.jpg", **{"1.txt": BOX})) is None
    assert OUTLINES.detect(tree_of("1.jpg", **{"1.txt": pose}))
    kinds = b"kpt_shape: [2, 3]\nnames: [man]\n"
    assert OUTLINES.detect(tree_of("1.jpg", **{"1.txt": pose, "data.yaml": kinds})) is None


def test_a_broken_file_of_names_does_not_stop_detection(tree_of):
    """It is named when the files are read."""
    files = {"a/data.yaml": NAMES, "b/data.yaml": b"names: [dog, cat]\n", "c/1.txt": OUTLINE}
    tree = tree_of("c/1.jpg", **files)

    assert OUTLINES.detect(tree)
    with pytest.raises(InvalidInput):
        read(tree)


def test_key_points_are_no_outline(tree_of):
    """A data set of poses says so: its objects have boxes alone."""
    line = b"0 0.5 0.5 0.5 0.25 0.1 0.1 2 0.9 0.9 1\n"
    files = {"1.txt": line, "data.yaml": b"kpt_shape: [2, 3]\nnames: [man]\n"}

    found, _ = read(tree_of("1.jpg", **files))

    (one,) = found["1.jpg"].objects
    assert (one.outline, one.box) == (None, SAME)


def test_memory_of_outlines_is_bounded(tree_of, monkeypatch):
    """Over all files together; each of the two outlines takes 304 bytes, as `Outline` counts."""
    tree = tree_of("1.jpg", "2.jpg", **{"1.txt": OUTLINE, "2.txt": OUTLINE})
    monkeypatch.setattr(drafts, "MAX_OUTLINE_BYTES", 2 * 304)
    read(tree)
    monkeypatch.setattr(drafts, "MAX_OUTLINE_BYTES", 2 * 304 - 1)

    with pytest.raises(InvalidInput, match=r"2\.txt: up to here, the outlines of objects take"):
        read(tree)


def test_mutated_files(tree_of):
    """Each is read or named, and what was read becomes masks or findings; nothing else happens."""
    chance = random.Random(0)
    label = OUTLINE + b"1 0.1 0.1 1.2 .1 .2 .3 1e300 nan\n0 .5 .5 .9 .5 .9 .9 .5 .9\n"
    kept = 0
    for _ in range(300):
        files = {"1.txt": mutated(label, chance), "2.txt": mutated(label, chance)}
        tree = tree_of("1.jpg", "2.jpg", **files, **{"data.yaml": NAMES})
        OUTLINES.detect(tree)
        report = Report()
        try:
            reading = OUTLINES.read(tree, report, max_records=9)
        except InvalidInput:
            continue
        for record in reading.records:
            kept += len(complete(record.annotation, record.file, info(), report, masks=True))
        report.findings()

    assert kept > 300
