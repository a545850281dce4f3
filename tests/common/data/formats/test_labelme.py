"""LabelMe's files, as its users have them and as disks leave them."""

import base64
import json

import pytest

from common.data.formats.labelme import LabelMe
from common.data.formats.pictures import Boxed
from common.errors import InvalidInput
from common.masks import rle
from tests.common.data.formats.reading import around, pictures_of
from tests.common.data.formats.samples.labelme import document, picture, shape
from tests.common.data.packing import jpeg

LABELME = LabelMe()
CORNERS = [[10, 20], [40, 60]]


@pytest.fixture
def read(tree_of):
    """Read files beside some images that have no content."""

    def read(*images, **files):
        return pictures_of(LABELME, tree_of(*images, **files))

    return read


def only(read, *shapes, name="1.jpg"):
    """Return the picture of an image of these shapes, and the findings."""
    pictures, _, findings = read("1.jpg", **{"1.json": document(name, *shapes)})
    return pictures["1.jpg"], findings


@pytest.mark.parametrize("corners", [CORNERS, CORNERS[::-1], [[40, 20], [10, 60]]])
def test_a_rectangle_is_drawn_from_any_corner(corners, read):
    """Which is no mistake."""
    image, findings = only(read, shape("cat", corners, "rectangle"))

    assert image.shapes[0].box == (10, 20, 40, 60)
    assert image.shapes[0].outline is None
    assert (image.width, image.height) == (100, 80)
    assert findings == {}


def test_a_turned_rectangle_has_the_upright_box_around_it(read):
    """As programs write it that are built on LabelMe."""
    image, findings = only(read, shape("cat", [[50, 10], [70, 30], [50, 50], [30, 30]], "rotation"))

    assert image.shapes[0].box == (30, 10, 70, 50)
    assert findings == {"BOXES_AROUND_TURNED": ["1.json, shape 1"]}


def test_old_files_have_polygons_without_saying_so(read):
    """And no group."""
    image, _ = only(read, {"label": "cat", "points": [[1, 2], [3, 2], [3, 9]], "line_color": None})

    assert around(image.shapes[0]) == (1, 2, 3, 9)
    assert image.shapes[0].box is None


def test_a_circle_is_a_center_and_a_point_on_it(read):
    """3, 4 and 5 are sides of a triangle."""
    image, _ = only(read, shape("cat", [[50, 40], [53, 44]], "circle"))

    assert around(image.shapes[0]) == (45, 35, 55, 45)


def test_a_mask_is_a_picture_in_its_box(read):
    """The point is that of the upper left pixel."""
    mask = picture([[0, 1], [1, 1]])

    image, findings = only(
        read,
        shape("cat", [[7.0, 5.0], [8.0, 6.0]], "mask", mask=mask),
        shape("cat", [[7, 5], [8, 6]], "mask", mask=f"data:image/png;base64,{mask}"),
    )

    assert findings == {}
    for one in image.shapes:
        rows, columns = rle.decode(one.outline.rle).nonzero()
        found = set(zip(columns.tolist(), rows.tolist(), strict=True))
        assert found == {(8, 5), (7, 6), (8, 6)}
        assert one.outline.rle["size"] == [80, 100]


def test_shapes_of_one_group_are_one_object(read):
    """If they are of one class; rectangles and what is in no group stay by themselves."""
    part = [[1, 2], [3, 2], [3, 9]]
    other = [[50, 2], [60, 2], [60, 9]]
    shapes = [
        shape("cat", part, "polygon", group_id=3),
        shape("cat", other, "polygon", group_id=3),
        shape("dog", other, "polygon", group_id=3),
        shape("cat", other, "polygon", group_id=None),
        shape("cat", CORNERS, "rectangle", group_id=3),
    ]

    image, findings = only(read, *shapes)

    assert [one.label for one in image.shapes] == ["cat", "dog", "cat", "cat"]
    assert around(image.shapes[0]) == (1, 2, 60, 9)
    assert findings == {"SHAPES_JOINED": ["1.json, shape 1 and shape 2"]}


def test_flags_of_shapes_are_marks_if_they_say_something_of_objects(read):
    """Others are named."""
    flags = {"truncated": True, "Difficult": True, "crowd": False, "blurred": True, "wet": False}

    image, findings = only(read, shape("cat", CORNERS, "rectangle", flags=flags))

    (one,) = image.shapes
    assert (one.truncated, one.difficult, one.crowd) == (True, True, False)
    assert findings == {"ATTRIBUTES_NOT_READ": ["cat.blurred"]}


def test_flags_of_an_image_are_its_tags(read):
    """Those that are set."""
    pictures, classes, _ = read("1.jpg", **{"1.json": document("1.jpg", flags=["day"])})

    assert pictures["1.jpg"].tags == ["day"]
    assert classes == []


@pytest.mark.parametrize("kind", ["point", "points", "line", "linestrip"])
def test_what_has_no_area_is_left_out(kind, read):
    """And counted, so that the image is not taken for empty."""
    image, findings = only(read, shape("cat", CORNERS, kind))

    assert (image.shapes, image.dropped) == ([], 1)
    assert findings == {"SHAPES_UNUSABLE": [f"1.json, shape 1: {kind}"]}


@pytest.mark.parametrize(
    ("value", "finding", "why"),
    [
        (shape("cat", [[1, 2]], "rectangle"), "BOXES", "a rectangle has 1 corners"),
        (shape("cat", [[1, 2]], "circle"), "OUTLINES", "a circle has 1 points"),
        (shape("cat", [], "polygon"), "OUTLINES", "it has no points"),
        (shape("cat", None, "polygon"), "OUTLINES", "it has no points"),
        (shape("cat", [[1, "a"]], "polygon"), "OUTLINES", "is no point"),
        (shape("cat", [[1, 2, 3]], "polygon"), "OUTLINES", "'[1, 2, 3]' is no point"),
        (shape("cat", [1, 2], "polygon"), "OUTLINES", "'1' is no point"),
        (shape("cat", CORNERS, "cube"), "OUTLINES", "it is a 'cube', which is not known"),
        (shape("cat", CORNERS, 7), "OUTLINES", "it is a '7', which is not known"),
        (shape("cat", CORNERS, ["x"]), "OUTLINES", "which is not known"),
        (shape("cat", CORNERS, "mask"), "OUTLINES", "it has no picture in base64"),
        (shape("cat", CORNERS, "mask", mask="a"), "OUTLINES", "it has no picture in base64"),
        (shape("cat", CORNERS, "mask", mask="abcd"), "OUTLINES", "its picture cannot be read"),
        (shape("cat", [[float("nan"), 1]], "mask"), "OUTLINES", "its place is no number"),
        (None, "OUTLINES", "it has no points"),
        ([1], "OUTLINES", "it has no points"),
    ],
)
def test_shapes_that_cannot_be_read_are_named(value, finding, why, read):
    """With what is wrong; the others are kept."""
    image, findings = only(read, value, shape("cat", CORNERS, "rectangle"))

    assert (len(image.shapes), image.dropped) == (1, 1)
    (example,) = findings[f"{finding}_UNREADABLE"]
    assert example.startswith("1.json, shape 1: ")
    assert why in example


def test_sides_that_are_no_number_are_not_lost(read):
    """The smallest of some numbers and NaN depends on their order."""
    image, _ = only(read, shape("cat", [[1, 2], [float("nan"), 4]], "rectangle"))

    assert all(side != side for side in image.shapes[0].box)  # noqa: PLR0124 - so is NaN


@pytest.mark.parametrize("label", [None, 3, ["a"]])
def test_a_class_is_a_text(label, read):
    """Whatever it is; what is empty is found later."""
    image, _ = only(read, shape(label, CORNERS, "rectangle"))

    assert image.shapes[0].label == ("" if label is None else str(label))


@pytest.mark.parametrize(
    ("written", "images", "path", "file"),
    [
        ("1.jpg", ["1.jpg", "1.png"], "1.json", "1.jpg"),
        ("old.jpg", ["1.jpg", "old.jpg"], "1.json", "1.jpg"),
        ("..\\images\\b.jpg", ["images/b.jpg", "b.jpg"], "annotations/x.json", "images/b.jpg"),
        ("C:\\me\\b.jpg", ["images/b.jpg"], "annotations/x.json", "images/b.jpg"),
        ("b.jpg", ["images/b.jpg"], "annotations/b.json", "images/b.jpg"),
        ("", ["images/b.jpg", "1.jpg"], "1.json", "1.jpg"),
    ],
)
def test_an_image_is_found(written, images, path, file, read):
    """By the name of its file, or by what this says."""
    pictures, _, findings = read(*images, **{path: document(written)})

    assert [one for one, image in pictures.items() if image.labeled] == [file]
    assert findings == {}


def test_an_image_without_a_file_is_unlabeled(read):
    """A file without a shape says that there is none; what cannot be found is named."""
    files = {"1.json": document("1.jpg"), "9.json": document("9.jpg"), "notes.json": b"{}"}

    pictures, _, findings = read("1.jpg", "2.jpg", **files)

    assert {file: image.labeled for file, image in pictures.items()} == {
        "1.jpg": True,
        "2.jpg": False,
    }
    assert findings == {
        "LISTED_FILES_MISSING": ["9.json: 9.jpg"],
        "ANNOTATION_FILES_IGNORED": ["notes.json"],
    }


def test_an_image_may_be_inside_of_its_file(tree_of):
    """Also after detection has looked; what lies beside is preferred, and what is none ignored."""
    content, other = jpeg(1), jpeg(2)
    inside = base64.b64encode(content).decode()
    tree = tree_of(
        **{
            "a/1.json": document("1.jpg", shape("cat", CORNERS, "rectangle"), data=inside),
            "a/2.json": document("..\\2.jpg", data=base64.b64encode(other).decode()),
            "a/3.json": document("3.jpg", data=inside),
            "a/3.jpg": other,
            "a/4.json": document("4.jpg", data=base64.b64encode(b"no image").decode()),
        }
    )

    assert (
        Boxed(LABELME).detect(tree) == "a/1.json is of LabelMe, with boxes or outlines of objects"
    )
    pictures, _, findings = pictures_of(LABELME, tree)

    assert list(pictures) == ["a/1.json/1.jpg", "a/2.json/2.jpg", "a/3.jpg"]
    assert tree.read("a/1.json/1.jpg") == content
    assert tree.open("a/2.json/2.jpg").read() == other
    assert tree.size("a/2.json/2.jpg") == len(other)
    assert findings == {
        "IMAGES_EMBEDDED": ["a/1.json/1.jpg", "a/2.json/2.jpg"],
        "LISTED_FILES_MISSING": ["a/4.json: 4.jpg"],
    }


def test_broken_files_are_left_out(read):
    """With the place; if there is no other, the import is refused."""
    good, broken = document("1.jpg"), document("2.jpg")[:-30]

    pictures, _, findings = read("1.jpg", "2.jpg", **{"1.json": good, "2.json": broken})

    assert not pictures["2.jpg"].labeled
    assert [one[:13] for one in findings["ANNOTATION_FILES_UNREADABLE"]] == ["2.json: line "]
    with pytest.raises(InvalidInput, match=r"annotation file 2.json: line .* Export it anew"):
        read("2.jpg", **{"2.json": broken})


def test_keys_of_other_kinds_are_ignored(read):
    """Whatever a program writes there."""
    said = {"shapes": [], "imagePath": ["1.jpg"], "imageHeight": "x", "imageWidth": -3}
    said |= {"flags": ["day"], "imageData": 7}

    pictures, _, findings = read("1.jpg", **{"1.json": json.dumps(said).encode()})

    (image,) = pictures.values()
    assert (image.width, image.height, image.tags) == (0, 0, [])
    assert findings == {}


def test_more_files_than_allowed_are_refused(tree_of):
    """Before they are read."""
    files = {f"{number}.json": document(f"{number}.jpg") for number in (1, 2)}

    with pytest.raises(InvalidInput, match="list more than 1 images"):
        pictures_of(LABELME, tree_of("1.jpg", "2.jpg", **files), max_records=1)


def test_without_a_file_the_format_says_what_it_needs(tree_of):
    """It was named by the user."""
    with pytest.raises(InvalidInput, match=r"no annotation file of labelme .* needs a \.json file"):
        pictures_of(LABELME, tree_of("1.jpg", **{"a.json": b'{"images": []}'}))


def test_what_tells_the_format_may_lie_behind_an_image(tree_of):
    """Sorted keys put the image first."""
    content = json.dumps({"imageData": "A" * (3 << 20), "imagePath": "1.jpg", "shapes": []})

    assert LABELME.detect(tree_of("1.jpg", **{"1.json": content.encode()}))
