"""CVAT's XML, as its users have it and as disks leave it."""

import numpy as np
import pytest

from common.data import formats
from common.data.formats.cvat import Cvat
from common.data.formats.pictures import Boxed
from common.errors import InvalidInput
from common.masks import rle
from services.detection.task import DetectionTask
from tests.common.data.formats.reading import around, boxes, pictures_of

CVAT = Cvat()


def xml(*elements, meta=""):
    """A file."""
    return f"<annotations><version>1.1</version><meta>{meta}</meta>{''.join(elements)}".encode() + (
        b"</annotations>"
    )


def image(*shapes, name="1.jpg", id_=0, more='width="100" height="80"'):
    return f'<image id="{id_}" name="{name}" {more}>{"".join(shapes)}</image>'


def box(label="cat", sides=(1, 2, 30, 40), more="", inside=""):
    numbers = zip(("xtl", "ytl", "xbr", "ybr"), sides, strict=True)
    written = " ".join(f'{side}="{value}"' for side, value in numbers)
    return f'<box label="{label}" {written} {more}>{inside}</box>'


def polygon(points="10,20;40,20;40,60", label="cat", more=""):
    return f'<polygon label="{label}" points="{points}" {more}/>'


def mask(runs, label="cat", left=60, top=70, width=3, height=2):
    place = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    return f'<mask label="{label}" rle="{runs}" {place}/>'


def attribute(name, value):
    return f'<attribute name="{name}">{value}</attribute>'


@pytest.fixture
def read(tree_of):
    """Read elements of a file beside some images."""

    def read(*elements, files=("images/1.jpg",), meta="", path="annotations.xml", **options):
        return pictures_of(CVAT, tree_of(*files, **{path: xml(*elements, meta=meta)}), **options)

    return read


def only(read, *shapes, **options):
    """Return the picture of an image of these shapes, and the findings."""
    pictures, _, findings = read(image(*shapes), **options)
    return pictures["images/1.jpg"], findings


def test_a_box_is_upright(read):
    """A quarter of a turn around the center swaps its sides; the finding says it."""
    shapes = [box(sides=(10, 20, 30, 60), more='rotation="90.00"'), box(more='rotation="0.0"')]

    picture, findings = only(read, *shapes)

    turned, upright = picture.shapes
    assert turned.box == pytest.approx((0, 30, 40, 50))
    assert upright.box == (1, 2, 30, 40)
    assert findings == {"BOXES_AROUND_TURNED": ["annotations.xml, image 0, box 1: by 90 degrees"]}
    assert (picture.width, picture.height, picture.source) == (100, 80, "annotations.xml")


@pytest.mark.parametrize(
    ("left", "top", "pixels"),
    [
        pytest.param(60, 70, {(62, 70), (60, 71)}, id="inside"),
        pytest.param(-1, 79, {(1, 79)}, id="cut at the left and below"),
        pytest.param(99, -1, {(99, 0)}, id="cut at the right and above"),
    ],
)
def test_a_mask_has_runs_along_the_rows(left, top, pixels, read):
    """First those outside."""
    picture, findings = only(read, mask("2, 2, 2", left=left, top=top))

    decoded = rle.decode(picture.shapes[0].outline.rle)
    rows, columns = decoded.nonzero()
    assert decoded.shape == (80, 100)
    assert set(zip(columns.tolist(), rows.tolist(), strict=True)) == pixels
    assert findings == {}


def test_outlines_of_one_group_and_class_are_one_object(read):
    """Polygons with polygons, masks with masks; boxes stay by themselves."""
    group = 'group_id="4"'
    masks = [mask("0,2,4", left=left).replace("/>", f" {group}/>") for left in (0, 50)]
    shapes = [polygon(more=group), polygon("1,1;2,1;2,2", more=group), box(more=group), *masks]
    others = [polygon(label="dog", more=group), polygon(more='group_id="5"')]

    picture, findings = only(read, *shapes, *others)

    assert [shape.label for shape in picture.shapes] == ["cat", "cat", "cat", "dog", "cat"]
    assert around(picture.shapes[0]) == (1, 1, 40, 60)
    assert len(picture.shapes[0].outline.polygons) == 2
    assert around(picture.shapes[2]) == (0, 70, 52, 71)
    assert findings["SHAPES_JOINED"] == [
        "annotations.xml, image 0, polygon 1 and image 0, polygon 2",
        "annotations.xml, image 0, mask 4 and image 0, mask 5",
    ]


def test_attributes_that_say_something_of_an_object_are_marks(read):
    """Others are named, once for each class."""
    inside = attribute("Truncated", "true") + attribute("difficult", "false")
    inside += attribute("colour", "red") + attribute("parked", "false")
    crowd = attribute("is_crowd", "1")

    picture, findings = only(
        read, box(inside=inside), box(inside=inside, more='occluded="1"'), box("dog", inside=crowd)
    )

    assert [(one.truncated, one.difficult, one.crowd) for one in picture.shapes] == [
        (True, False, False),
        (True, False, False),
        (False, False, True),
    ]
    assert findings == {
        "ATTRIBUTES_NOT_READ": ["annotations.xml: cat.colour", "annotations.xml: cat.occluded"]
    }


def test_tags_have_attributes_as_columns(read):
    """For `group_by`."""
    tag = f'<tag label="sunny">{attribute("camera", "A")}</tag>'

    picture, _ = only(read, tag)

    assert picture.tags == ["sunny"]
    assert picture.columns == {"sunny.camera": "A"}


def test_what_has_no_area_is_left_out(read):
    """Each is named, and counted, so that the image is not taken for empty."""
    kinds = ("points", "polyline", "cuboid", "skeleton")

    picture, findings = only(read, *(f'<{kind} label="cat" points="1,2;3,4"/>' for kind in kinds))

    assert picture.shapes == []
    assert picture.dropped == 4
    assert findings == {
        "SHAPES_UNUSABLE": [
            f"annotations.xml, image 0, {kind} {number}"
            for number, kind in enumerate(kinds, start=1)
        ]
    }


@pytest.mark.parametrize(
    ("shape", "finding", "why"),
    [
        (box(sides=("a", 1, 2, 3)), "BOXES_UNREADABLE", "xtl is 'a', which is no number"),
        ('<box label="cat"/>', "BOXES_UNREADABLE", "xtl is '', which is no number"),
        (box(more='rotation="x"'), "BOXES_UNREADABLE", "rotation is 'x', which is no number"),
        (polygon("1,2;3"), "OUTLINES_UNREADABLE", "'3' is no point"),
        (polygon(""), "OUTLINES_UNREADABLE", "'' is no point"),
        ('<polygon label="cat"/>', "OUTLINES_UNREADABLE", "'' is no point"),
        ('<ellipse label="cat" cx="1"/>', "OUTLINES_UNREADABLE", "cy is '', which is no number"),
        (mask("1,2"), "OUTLINES_UNREADABLE", "its runs have 3 pixels, its part 3 × 2"),
        (mask("-1,7"), "OUTLINES_UNREADABLE", "its runs have 6 pixels, its part 3 × 2"),
        (mask("1,x"), "OUTLINES_UNREADABLE", "'x' is no whole number"),
        (mask("6", width="1e9", height="1e9"), "OUTLINES_UNREADABLE", "its image has more than"),
        (mask("0", width=0), "OUTLINES_UNREADABLE", "its image has no size"),
        (mask("1e999"), "OUTLINES_UNREADABLE", "'1e999' is no whole number"),
    ],
)
def test_shapes_that_cannot_be_read_are_named(shape, finding, why, read):
    """With what is wrong."""
    picture, findings = only(read, shape, box())

    assert len(picture.shapes) == 1
    assert picture.dropped == 1
    (example,) = findings[finding]
    assert why in example


def test_a_mask_needs_the_size_of_its_image(read):
    """Nothing else says it."""
    _, _, findings = read(image(mask("0,6"), more=""))

    assert findings == {
        "OUTLINES_UNREADABLE": ["annotations.xml, image 0, mask 1: its image has no size"]
    }


LABELS = "<label><name> {} </name></label>"


@pytest.mark.parametrize("around_labels", ["task", "project", "job"])
def test_classes_are_in_the_order_of_the_file(around_labels, read):
    """The points of a skeleton are none."""
    point = "<label><name>nose</name><parent>cat</parent></label>"
    labels = f"<labels>{LABELS.format('dog')}{point}{LABELS.format('cat')}</labels>"

    _, classes, _ = read(image(), meta=f"<{around_labels}>{labels}</{around_labels}>")

    assert classes == ["dog", "cat"]


def test_the_same_name_in_two_subsets(read):
    """Subsets are folders; those with a usual name are splits."""
    elements = [
        image(box(label), more=f'subset="{subset}" width="100" height="80"', id_=number)
        for number, (label, subset) in enumerate((("a", "Train"), ("b", "mine"), ("c", "Test")))
    ]
    files = [f"images/{subset}/1.jpg" for subset in ("Train", "mine", "Test")]

    pictures, _, _ = read(*elements, files=files)

    assert {file: picture.shapes[0].label for file, picture in pictures.items()} == dict(
        zip(files, "abc", strict=True)
    )
    assert [pictures[file].split for file in files] == ["train", None, "test"]


def test_images_are_found_where_they_were_moved(read):
    """As for other files of lists; one that is not there is named."""
    pictures, _, findings = read(
        image(name="a\\1.jpg"), image(name="9.jpg", id_=5), files=("x/a/1.jpg",), path="y/b.xml"
    )

    assert list(pictures) == ["x/a/1.jpg"]
    assert findings == {"LISTED_FILES_MISSING": ["y/b.xml, image 5: 9.jpg"]}


SIZE = "<task><original_size><width>100</width><height>80</height></original_size></task>"
FRAMES = tuple(f"images/frame_00000{number}.PNG" for number in range(4))


def track(*shapes, label="cat", id_=0, more=""):
    return f'<track id="{id_}" label="{label}" {more}>{"".join(shapes)}</track>'


def at(frame, shape=None, more='outside="0"'):
    """A shape of a track, which has no label of its own."""
    shape = shape or box()
    return shape.replace(' label="cat"', f' frame="{frame}" {more}')


def test_tracks_are_the_objects_of_frames(read):
    """Not where the object is outside; frames without one are empty, not unlabeled."""
    pictures, _, findings = read(
        track(at(0), at(1), at(2, more='outside="1"')),
        track(at(1, box(sides=(5, 6, 7, 8))), at(3, polygon()), label="dog", id_=1),
        track(at(3, '<points label="cat" points="1,2"/>'), id_=2),
        '<tag label="night" frame="2"/>',
        files=FRAMES,
        meta=SIZE,
    )

    assert [boxes(pictures[file]) for file in FRAMES[:3]] == [
        [("cat", 1, 2, 30, 40)],
        [("cat", 1, 2, 30, 40), ("dog", 5, 6, 7, 8)],
        [],
    ]
    assert around(pictures[FRAMES[3]].shapes[0]) == (10, 20, 40, 60)
    assert [pictures[file].tags for file in FRAMES] == [[], [], ["night"], []]
    assert [pictures[file].dropped for file in FRAMES] == [0, 0, 0, 1]
    assert all((one.width, one.height) == (100, 80) for one in pictures.values())
    assert findings == {"SHAPES_UNUSABLE": ["annotations.xml, track 2, frame 3"]}


def test_frames_that_are_not_there_are_named(read):
    """Videos are often exported without them, or sampled."""
    pictures, _, findings = read(track(at(0), at(7), at("x")), files=FRAMES[:1])

    assert list(pictures) == [FRAMES[0]]
    assert findings == {
        "LISTED_FILES_MISSING": ["annotations.xml: frame 7"],
        "ANNOTATIONS_WITHOUT_IMAGE": ["annotations.xml, track 0, frame x"],
    }


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (xml(image())[:-9], r"annotations.xml is no XML: .* line 1"),
        (b"<annotations>&#0;</annotations>", r"annotations.xml is no XML"),
        (b"<annotations><image></annotations>", r"is no XML: mismatched tag"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><annotations>&x;</annotations>', "declares a document"),
        (b"<annotations>" + b"<a>" * 60 + b"</a>" * 60 + b"</annotations>", "too many elements"),
        (b"<x><annotations/></x>", r"starts with <x> instead of <annotations>"),
    ],
)
def test_a_broken_file_is_refused(content, why, tree_of):
    """With the place, if it is the only one; but detection still takes it for what it is."""
    tree = tree_of("1.jpg", **{"annotations.xml": content})

    assert formats.choose(DetectionTask().formats, "", tree).name == "cvat"
    with pytest.raises(InvalidInput, match=why):
        pictures_of(CVAT, tree)


def test_one_of_several_files_may_be_broken(tree_of):
    """It is left out whole."""
    files = {"a.xml": xml(image(box())), "b.xml": xml(image(box("dog"), name="2.jpg"))[:-20]}

    pictures, _, findings = pictures_of(CVAT, tree_of("1.jpg", "2.jpg", **files))

    assert list(pictures) == ["1.jpg"]
    assert [one[:16] for one in findings["ANNOTATION_FILES_UNREADABLE"]] == ["b.xml is no XML:"]


def test_nothing_is_held_for_too_long_a_tag(tree_of, monkeypatch):
    """The parser itself would hold it, and look at it again and again."""
    monkeypatch.setattr("common.data.formats.cvat_file._MAX_TAG_BYTES", 100_000)
    tree = tree_of("1.jpg", **{"a.xml": xml(image(polygon("1,2;" * 100_000)))})

    with pytest.raises(InvalidInput, match="has a tag of more than 100000 bytes"):
        pictures_of(CVAT, tree)


@pytest.mark.parametrize(("bound", "most"), [("MAX_OBJECTS", 2), ("MAX_OUTLINE_BYTES", 700)])
def test_memory_is_bounded_while_a_file_is_read(bound, most, read, monkeypatch):
    """And not only afterwards."""
    monkeypatch.setattr(f"common.objects.drafts.{bound}", most)

    with pytest.raises(InvalidInput, match=r"image 0, polygon 3: up to here"):
        read(image(*[polygon()] * 3))


def test_more_images_than_allowed_are_refused(read):
    """Also frames that no track shows."""
    with pytest.raises(InvalidInput, match="list more than 2 images"):
        read(track(at(0)), files=FRAMES, max_records=2)


def test_without_a_file_the_format_says_what_it_needs(tree_of):
    """It was named by the user."""
    with pytest.raises(InvalidInput, match=r"no annotation file of cvat .* needs an annotations"):
        Boxed(CVAT).read(tree_of("1.jpg"), None, max_records=1)


def test_a_file_of_many_images_is_read_in_passing(read):
    """Elements do not pile up: what is held is what becomes of them."""
    count = 2000
    names = [f"images/{number}.jpg" for number in range(count)]

    pictures, _, _ = read(
        *(image(box(), name=f"{number}.jpg", id_=number) for number in range(count)),
        files=names,
        max_records=count,
    )

    assert len(pictures) == count
    assert all(len(picture.shapes) == 1 for picture in pictures.values())


def test_masks_along_columns_equal_those_of_the_whole_image(read):
    """By chance, with the encoder of whole images as the reference."""
    chance = np.random.default_rng(0)
    for _ in range(20):
        height, width = chance.integers(1, 9, 2).tolist()
        part = chance.integers(0, 2, (height, width))
        left, top = chance.integers(0, 80 - 9, 2).tolist()
        edges = np.flatnonzero(np.diff(part.ravel(), prepend=0)).tolist()
        runs = np.diff([0, *edges, part.size]).tolist()
        drawn = mask(", ".join(map(str, runs)), left=left, top=top, width=width, height=height)

        picture, _ = only(read, drawn)

        whole = np.zeros((80, 100), np.uint8)
        whole[top : top + height, left : left + width] = part
        assert picture.shapes[0].outline.rle == rle.encode(whole)
