"""Outlines with every mistake, and the masks that they become."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pycocotools import mask as pycoco

from common.data.findings import Report
from common.data.images import ImageInfo
from common.masks import rle
from common.masks.outlines import Outline, polygon
from common.objects import masking
from common.objects.drafts import Draft, DraftObject, complete

WIDTH, HEIGHT = 100, 80
NAN, INF = math.nan, math.inf
SQUARE = (10, 20, 30, 20, 30, 50, 10, 50)
"""20 × 30 pixels."""
BOX = (10, 20, 30, 50)


def info(width=WIDTH, height=HEIGHT, orientation=1):
    return ImageInfo("JPEG", width, height, orientation, "RGB", 8, has_alpha=False)


def outlined(*polygons, mask_HW=None, box=BOX, boxed=False, **more):
    """An object with this outline."""
    outline = Outline(
        tuple(map(polygon, polygons)), None if mask_HW is None else rle.encode(mask_HW)
    )
    return DraftObject(0, box, "object 1", outline=outline, boxed=boxed, **more)


def made(*objects, image=None, **said):
    """The objects of an image, and the findings' examples."""
    report = Report()
    draft = Draft("a.json", list(objects), **said)
    found = complete(draft, "1.jpg", image or info(), report, masks=True)
    return found, {finding.id: list(finding.examples) for finding in report.findings()}


def pixels(one, width=WIDTH, height=HEIGHT):
    """The mask of an object."""
    return rle.decode(rle.trusted(one.mask, height, width))


def test_a_right_outline_becomes_a_mask():
    """With the box and the area of its pixels."""
    (one,), findings = made(outlined(SQUARE, crowd=True))

    expected_HW = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected_HW[20:50, 10:30] = 1
    np.testing.assert_array_equal(pixels(one), expected_HW)
    assert (one.box, one.area, one.crowd) == (BOX, 600, True)
    assert findings == {}


def test_several_polygons_are_one_object():
    (one,), _ = made(outlined(SQUARE, (50, 0, 60, 0, 60, 10, 50, 10)))

    assert (one.box, one.area) == ((10, 0, 60, 50), 700)


@pytest.mark.parametrize(
    ("polygons", "finding"),
    [
        pytest.param([(1, 2, 3, 4)], "POLYGONS_TOO_SHORT", id="two points"),
        pytest.param([()], "POLYGONS_TOO_SHORT", id="none"),
        pytest.param([(NAN, *SQUARE[1:])], "POLYGONS_NOT_FINITE", id="nan"),
        pytest.param([(1e300, *SQUARE[1:])], "POLYGONS_NOT_FINITE", id="beyond 32 bits"),
        pytest.param([(200, 0, 300, 0, 300, 50)], "POLYGONS_OUTSIDE_IMAGE", id="right of it"),
        pytest.param([(0, -9, 50, -9, 50, 0)], "POLYGONS_OUTSIDE_IMAGE", id="touches it"),
        pytest.param([(5, 5, 5, 5, 5, 5)], "OBJECT_MASKS_EMPTY", id="a point"),
        pytest.param([(5, 5, 50, 5, 5, 5)], "OBJECT_MASKS_EMPTY", id="a line"),
    ],
)
def test_objects_that_are_left_out(polygons, finding):
    """Each is named; the others of the image stay."""
    objects, findings = made(outlined(*polygons), outlined(SQUARE))

    assert [one.box for one in objects] == [BOX]
    assert findings == {finding: ["a.json, object 1"]}


def test_the_good_polygons_of_an_object_stay():
    """Each kind of mistake is named once."""
    bad = [(1, 2), (1, 2, 3, 4), (NAN,) * 6, (200, 0, 300, 0, 300, 50)]

    (one,), findings = made(outlined(*bad, SQUARE))

    assert one.area == 600
    assert findings == {
        name: ["a.json, object 1"]
        for name in ("POLYGONS_TOO_SHORT", "POLYGONS_NOT_FINITE", "POLYGONS_OUTSIDE_IMAGE")
    }


def test_an_object_of_a_box_alone_is_left_out():
    objects, findings = made(DraftObject(0, BOX, "line 3"), outlined(SQUARE))

    assert len(objects) == 1
    assert findings == {"OBJECTS_WITHOUT_OUTLINE": ["a.json, line 3"]}


def test_a_mask_without_a_pixel_is_left_out():
    """The image does not become one that was labeled as empty."""
    objects, findings = made(outlined(mask_HW=np.zeros((HEIGHT, WIDTH), np.uint8)))

    assert objects == []
    assert findings == {
        "OBJECT_MASKS_EMPTY": ["a.json, object 1"],
        "IMAGES_LEFT_WITHOUT_OBJECT": ["1.jpg"],
    }


def test_what_reaches_out_is_cut():
    """By how much is said; what rounding does is not."""
    (one, other), findings = made(
        outlined((-5, 20, 30, 20, 30, 100, -5, 100)), outlined((0, 0, 100.01, 0, 100.01, 9, 0, 9))
    )

    assert (one.box, one.area) == ((0, 20, 30, 80), 1800)
    assert (other.box, other.area) == ((0, 0, 100, 9), 900)
    assert findings == {"POLYGONS_CLIPPED": ["a.json, object 1: by 20 pixels"]}


def test_an_outline_that_runs_across_the_image_without_end_is_left_out(monkeypatch):
    """To draw it takes memory for each pixel on the way. From edge to edge are 100 pixels."""
    zigzag = [side for row in range(12) for side in (row % 2 * 100, row)]
    monkeypatch.setattr(masking, "_LONGEST_BORDER_PX", 1200)
    assert len(made(outlined(zigzag))[0]) == 1
    monkeypatch.setattr(masking, "_LONGEST_BORDER_PX", 1199)

    objects, findings = made(outlined(zigzag))

    assert objects == []
    assert findings["POLYGONS_TOO_LONG"] == ["a.json, object 1"]


def test_only_what_is_drawn_counts_as_long():
    """A border far outside costs nothing, since it is cut."""
    far = 1e30

    (one,), findings = made(outlined((-far, -far, far, -far, far, far, -far, far)))

    assert one.area == WIDTH * HEIGHT
    assert findings.keys() == {"POLYGONS_CLIPPED"}


def test_the_box_that_the_file_says_is_kept_if_it_is_around_the_mask():
    """It may be finer than pixels; what is wrong with it is said."""
    (fine, cut), findings = made(
        outlined(SQUARE, box=(10.3, 19.75, 29.5, 50), boxed=True),
        outlined((80, 20, 100, 20, 100, 50, 80, 50), box=(80, 20, 100.5, 50), boxed=True),
    )

    assert (fine.box, cut.box) == ((10.3, 19.75, 29.5, 50), (80, 20, 100, 50))
    assert findings == {"BOXES_CLIPPED": ["a.json, object 1: by 0.5 pixels"]}


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((50, 20, 70, 50), id="elsewhere"),
        pytest.param((10, 10, 30, 71), id="more than twice as large"),
        pytest.param((10, 20, 10, 50), id="no area"),
        pytest.param((NAN, 20, 30, 50), id="nan"),
        pytest.param((-50, 20, -30, 50), id="outside"),
    ],
)
def test_a_box_that_is_not_the_masks_is_replaced(box):
    """Half of the area in common is enough, less is not."""
    (one,), findings = made(outlined(SQUARE, box=box, boxed=True))

    assert one.box == BOX
    assert findings == {"BOXES_NOT_OF_MASKS": ["a.json, object 1"]}


def test_the_box_of_a_thin_object_may_be_thinner_than_a_pixel():
    """Its mask is a pixel wide, the box a tenth of that."""
    mask_HW = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask_HW[20:50, 10] = 1

    (one,), findings = made(outlined(mask_HW=mask_HW, box=(10.5, 20, 10.6, 50), boxed=True))

    assert one.box == (10.5, 20, 10.6, 50)
    assert findings == {}


@pytest.mark.parametrize(
    ("area", "differs"),
    [
        pytest.param(None, False, id="not said"),
        pytest.param(600, False, id="the same"),
        pytest.param(551, False, id="by less than half the border, of 50 pixels"),
        pytest.param(549, True, id="by more"),
        pytest.param(1200, True, id="of a box"),
        pytest.param(INF, True, id="infinite"),
        pytest.param(NAN, True, id="nan"),
    ],
)
def test_the_area_is_that_of_the_mask(area, differs):
    """Whatever the file says."""
    (one,), findings = made(outlined(SQUARE, area=area))

    assert one.area == 600
    assert findings.keys() == ({"AREAS_NOT_OF_MASKS"} if differs else set())


def test_a_repeated_mask_is_left_out():
    """Not one with the same box alone, of another class, or of a crowd."""
    triangle = (10, 20, 30, 20, 10, 50)
    other = outlined(SQUARE)
    other.label = 1

    objects, findings = made(
        outlined(SQUARE, boxed=True),
        outlined(triangle, boxed=True),
        outlined(SQUARE),
        outlined(SQUARE, crowd=True),
        other,
    )

    assert [(one.label, one.crowd) for one in objects] == [
        *[(0, False), (0, False), (0, True), (1, False)]
    ]
    assert findings == {"OBJECT_MASKS_REPEATED": ["a.json, object 1"]}


def test_fractions_are_of_the_images_sides():
    """100 × 80."""
    fractions = [side / (HEIGHT if place % 2 else WIDTH) for place, side in enumerate(SQUARE)]

    (one,), _ = made(outlined(fractions, box=(0.1, 0.25, 0.3, 0.625)), normalized=True)

    assert (one.box, one.area) == (BOX, 600)


def test_polygons_of_a_copy_of_another_size_are_scaled():
    """Drawn at half the size. The area that is said grows with them."""
    half = [side / 2 for side in SQUARE]

    (one,), findings = made(
        outlined(half, box=tuple(half[:2] + half[4:6]), area=150.0),
        width=WIDTH // 2,
        height=HEIGHT // 2,
    )

    assert (one.box, one.area) == (BOX, 600)
    assert findings.keys() == {"BOXES_SCALED"}


def block(height, width, box):
    """A mask with these pixels."""
    mask_HW = np.zeros((height, width), np.uint8)
    xmin, ymin, xmax, ymax = box
    mask_HW[ymin:ymax, xmin:xmax] = 1
    return mask_HW


@pytest.mark.parametrize("scale", [2, 3])
def test_a_mask_of_a_copy_of_another_size_is_scaled(scale):
    """To the nearest pixel."""
    large_HW = block(HEIGHT * scale, WIDTH * scale, [side * scale for side in BOX])

    (one,), findings = made(outlined(mask_HW=large_HW))

    np.testing.assert_array_equal(pixels(one), block(HEIGHT, WIDTH, BOX))
    assert findings == {
        "OBJECT_MASKS_SCALED": [
            f"a.json, object 1: {WIDTH * scale} × {HEIGHT * scale}, its image {WIDTH} × {HEIGHT}"
        ]
    }


@pytest.mark.parametrize("size", [(100, 80), (40, 100), (1, 1)])
def test_a_mask_of_another_shape_is_left_out(size):
    objects, findings = made(outlined(mask_HW=np.ones(size, np.uint8)), outlined(SQUARE))

    assert len(objects) == 1
    assert findings == {
        "OBJECT_MASKS_OF_OTHER_SIZE": [
            f"a.json, object 1: {size[1]} × {size[0]}, its image 100 × 80"
        ]
    }


def upright(mask_HW, orientation):
    """What Pillow makes of a picture stored so."""
    image = Image.fromarray(mask_HW * 255)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image)) // 255


CORNER = [(0, 0, 5, 3), (2, 0, 30, 20), (60, 40, 96, 64)]


@pytest.mark.parametrize("box", CORNER)
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("scale", [1, 2])
def test_a_mask_of_the_stored_image_is_turned_with_it(orientation, box, scale):
    """Its size shows that it was drawn before the image was turned; perhaps on a larger copy."""
    stored_HW = block(64, 96, box)
    large_HW = stored_HW.repeat(scale, axis=0).repeat(scale, axis=1)

    (one,), findings = made(
        outlined(mask_HW=large_HW), image=info(64, 96, orientation), width=96, height=64
    )

    np.testing.assert_array_equal(pixels(one, 64, 96), upright(stored_HW, orientation))
    more = {"OBJECT_MASKS_SCALED"} if scale > 1 else set()
    assert findings.keys() == {"BOXES_TURNED", "OBJECT_MASKS_TURNED"} | more


@pytest.mark.parametrize("box", CORNER)
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_polygons_on_the_stored_image_are_turned_with_it(orientation, box):
    """As the size that is said shows; with the box."""
    xmin, ymin, xmax, ymax = box
    around = (xmin, ymin, xmax, ymin, xmax, ymax, xmin, ymax)

    (one,), findings = made(
        outlined(around, box=box, boxed=True),
        image=info(64, 96, orientation),
        width=96,
        height=64,
    )

    np.testing.assert_array_equal(pixels(one, 64, 96), upright(block(64, 96, box), orientation))
    assert findings.keys() == {"BOXES_TURNED"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_of_the_upright_image_stays(orientation):
    mask_HW = block(HEIGHT, WIDTH, BOX)

    (one,), _ = made(
        outlined(mask_HW=mask_HW), image=info(orientation=orientation), width=WIDTH, height=HEIGHT
    )

    np.testing.assert_array_equal(pixels(one), mask_HW)


@given(
    sides=st.lists(st.integers(0, 10_000), min_size=6, max_size=20).filter(
        lambda sides: len(sides) % 2 == 0
    )
)
def test_masks_are_those_of_pycocotools(sides):
    """Also where a coordinate is half way between two pixels, which 32 bits do not hold exactly."""
    hundredths = [side % (8000 if place % 2 else 10_000) / 100 for place, side in enumerate(sides)]

    objects, _ = made(outlined(hundredths))

    drawn_HW = pycoco.decode(pycoco.merge(pycoco.frPyObjects([hundredths], HEIGHT, WIDTH)))
    if objects:
        np.testing.assert_array_equal(pixels(objects[0]), drawn_HW)
    else:
        assert not drawn_HW.any()


SIDES = st.floats(-300, 300) | st.floats() | st.integers(-3, 103).map(float)


@settings(max_examples=200)
@given(
    polygons=st.lists(st.lists(SIDES, max_size=12).map(lambda p: p[: len(p) // 2 * 2]), max_size=3),
    box=st.tuples(SIDES, SIDES, SIDES, SIDES),
    said=st.tuples(st.integers(0, 10**400) | st.integers(0, 200), st.integers(0, 200)),
    area=st.none() | st.floats(),
    normalized=st.booleans(),
    boxed=st.booleans(),
    orientation=st.integers(1, 8),
)
def test_whatever_a_file_says(polygons, box, said, area, normalized, boxed, orientation):
    """An object is left out, or has pixels, their area, and a box inside of the image."""
    image = info(orientation=orientation)

    objects, findings = made(
        outlined(*polygons, box=box, boxed=boxed, area=area),
        image=image,
        normalized=normalized,
        width=said[0],
        height=said[1],
    )

    for one in objects:
        xmin, ymin, xmax, ymax = one.box
        assert 0 <= xmin < xmax <= WIDTH
        assert 0 <= ymin < ymax <= HEIGHT
        assert 0 < pixels(one).sum() == one.area
    if not objects:
        assert {name for name in findings if name.startswith(("POLYGONS", "OBJECT"))}
