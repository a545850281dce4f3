"""COCO JSON read for masks: outlines of both kinds, and how they go wrong."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from pycocotools import mask as pycoco

from common.data.findings import Report
from common.data.formats import coco_outlines
from common.data.formats.coco import Coco
from common.data.images import ImageInfo
from common.errors import InvalidInput
from common.masks import rle
from common.objects import drafts
from common.objects.drafts import complete
from tests.common.data.formats.coco_files import COCO, annotation, document, image, one_image
from tests.common.data.formats.test_coco_broken import _change
from tests.common.data.test_fuzz_import import mutated

OUTLINES = Coco(outlines=True)
NAN = float("nan")
SQUARE = [[5, 6, 15, 6, 15, 26, 5, 26]]
# Of 4 rows and 5 columns: pixel (column 1, row 2), then (2, 0) to (2, 1).
RUNS = {"size": [4, 5], "counts": [6, 1, 1, 2, 10]}
INFO = ImageInfo("JPEG", 100, 80, 1, "RGB", 8, has_alpha=False)


def read(tree):
    """The drafts of objects, image by image, and the findings' examples."""
    report = Report()
    reading = OUTLINES.read(tree, report, max_records=1000)
    found = {record.file: record.annotation for record in reading.records}
    return found, {finding.id: list(finding.examples) for finding in report.findings()}


def only(tree_of, *annotations):
    """The draft of the only image, which has these annotations, and the findings."""
    found, findings = read(tree_of("1.jpg", **{"x.json": one_image(*annotations)}))
    return found["1.jpg"], findings


@pytest.mark.parametrize(
    ("segmentation", "polygons"),
    [
        pytest.param(SQUARE, SQUARE, id="a polygon"),
        pytest.param(SQUARE[0], SQUARE, id="not in a list"),
        pytest.param([["5", 6, "1.5e1", 6, 15, 26]], [[5, 6, 15, 6, 15, 26]], id="texts"),
        pytest.param([*SQUARE, [1, 2, 3, 4]], [*SQUARE, [1, 2, 3, 4]], id="two points, kept"),
        pytest.param([[10**400] * 6], [[float("inf")] * 6], id="huge, kept"),
        pytest.param([[1e300] * 6], [[float("inf")] * 6], id="too large for 32 bits"),
        pytest.param([[], SQUARE[0]], [[], SQUARE[0]], id="one is empty"),
    ],
)
def test_polygons_are_kept(segmentation, polygons, tree_of):
    """In 32 bits; what is wrong with them is found when the image is known."""
    draft, findings = only(tree_of, annotation(1, segmentation=segmentation))

    outline = draft.objects[0].outline
    assert [one.tolist() for one in outline.polygons] == polygons
    assert {one.dtype for one in outline.polygons} == {np.dtype(np.float32)}
    assert outline.rle is None
    assert findings == {}


@pytest.mark.parametrize("counts", [[6, 1, 1, 2, 10], "61119", [6, 1, 1, 2, 5, 0, 5]])
def test_runs_are_kept(counts, tree_of):
    """As a list or a text, written the one right way."""
    draft, findings = only(tree_of, annotation(1, segmentation=RUNS | {"counts": counts}))

    mask = draft.objects[0].outline.rle
    expected_HW = np.zeros((4, 5), np.uint8)
    expected_HW[2, 1] = 1
    expected_HW[0:2, 2] = 1
    assert mask == rle.encode(expected_HW)
    assert findings == {}


@pytest.mark.parametrize("segmentation", [None, [], [[]], {}, ""])
def test_an_object_without_an_outline_stays_until_its_image_is_known(segmentation, tree_of):
    """There it is left out, with all of the kind."""
    content = one_image(
        annotation(1, segmentation=segmentation),
        annotation(1, bbox=None, segmentation=SQUARE),
    )
    found, findings = read(tree_of("1.jpg", **{"x.json": content}))
    report = Report()

    objects = complete(found["1.jpg"], "1.jpg", INFO, report, masks=True)

    assert findings == {}
    assert len(objects) == 1
    assert [finding.id for finding in report.findings()] == ["OBJECTS_WITHOUT_OUTLINE"]


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 2, 3, 4, 5, 6, 7]], "a polygon has 7 numbers, so that a point lacks its y"),
        ([[1, 2, 3, 4, 5, "x"]], "a polygon has something in it that is no number"),
        ([[1, 2, 3, 4, 5, None]], "a polygon has something in it that is no number"),
        ([[1, 2, 3, 4, 5, True]], "a polygon has something in it that is no number"),
        ([SQUARE[0], 7], "a polygon is no list of numbers"),
        ("polygon", "it is neither a list of polygons nor runs of pixels"),
        ({"counts": [20]}, "runs of pixels without the height and width of their image"),
        (RUNS | {"size": [4, -5]}, "runs of pixels without the height and width of their image"),
        (RUNS | {"size": [4, 5.0]}, "runs of pixels without the height and width of their image"),
        (RUNS | {"size": [1 << 20, 1 << 20]}, "runs of pixels of an image of more than"),
        (RUNS | {"size": [5, 5]}, "its runs have 20 pixels, the image has 5 × 5"),
        (RUNS | {"counts": [-1, 21]}, "a run is negative"),
        (RUNS | {"counts": "6111"}, "its runs have 10 pixels"),
        (RUNS | {"counts": "\x01"}, "it is not written in the letters"),
        (RUNS | {"counts": "é5"}, "its counts are neither a text of ASCII nor a list of"),
        (
            RUNS | {"counts": [1.5]},
            "its counts are neither a text of ASCII nor a list of whole numbers",
        ),
        (RUNS | {"counts": [10**4000] * 99}, "its counts are neither a text of ASCII nor"),
        (
            RUNS | {"counts": None},
            "its counts are neither a text of ASCII nor a list of whole numbers",
        ),
    ],
)
def test_outlines_that_cannot_be_read(segmentation, reason, tree_of):
    """They are named with the reason; the object is left out, and this is known."""
    draft, findings = only(tree_of, annotation(1, segmentation=segmentation))

    assert (draft.objects, draft.dropped) == ([], 1)
    ((name, (example,)),) = findings.items()
    assert name == "OUTLINES_UNREADABLE"
    assert example.startswith(f"x.json, annotation 7: {reason}")


def test_boxes_are_the_files_or_those_around_the_outline(tree_of):
    """And it is known which."""
    draft, _ = only(
        tree_of,
        annotation(1, segmentation=SQUARE),
        annotation(1, bbox=None, segmentation=SQUARE),
        annotation(1, bbox=None, segmentation=RUNS),
        annotation(1, bbox=None),
    )

    *boxes, nowhere = [one.box for one in draft.objects]
    assert boxes == [(10, 20, 40, 60), (5, 6, 15, 26), (1, 0, 3, 3)]
    assert all(map(math.isnan, nowhere))
    assert [one.boxed for one in draft.objects] == [True, False, False, False]


def test_the_area_of_a_box_is_nothing_to_report(tree_of):
    """The mask's is counted in any case."""
    triangle = annotation(1, area=1200, segmentation=[[10, 20, 40, 20, 10, 60]])

    assert only(tree_of, triangle)[1] == {}
    report = Report()
    COCO.read(tree_of("1.jpg", **{"x.json": one_image(triangle)}), report, max_records=9)
    assert [finding.id for finding in report.findings()] == ["AREAS_OF_BOXES"]


def test_detection_does_not_hold_outlines(tree_of):
    """Which would double its memory."""
    tree = tree_of("1.jpg", **{"x.json": one_image(annotation(1, segmentation=SQUARE))})

    (record,) = COCO.read(tree, Report(), max_records=9).records

    assert record.annotation.objects[0].outline is None


def test_a_file_of_boxes_alone_is_not_read(tree_of):
    """Beside one with outlines it is named; alone it is no data set for masks."""
    boxes = one_image(annotation(1, segmentation=[]), annotation(1))
    outlines = one_image(annotation(1), annotation(1, segmentation=SQUARE))

    tree = tree_of("1.jpg", **{"boxes.json": boxes, "outlines.json": outlines})
    assert OUTLINES.detect(tree) == "outlines.json lists images and outlines"
    assert read(tree)[1] == {"ANNOTATION_FILES_IGNORED": ["boxes.json"]}

    tree = tree_of("1.jpg", **{"boxes.json": boxes})
    assert COCO.detect(tree) == "boxes.json lists images and boxes"
    assert OUTLINES.detect(tree) is None
    with pytest.raises(InvalidInput, match="no COCO file with outlines"):
        read(tree)


def test_memory_of_outlines_is_bounded(tree_of, monkeypatch):
    """Over all files together; each of the two outlines takes 312 bytes, as `Outline` counts."""
    files = {f"{name}.json": one_image(annotation(1, segmentation=SQUARE)) for name in "ab"}
    tree = tree_of("1.jpg", **files)
    monkeypatch.setattr(drafts, "MAX_OUTLINE_BYTES", 2 * 312)
    read(tree)
    monkeypatch.setattr(drafts, "MAX_OUTLINE_BYTES", 2 * 312 - 1)

    with pytest.raises(InvalidInput, match=r"b\.json, annotation 7: up to here, the outlines"):
        read(tree)


def test_areas_of_polygons():
    """By hand: a square of 10 × 20 and a triangle of half of 4 × 2."""
    assert coco_outlines.polygon_area([*SQUARE, [0, 0, 4, 0, 4, 2]]) == 204
    assert coco_outlines.polygon_area(RUNS) is None
    assert coco_outlines.polygon_area([[0, 0, 4, 0]]) is None


def test_mutated_files(tree_of):
    """Each is read or refused, and what was read becomes masks or findings, nothing else."""
    chance = random.Random(0)
    circle = np.add.outer(np.arange(-40, 40) ** 2, np.arange(-50, 50) ** 2) < 900
    text = pycoco.encode(np.asfortranarray(circle.astype(np.uint8)))["counts"].decode()
    whole = document(
        [image(1, "1.jpg"), image(2, "2.jpg")],
        [
            annotation(1, segmentation=RUNS | {"size": [80, 100], "counts": [6, 100, 7894]}),
            annotation(1, segmentation={"size": [80, 100], "counts": text}, iscrowd=1),
            annotation(2, 2, segmentation=[*SQUARE, [50, 50, 60.5, 50, 70, 70.25]], area=1),
        ],
    )
    values = [
        *(None, [], {}, "", "x", -1, 1e999, NAN, 1e300, -1e300, 10**400, True, [[]], 10**30),
        *("\ud800", [1] * 7, [[1e300, -1e300] * 4], [[0, 0, 5000, 0] * 500], {"id": 1}),
        *(text, {"size": [8000, 8000], "counts": [64_000_000]}, {"size": [80, 100]}, [[1, 2, 3]]),
    ]
    refused = kept = 0
    for number in range(300):
        if number % 2:
            content = mutated(whole, chance)
        else:
            changed = json.loads(whole)
            for _ in range(chance.randrange(1, 4)):
                _change(changed, chance, values)
            content = json.dumps(changed).encode()
        tree = tree_of("1.jpg", "2.jpg", **{"x.json": content})
        OUTLINES.detect(tree)
        report = Report()
        try:
            reading = OUTLINES.read(tree, report, max_records=1000)
        except InvalidInput:
            refused += 1
            continue
        for record in reading.records:
            for one in complete(record.annotation, record.file, INFO, report, masks=True):
                assert rle.area(rle.from_text(one.mask, 80, 100)) == one.area > 0
                kept += 1
        report.findings()
    assert 30 < refused < 250
    assert kept > 100


def test_an_image_listed_twice_has_all_its_outlines(tree_of):
    """In the coordinates of the first file; equal boxes may hold different outlines."""
    triangle = [[5, 6, 15, 6, 5, 26]]
    twice = [[10, 12, 30, 12, 30, 52, 10, 52]]  # the square of an image twice as large
    first = document([image(1, "1.jpg")], [annotation(1, segmentation=SQUARE)])
    second = document(
        [image(1, "1.jpg", width=200, height=160)],
        [
            annotation(1, bbox=(20, 40, 60, 80), segmentation=segmentation)
            for segmentation in (twice, [[2 * side for side in triangle[0]]])
        ],
    )

    found, _ = read(tree_of("1.jpg", **{"a.json": first, "b.json": second}))

    outlines = [one.outline.polygons[0].tolist() for one in found["1.jpg"].objects]
    assert outlines == [SQUARE[0], triangle[0]]
    assert {one.box for one in found["1.jpg"].objects} == {(10, 20, 40, 60)}
