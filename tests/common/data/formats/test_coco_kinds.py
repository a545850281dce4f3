"""What a JSON file is about is seen without reading all of it."""

from __future__ import annotations

import pytest

from common.data.formats.coco_kinds import Kind, kind_of
from tests.common.data.formats.coco_files import annotation, document, image, one_image

SQUARE = [[5, 6, 15, 6, 15, 26, 5, 26]]
OUTLINED = annotation(1, segmentation=SQUARE)
POSE = OUTLINED | {"keypoints": [1, 2, 2]}
SEGMENTS = {"image_id": 1, "file_name": "1.png", "segments_info": [annotation(1)]}


@pytest.mark.parametrize(
    ("content", "boxes", "outlines"),
    [
        pytest.param(one_image(annotation(1)), "OBJECTS", "OTHER", id="boxes"),
        pytest.param(one_image(annotation(1), OUTLINED), "OBJECTS", "OBJECTS", id="outlines"),
        pytest.param(one_image(POSE), "KEYPOINTS", "KEYPOINTS", id="poses"),
        pytest.param(one_image(SEGMENTS), "PANOPTIC", "PANOPTIC", id="segments"),
        pytest.param(document([image(1, "1.jpg")], []), "OBJECTS", "OBJECTS", id="no object"),
        pytest.param(one_image(OUTLINED)[:-40], "OBJECTS", "OBJECTS", id="broken behind"),
        pytest.param(one_image()[:-40], "BROKEN", "BROKEN", id="broken"),
        pytest.param(b'{"images": 1}', "OTHER", "OTHER", id="something else"),
    ],
)
def test_kinds(content, boxes, outlines, tree_of):
    """Objects of boxes alone do not count where outlines are wanted."""
    tree = tree_of("1.jpg", **{"x.json": content})

    assert kind_of(tree, "x.json") == Kind[boxes]
    assert kind_of(tree, "x.json", outlines=True) == Kind[outlines]


@pytest.mark.parametrize(("count", "kind"), [(49, Kind.OBJECTS), (50, Kind.OTHER)])
def test_an_outline_is_looked_for_among_the_first(count, kind, tree_of):
    """Fifty annotations."""
    tree = tree_of("1.jpg", **{"x.json": one_image(*[annotation(1)] * count, OUTLINED)})

    assert kind_of(tree, "x.json", outlines=True) == kind
