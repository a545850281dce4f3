"""Boxes with every mistake, and what becomes of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from common.data.findings import Report
from common.data.images import ImageInfo, probe
from common.errors import InvalidInput
from common.masks.outlines import Outline, polygon
from common.objects import drafts
from common.objects.drafts import Draft, DraftObject, check_object_count, complete
from tests.common.data.pictures import rotated_jpeg

NAN = math.nan
INF = math.inf


def info(width=100, height=80, orientation=1):
    return ImageInfo("JPEG", width, height, orientation, "RGB", 8, has_alpha=False)


def made(*boxes, image=None, **said):
    """The objects of an image with these boxes, and the findings' examples."""
    objects = [DraftObject(0, box, f"object {place}") for place, box in enumerate(boxes, start=1)]
    report = Report()
    found = complete(Draft("a.xml", objects, **said), "1.jpg", image or info(), report)
    return found, {finding.id: list(finding.examples) for finding in report.findings()}


def boxes_of(objects):
    return [one.box for one in objects]


def test_a_right_box_stays_as_it_is():
    found, findings = made((0, 0, 100, 80), (12.5, 30, 12.6, 31))

    assert boxes_of(found) == [(0, 0, 100, 80), (12.5, 30, 12.6, 31)]
    assert findings == {}


@pytest.mark.parametrize(
    ("box", "finding"),
    [
        pytest.param((10, 10, 10, 20), "BOXES_WITHOUT_AREA", id="no width"),
        pytest.param((10, 20, 30, 20), "BOXES_WITHOUT_AREA", id="no height"),
        pytest.param((10, 10, 10, 10), "BOXES_WITHOUT_AREA", id="a point"),
        pytest.param((10, 10, 10.00001, 20), "BOXES_WITHOUT_AREA", id="none once rounded"),
        pytest.param((200, 10, 300, 20), "BOXES_OUTSIDE_IMAGE", id="right of it"),
        pytest.param((10, -20, 30, -1), "BOXES_OUTSIDE_IMAGE", id="above it"),
        pytest.param((100, 10, 120, 20), "BOXES_OUTSIDE_IMAGE", id="touches it"),
        pytest.param((NAN, 10, 120, 20), "BOXES_NOT_FINITE", id="nan"),
        pytest.param((10, 10, INF, 20), "BOXES_NOT_FINITE", id="infinite"),
    ],
)
def test_boxes_that_are_left_out(box, finding):
    """Each is named; the others of the image stay."""
    found, findings = made(box, (1, 1, 5, 5))

    assert boxes_of(found) == [(1, 1, 5, 5)]
    assert findings == {finding: ["a.xml, object 1"]}


def test_an_inverted_box_is_turned_round():
    found, findings = made((30, 10, 10, 20), (30, 70, 50, 60))

    assert boxes_of(found) == [(10, 10, 30, 20), (30, 60, 50, 70)]
    assert findings == {"BOXES_INVERTED": ["a.xml, object 1", "a.xml, object 2"]}


def test_a_box_that_reaches_out_is_cut():
    """By how much is said; what rounding does is not."""
    found, findings = made((-5, 10, 120, 20), (0, 0, 100.01, 80), (10, 10, 20, 80.5))

    assert boxes_of(found) == [(0, 10, 100, 20), (0, 0, 100, 80), (10, 10, 20, 80)]
    assert findings == {
        "BOXES_CLIPPED": ["a.xml, object 1: by 20 pixels", "a.xml, object 3: by 0.5 pixels"]
    }


def test_a_repeated_box_is_left_out():
    """Not one of another class, nor a second crowd."""
    box = (1, 1, 5, 5)
    objects = [
        DraftObject(0, box, "line 1"),
        DraftObject(0, box, "line 2"),
        DraftObject(1, box, "line 3"),
        DraftObject(1, box, "line 4", crowd=True),
    ]
    report = Report()

    found = complete(Draft("1.txt", objects), "1.jpg", info(), report)

    assert [(one.label, one.crowd) for one in found] == [(0, False), (1, False), (1, True)]
    assert [list(finding.examples) for finding in report.findings()] == [["1.txt, line 2"]]


@pytest.mark.parametrize(
    ("boxes", "dropped", "finding"),
    [
        ((), 0, "IMAGES_WITHOUT_OBJECT"),
        ((), 1, "IMAGES_LEFT_WITHOUT_OBJECT"),
        (((5, 5, 5, 5),), 0, "IMAGES_LEFT_WITHOUT_OBJECT"),
    ],
    ids=["labeled so", "not one could be read", "not one has an area"],
)
def test_images_without_an_object(boxes, dropped, finding):
    """That all were left out is not the same as that there is none."""
    found, findings = made(*boxes, dropped=dropped)

    assert found == []
    assert findings[finding] == ["1.jpg"]
    assert {"IMAGES_WITHOUT_OBJECT", "IMAGES_LEFT_WITHOUT_OBJECT"} & findings.keys() == {finding}


def test_marks_and_areas_are_kept():
    """An area that cannot be is not; that of the box need not be kept."""
    box = (0, 0, 10, 10)
    objects = [
        DraftObject(0, box, "", crowd=True, area=60.0),
        DraftObject(1, box, "", difficult=True, area=NAN),
        DraftObject(2, box, "", truncated=True, area=-3.0),
        DraftObject(3, box, "", area=500.0),
        DraftObject(4, box, "", area=99.99999),
    ]

    found = complete(Draft("1.xml", objects), "1.jpg", info(), Report())

    assert [one.area for one in found] == [60, None, None, None, None]
    assert [(one.crowd, one.difficult, one.truncated) for one in found] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (False, False, False),
        (False, False, False),
    ]


def test_fractions():
    """Of the image's sides, 100 × 80."""
    found, findings = made((0.1, 0.25, 0.5, 1.0), normalized=True)

    assert boxes_of(found) == [(10, 20, 50, 80)]
    assert findings == {}


def test_boxes_of_a_copy_of_another_size_are_scaled():
    """Annotated at 50 × 40: two pixels of ours for each, and four in area."""
    objects = [DraftObject(0, (5, 10, 25, 20), "object 1", area=30.0)]
    report = Report()

    (found,) = complete(Draft("a.xml", objects, width=50, height=40), "1.jpg", info(), report)

    assert found.box == (10, 20, 50, 40)
    assert found.area == 120
    (finding,) = report.findings()
    assert finding.id == "BOXES_SCALED"
    assert list(finding.examples) == ["1.jpg: 50 × 40 in a.xml, 100 × 80 in fact"]


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        pytest.param(50, 80, (5, 10, 25, 20), id="another shape"),
        pytest.param(80, 100, (5, 10, 25, 20), id="sides swapped"),
        pytest.param(50, 40, (60, 10, 90, 20), id="a box that the said size has no room for"),
    ],
)
def test_a_size_that_cannot_be(width, height, box):
    """The box is taken as it is."""
    found, findings = made(box, width=width, height=height)

    assert boxes_of(found) == [box]
    assert findings == {
        "ANNOTATED_SIZE_DIFFERS": [f"1.jpg: {width} × {height} in a.xml, 100 × 80 in fact"]
    }


def test_a_wild_box_does_not_speak_against_the_size():
    """It fits neither."""
    found, findings = made((5, 10, 25, 20), (900, 10, 990, 20), width=50, height=40)

    assert boxes_of(found) == [(10, 20, 50, 40)]
    assert findings.keys() == {"BOXES_SCALED", "BOXES_OUTSIDE_IMAGE"}


STORED = (96, 64)
STORED_BOX = (16, 8, 40, 48)


def turned(orientation):
    """An image as stored, with a white box on black, and where that box is once it is upright."""
    pixels = np.zeros((STORED[1], STORED[0], 3), np.uint8)
    xmin, ymin, xmax, ymax = STORED_BOX
    pixels[ymin:ymax, xmin:xmax] = 255
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    upright = np.array(ImageOps.exif_transpose(image))[..., 0] > 127
    rows, columns = upright.any(axis=1).nonzero()[0], upright.any(axis=0).nonzero()[0]
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return probe(rotated_jpeg(pixels, orientation), max_pixels=10_000), box


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_the_upright_image_stay(orientation):
    """The size shows that they were drawn on it; where sides are not swapped, it cannot."""
    image, box = turned(orientation)

    found, findings = made(box, image=image, width=image.width, height=image.height)

    assert boxes_of(found) == [box]
    uncertain = orientation in {2, 3, 4}
    assert findings == ({"BOXES_MAYBE_TURNED": ["1.jpg"]} if uncertain else {})


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_the_stored_image_are_turned_with_it(orientation, scale):
    """The size shows that they were drawn before it was turned; perhaps on a larger copy."""
    image, box = turned(orientation)
    drawn = tuple(side * scale for side in STORED_BOX)

    found, findings = made(drawn, image=image, width=STORED[0] * scale, height=STORED[1] * scale)

    assert boxes_of(found) == [box]
    assert findings.keys() == {"BOXES_TURNED"} | ({"BOXES_SCALED"} if scale > 1 else set())


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("boxes", [[(0.1, 0.1, 0.2, 0.2)], []], ids=["a box", "none"])
def test_fractions_do_not_say_on_what_they_were_drawn(orientation, boxes):
    """They are taken for those of the upright image, and this is said."""
    _, findings = made(*boxes, image=info(orientation=orientation), normalized=True)

    assert ("BOXES_MAYBE_TURNED" in findings) == bool(boxes)


def test_an_object_can_be_scaled():
    """To a copy of the image twice as wide and three times as high, with all that it has."""
    outline = Outline((polygon([1, 1, 2, 1, 2, 2]),))
    one = DraftObject(0, (1, 2, 3, 4), "object 1", area=2.0, outline=outline)

    one.scale(2, 3)

    assert (one.box, one.area) == ((2, 6, 6, 12), 12)
    assert one.outline.polygons[0].tolist() == [2, 3, 4, 3, 4, 6]


SIDES = st.floats(-300, 300) | st.floats() | st.integers(-3, 103).map(float)
LEFT_OUT = {
    *("BOXES_WITHOUT_AREA", "BOXES_OUTSIDE_IMAGE", "BOXES_NOT_FINITE", "BOXES_REPEATED"),
}


@given(
    boxes=st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES), max_size=5),
    normalized=st.booleans(),
    width=st.integers(0, 10**400) | st.integers(0, 200),
    height=st.integers(0, 10**400) | st.integers(0, 200),
    orientation=st.integers(1, 8),
)
def test_whatever_a_file_says(boxes, normalized, width, height, orientation):
    """A box is left out and counted, or ends up inside the image with an area."""
    objects = [DraftObject(0, box, "", area=box[0]) for box in boxes]
    report = Report()
    image = info(orientation=orientation)

    found = complete(Draft("x", objects, normalized, width, height), "1.jpg", image, report)

    for one in found:
        xmin, ymin, xmax, ymax = one.box
        assert 0 <= xmin < xmax <= image.width
        assert 0 <= ymin < ymax <= image.height
        assert one.area is None or 0 <= one.area <= one.box_area
    left_out = sum(finding.count for finding in report.findings() if finding.id in LEFT_OUT)
    assert len(found) + left_out == len(boxes)


def test_objects_are_bounded(monkeypatch):
    monkeypatch.setattr(drafts, "MAX_OBJECTS", 10)
    check_object_count(10, "a.json, annotation 10")

    with pytest.raises(InvalidInput, match=r"a\.json, annotation 11: up to here, there are more"):
        check_object_count(11, "a.json, annotation 11")
