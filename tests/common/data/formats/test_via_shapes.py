"""What the VGG Image Annotator draws, and what cannot be used of it."""

import pytest

from common.data.formats.via import Via
from tests.common.data.formats.reading import around, boxes, pictures_of
from tests.common.data.formats.via_made import BOX, export, image, region, tree_with

VIA = Via()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"name": "circle", "cx": 50, "cy": 40, "r": 10}, (40, 30, 60, 50)),
        ({"name": "ellipse", "cx": 50, "cy": 40, "rx": 20, "ry": 10}, (30, 30, 70, 50)),
        # A quarter of a turn.
        (
            {"name": "ellipse", "cx": 50, "cy": 40, "rx": 20, "ry": 10, "theta": 1.5707963},
            (40, 20, 60, 60),
        ),
        ({"name": "circle", "cx": "50", "cy": "40", "r": "10"}, (40, 30, 60, 50)),
        ([3, 50, 40, 10], (40, 30, 60, 50)),
        ([4, 50, 40, 20, 10], (30, 30, 70, 50)),
        ([7, 1, 2, 9, 2, 9, 7], (1, 2, 9, 7)),
    ],
)
def test_round_shapes_are_outlines(shape, expected, tree_of):
    tree = tree_with(tree_of, export(image("1.jpg", region(shape, **{"class": "a"}))))

    (shape,) = pictures_of(VIA, tree)[0]["1.jpg"].shapes

    assert shape.box is None
    assert around(shape) == expected


def test_extreme_points_are_a_box(tree_of):
    """Version 3 lets people click on the four points that reach furthest."""
    extreme = region([8, 20, 5, 40, 9, 22, 30, 10, 12], **{"class": "a"})
    tree = tree_with(tree_of, export(image("1.jpg", extreme)))

    assert boxes(pictures_of(VIA, tree)[0]["1.jpg"]) == [("a", 10, 5, 40, 30)]


@pytest.mark.parametrize(
    ("shape", "finding_id"),
    [
        ({"name": "point", "cx": 1, "cy": 2}, "SHAPES_UNUSABLE"),
        ({"name": "polyline", "all_points_x": [1], "all_points_y": [1]}, "SHAPES_UNUSABLE"),
        ([1, 5, 5], "SHAPES_UNUSABLE"),
        ([6, 5, 5, 6, 6], "SHAPES_UNUSABLE"),
        ({"name": "rect", "x": 1, "y": 2, "width": 3}, "BOXES_UNREADABLE"),
        ({"name": "rect", "x": 1, "y": 2, "width": 3, "height": "tall"}, "BOXES_UNREADABLE"),
        ({"name": "heart"}, "BOXES_UNREADABLE"),
        ({"name": ["rect"]}, "BOXES_UNREADABLE"),
        ({}, "BOXES_UNREADABLE"),
        (None, "BOXES_UNREADABLE"),
        (7, "BOXES_UNREADABLE"),
        ([], "BOXES_UNREADABLE"),
        ([2, 1, 2, 3], "BOXES_UNREADABLE"),
        ([99, 1, 2, 3], "BOXES_UNREADABLE"),
        ([float("nan"), 1], "BOXES_UNREADABLE"),
        ([8, 1, 2, 3], "BOXES_UNREADABLE"),
        ({"name": "circle", "cx": 1, "cy": 2, "r": float("inf")}, "POLYGONS_NOT_FINITE"),
        (
            {"name": "ellipse", "cx": 1, "cy": 2, "rx": 1, "ry": 1, "theta": float("nan")},
            "POLYGONS_NOT_FINITE",
        ),
        (
            {"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1]},
            "OUTLINES_UNREADABLE",
        ),
        ({"name": "polygon", "all_points_x": [{}], "all_points_y": [1]}, "OUTLINES_UNREADABLE"),
        ({"name": "polygon"}, "OUTLINES_UNREADABLE"),
    ],
)
def test_what_cannot_be_used_is_named(shape, finding_id, tree_of):
    bad = image("1.jpg", region(shape, **{"class": "a"}), region(**{"class": "a"}))
    tree = tree_with(tree_of, export(bad))

    pictures, _, findings = pictures_of(VIA, tree)

    assert list(findings) == [finding_id]
    (example,) = findings[finding_id]
    assert example.startswith("via.json, 1.jpg123, region 1: ")
    assert boxes(pictures["1.jpg"]) == [("a", *BOX)]
    assert pictures["1.jpg"].dropped == 1
