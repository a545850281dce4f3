"""Exports of Label Studio: regions, and the annotation that counts."""

from types import SimpleNamespace

import pytest

from common.data.findings import Report
from common.data.formats.label_studio import LabelStudio
from common.data.formats.pictures import Boxed, Flattened, Outlined, Tagged
from common.masks import rle
from common.objects.drafts import complete
from tests.common.data.formats.brushes import packed
from tests.common.data.formats.label_studio_made import (
    BOX,
    HEIGHT,
    MASK,
    RECTANGLE,
    WIDTH,
    annotation,
    choice,
    minimal,
    result,
    task,
    tree_with,
)
from tests.common.data.formats.reading import around, boxes, pictures_of

STUDIO = LabelStudio()


def one(tree_of, *results, form=task):
    """Read a single task, and return its picture and the findings."""
    made = task("1.jpg", annotation(*results)) if form is task else minimal(*results)
    pictures, _, findings = pictures_of(STUDIO, tree_with(tree_of, made))
    return pictures["images/1.jpg"], findings


@pytest.mark.parametrize("form", [task, minimal])
def test_each_kind_of_region(form, tree_of):
    """In pixels of the image, whose size is said."""
    picture, findings = one(
        tree_of,
        result(),
        result({"points": [[1, 2], [9, 2], [9, 7]]}, "polygonlabels", "dog"),
        result({"x": 50, "y": 40, "radiusX": 10, "radiusY": 10, "rotation": 0}, "ellipselabels"),
        result({"rle": packed(MASK), "format": "rle"}, "brushlabels", "bird"),
        form=form,
    )

    assert findings == {}
    assert (picture.width, picture.height, picture.normalized) == (WIDTH, HEIGHT, False)
    assert boxes(picture) == [("cat", *BOX), None, None, None]
    _, polygon, oval, brush = picture.shapes
    assert [shape.label for shape in picture.shapes] == ["cat", "dog", "cat", "bird"]
    assert polygon.outline.polygons[0].tolist() == [2, 2, 18, 2, 18, 7]
    assert around(oval) == (80, 30, 120, 50)
    assert (rle.decode(brush.outline.rle) == MASK).all()


def test_made_into_data_sets(tree_of):
    tree = tree_with(
        tree_of,
        task("1.jpg", annotation(result(), result({"rle": packed(MASK)}, "brushlabels", "dog"))),
    )
    info = SimpleNamespace(width=WIDTH, height=HEIGHT, orientation=1)

    found = {}
    for kind in (Boxed, Outlined):
        (record,) = kind(STUDIO).read(tree, Report(), max_records=9).records
        masks = kind is Outlined
        found[kind] = [
            one.box for one in complete(record.annotation, record.file, info, Report(), masks=masks)
        ]

    assert found == {Boxed: [BOX, (40, 10, 90, 30)], Outlined: [(40, 10, 90, 30)]}
    assert Flattened(STUDIO).detect(tree)
    assert not Tagged(STUDIO).detect(tree)
    assert Boxed(STUDIO).detect(tree).startswith("project-1.json lists tasks of Label Studio")


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        # By hand: 60 × 40 pixels, turned around (20, 20).
        (90, (-20, 20, 20, 80)),
        (180, (-40, -20, 20, 20)),
        (-90, (20, -40, 60, 20)),
        (360, BOX),
    ],
)
def test_turned_boxes(degrees, expected, tree_of):
    """Turned in pixels, not in percent, as the image is not square."""
    picture, findings = one(tree_of, result(RECTANGLE | {"rotation": degrees}))

    assert boxes(picture) == [("cat", *expected)]
    assert list(findings) == ["BOXES_AROUND_TURNED"]


def test_turned_ellipses(tree_of):
    oval = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 90}

    picture, findings = one(tree_of, result(oval, "ellipselabels"))

    assert around(picture.shapes[0]) == (90, 10, 110, 90)
    assert findings == {}


@pytest.mark.parametrize(
    ("bad", "finding_id"),
    [
        pytest.param(
            result({"x": 1, "y": 2, "width": 1}, "keypointlabels"), "SHAPES_UNUSABLE", id="point"
        ),
        pytest.param(
            result({"vertices": [{"x": 1}]}, "vectorlabels"), "SHAPES_UNUSABLE", id="line"
        ),
        pytest.param(result(RECTANGLE | {"x": "left"}), "BOXES_UNREADABLE", id="no number"),
        pytest.param(
            result(RECTANGLE | {"rotation": 1e999}), "BOXES_NOT_FINITE", id="turned endlessly"
        ),
        pytest.param(
            result(RECTANGLE | {"rotation": 5}, original_width=None),
            "BOXES_UNREADABLE",
            id="turned on an image of unknown size",
        ),
        pytest.param(
            result({"points": [[1, 2], [3]]}, "polygonlabels"), "OUTLINES_UNREADABLE", id="half"
        ),
        pytest.param(
            result({"points": [[1, {}]] * 3}, "polygonlabels"), "OUTLINES_UNREADABLE", id="object"
        ),
        pytest.param(result({"points": 3}, "polygonlabels"), "OUTLINES_UNREADABLE", id="number"),
        pytest.param(
            result({"x": 1, "y": 1, "radiusX": 1e999, "radiusY": 1}, "ellipselabels"),
            "POLYGONS_NOT_FINITE",
            id="endless",
        ),
        pytest.param(
            result({"rle": packed(MASK)[:-4]}, "brushlabels"), "OUTLINES_UNREADABLE", id="cut"
        ),
        pytest.param(
            result({"rle": packed(MASK)}, "brushlabels", original_width=3),
            "OUTLINES_UNREADABLE",
            id="of another size",
        ),
        pytest.param(
            result({"rle": packed(MASK)}, "brushlabels", original_width=None),
            "OUTLINES_UNREADABLE",
            id="of no size",
        ),
        pytest.param(result(image_rotation=90), "SHAPES_ON_TURNED_IMAGES", id="turned image"),
        pytest.param(result({}, "rectanglelabels"), "BOXES_UNREADABLE", id="drawn nowhere"),
    ],
)
def test_what_cannot_be_used_is_named(bad, finding_id, tree_of):
    picture, findings = one(tree_of, bad, result())

    assert list(findings) == [finding_id]
    (example,) = findings[finding_id]
    assert example.startswith("project-1.json, task 5, region 1: ")
    assert len(picture.shapes) == picture.dropped == 1


def test_sizes_that_are_not_said(tree_of):
    """Measures stay fractions."""
    picture, findings = one(tree_of, result(original_width=None))

    assert (picture.normalized, picture.width) == (True, 0)
    assert boxes(picture) == [("cat", 0.1, 0.2, 0.4, 0.6)]
    assert findings == {}


def test_a_region_from_two_tools(tree_of):
    """One draws, another says the label; they share an id."""
    drawn = result(kind="rectangle", label=None, id="a")
    said = result(kind="labels", label="dog", id="a")
    alone = result(kind="rectangle", label=None, id="b")
    asked = choice("bird", id="b") | {"value": RECTANGLE | {"choices": ["bird"]}}
    also = choice("big", id="a")

    picture, findings = one(tree_of, drawn, said, alone, asked, also)

    assert [shape.label for shape in picture.shapes] == ["dog", "bird"]
    assert picture.tags == []
    assert list(findings) == ["ATTRIBUTES_NOT_READ"]


def test_several_labels_of_a_region(tree_of):
    both = result(RECTANGLE | {"rectanglelabels": ["cat", "dog"]}, label=None)

    picture, findings = one(tree_of, both)

    assert boxes(picture) == [("cat", *BOX), ("dog", *BOX)]
    assert findings == {"SHAPES_OF_SEVERAL_CLASSES": ["project-1.json, task 5, region 1: cat, dog"]}


@pytest.mark.parametrize(
    ("annotations", "labels", "finding"),
    [
        pytest.param(
            [
                annotation(result(label="old"), created_at="2024-01-01"),
                annotation(result(label="new"), created_at="2024-01-02"),
            ],
            ["new"],
            ["project-1.json, task 5: 1 more"],
            id="the newest",
        ),
        pytest.param(
            [
                annotation(result(label="true"), created_at="2024-01-01", ground_truth=True),
                annotation(result(label="new"), created_at="2024-01-02"),
            ],
            ["true"],
            ["project-1.json, task 5: 1 more"],
            id="the truth",
        ),
        pytest.param(
            [
                annotation(result(label="old"), created_at="2024-01-01"),
                annotation(result(label="skipped"), created_at="2024", was_cancelled=True),
            ],
            ["old"],
            None,
            id="not what was skipped",
        ),
        pytest.param([annotation(result(), was_cancelled=True)], None, None, id="only skipped"),
        pytest.param([], None, None, id="none"),
        pytest.param([annotation()], [], None, id="an empty one"),
    ],
)
def test_the_annotation_that_counts(annotations, labels, finding, tree_of):
    tree = tree_with(tree_of, task("1.jpg", *annotations))

    pictures, _, findings = pictures_of(STUDIO, tree)

    picture = pictures["images/1.jpg"]
    assert picture.labeled == (labels is not None)
    assert [shape.label for shape in picture.shapes] == (labels or [])
    assert findings.get("ANNOTATIONS_NOT_CHOSEN") == finding


def test_the_task_of_json_min_that_counts(tree_of):
    """There, each annotation is a task."""
    tree = tree_with(
        tree_of,
        minimal(result(label="older"), updated_at="2024-01-02"),
        minimal(result(label="newest"), updated_at="2024-01-03"),
        minimal(result(label="oldest"), updated_at="2024-01-01"),
        minimal(image="2.jpg", id=6),
        images=("images/1.jpg", "images/2.jpg"),
    )

    pictures, _, findings = pictures_of(STUDIO, tree)

    assert [shape.label for shape in pictures["images/1.jpg"].shapes] == ["newest"]
    assert findings == {"ANNOTATIONS_NOT_CHOSEN": ["project-1.json, task 5: 2 more"]}
    assert pictures["images/2.jpg"].labeled


def test_predictions_are_not_labels(tree_of):
    tree = tree_with(tree_of, task("1.jpg", predictions=[annotation(result())]))

    pictures, _, findings = pictures_of(STUDIO, tree)

    assert not pictures["images/1.jpg"].labeled
    assert pictures["images/1.jpg"].shapes == []
    assert findings == {"PREDICTIONS_NOT_READ": ["project-1.json, task 5"]}
