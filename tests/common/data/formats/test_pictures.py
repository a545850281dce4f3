"""What is made of the pictures of a labelling tool for each task, whatever the tool."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from common.data.findings import Report
from common.data.formats.pictures import (
    Boxed,
    Flattened,
    Outlined,
    Picture,
    Pictures,
    Read,
    Shape,
    Tagged,
)
from common.data.formats.pictures_shapes import placed, polygons
from common.errors import InvalidInput
from common.masks.outlines import Outline
from common.objects.drafts import complete

INFO = SimpleNamespace(width=100, height=80, orientation=1)
BOX = (10.0, 20.0, 40.0, 60.0)


def square(xmin, ymin, xmax, ymax):
    return polygons([(xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax)])


def boxed(label="cat", box=BOX, where="shape 1", **more):
    return Shape(label, where, box, **more)


def outlined(label="cat", outline=None, where="shape 2", **more):
    return Shape(label, where, None, outline or square(10, 20, 40, 60), **more)


class Given(Pictures):
    """A tool whose export is a `tool.json` that names classes, and these pictures."""

    name = "given"
    description = "a tool.json"

    def __init__(self, *pictures, others=()):
        self.pictures = pictures
        self.others = others

    def detect(self, tree):
        return "there is a tool.json" if "tool.json" in tree else None

    def read(self, tree, report, *, max_records):
        if "tool.json" not in tree:
            raise self.nothing(tree)
        read = Read((), others=set(self.others))
        read.pictures = self._take(json.loads(tree.read("tool.json")), read)
        return read

    def _take(self, named, read):
        """Classes are known only once the pictures are taken."""
        read.classes += named
        yield from self.pictures


@pytest.fixture
def archive(tree_of):
    """A tree of two images and the file."""

    def archive(*classes, images=("1.jpg", "2.jpg")):
        return tree_of(*images, **{"tool.json": json.dumps(classes).encode()})

    return archive


def read(format_, tree, **options):
    """Return the reading, and the examples of each finding."""
    report = Report()
    reading = format_.read(tree, report, **{"max_records": 100} | options)
    return reading, {f.id: list(f.examples) for f in report.findings()}


def of(file="1.jpg", *shapes, **more):
    return Picture(file, "tool.json", shapes=list(shapes), **more)


def tagged(file, *tags, **more):
    return Picture(file, "tool.json", tags=list(tags), **more)


ALL = (Tagged, Boxed, Outlined, Flattened)


@pytest.mark.parametrize(
    ("pictures", "fitting"),
    [
        pytest.param([tagged("1.jpg", "a")], {Tagged}, id="tags"),
        pytest.param([of("1.jpg", boxed())], {Boxed}, id="boxes"),
        pytest.param([of("1.jpg", outlined())], {Boxed, Outlined, Flattened}, id="outlines"),
        pytest.param([of("1.jpg")], set(), id="nothing"),
        pytest.param(
            [of("1.jpg"), of("2.jpg", boxed(), tags=["a"])], {Tagged, Boxed}, id="the last of two"
        ),
        pytest.param([], set(ALL), id="no image: reading says it"),
    ],
)
def test_fits_the_tasks_that_it_is_enough_for(pictures, fitting, archive):
    """What a task lacks, no other format should be kept from."""
    tree = archive()

    assert {one for one in ALL if one(Given(*pictures)).detect(tree)} == fitting


def test_the_reason_says_what_it_holds(archive, tree_of):
    """Under the name of the tool."""
    entry = Boxed(Given(of("1.jpg", boxed())))

    assert entry.detect(archive()) == "there is a tool.json, with boxes or outlines of objects"
    assert entry.detect(tree_of("1.jpg")) is None
    assert (entry.name, entry.description) == ("given", "a tool.json")


def test_a_refusal_is_left_to_reading(archive):
    """That a file is too large should be heard, not that the format is unknown."""

    class Refusing(Given):
        def read(self, tree, report, *, max_records):
            raise self.nothing(tree, "tool.json: it is too large")

    assert all(one(Refusing()).detect(archive()) for one in ALL)
    with pytest.raises(InvalidInput, match=r"tool.json: it is too large. Export it anew."):
        read(Boxed(Refusing()), archive())


def test_a_tag_is_the_class(archive):
    """The order is that of the file; what only shapes have is none."""
    reader = Given(
        tagged("1.jpg", "dog", split="train", columns={"site": "A"}),
        Picture("2.jpg", "tool.json", tags=["ant "], shapes=[boxed("car")], split="val"),
    )

    reading, findings = read(Tagged(reader), archive("dog", "cat", "car"))

    assert reading.classes == ["dog", "cat", "ant"]
    assert reading.unused == {1}
    assert [(r.file, r.annotation, r.split) for r in reading.records] == [
        ("1.jpg", {"label": 0}, "train"),
        ("2.jpg", {"label": 2}, "val"),
    ]
    assert reading.records[0].columns == {"site": "A"}
    assert findings == {"SHAPES_NOT_READ": ["tool.json, 2.jpg"]}


@pytest.mark.parametrize("made", [Tagged, Boxed])
def test_columns_can_be_written(made, archive):
    """JSON allows half characters, and the manifest does not."""
    picture = Picture("1.jpg", "tool.json", tags=["a"], shapes=[boxed("a")])
    picture.columns = {"site\ud800": "\udc00 A"}

    reading, _ = read(made(Given(picture)), archive("a"))

    assert reading.records[0].columns == {"site?": "? A"}


def test_images_without_one_tag_are_left_out(archive):
    """None, two, one twice, one that is blank, and one that is not listed."""
    images = [f"{number}.jpg" for number in range(1, 6)]
    reader = Given(
        tagged("1.jpg"),
        tagged("2.jpg", "a", "b"),
        tagged("3.jpg", "a", "a"),
        tagged("3.jpg", "a"),
        tagged("4.jpg", " "),
        others=["mask.png"],
    )

    reading, findings = read(Tagged(reader), archive(images=(*images, "mask.png")))

    assert [record.file for record in reading.records] == ["3.jpg"]
    assert findings == {
        "IMAGES_NOT_LISTED": ["5.jpg"],
        "IMAGES_WITHOUT_TAG": ["1.jpg", "4.jpg"],
        "IMAGES_OF_SEVERAL_TAGS": ["2.jpg: a, b"],
        "SHAPES_WITHOUT_CLASS": ["tool.json, 4.jpg"],
    }


@pytest.mark.parametrize("format_", [Tagged, Boxed])
def test_folders_say_the_split_if_the_export_does_not(format_, archive):
    """All to be trained on is none."""
    files = ("train/1.jpg", "test/2.jpg")
    pictures = [
        Picture(file, "tool.json", tags=["a"], shapes=[boxed()], split="train") for file in files
    ]

    reading, _ = read(format_(Given(*pictures)), archive(images=files))

    assert {r.file: r.split for r in reading.records} == {
        "train/1.jpg": "train",
        "test/2.jpg": "test",
    }


@pytest.mark.parametrize("format_", [Tagged, Boxed])
def test_an_image_in_two_splits_is_kept_in_the_first(format_, archive):
    """As in all other formats."""
    pictures = [
        Picture(file, "tool.json", tags=["a"], shapes=[boxed()], split=split)
        for file, split in (("1.jpg", "test"), ("1.jpg", "train"), ("2.jpg", "val"))
    ]

    reading, findings = read(format_(Given(*pictures)), archive())

    assert {r.file: r.split for r in reading.records} == {"1.jpg": "train", "2.jpg": "val"}
    assert findings["IMAGES_IN_SEVERAL_SPLITS"] == ["1.jpg"]


def test_boxes_are_those_of_shapes_or_around_them(archive):
    """Which of the two is said."""
    mask = placed(np.ones((4, 6), np.uint8), 3, 5, 100, 80)
    reader = Given(
        of(
            "1.jpg",
            boxed("dog", truncated=True),
            outlined("cat", square(1, 2, 3, 4)),
            outlined("cat", mask, where="shape 3"),
            Shape("cat", "shape 4", BOX, square(11, 21, 39, 59)),
            width=100,
            height=80,
        )
    )

    reading, findings = read(Boxed(reader), archive("dog", "cat"))

    assert reading.derived == "Boxes are drawn around outlines of objects."
    (record,) = reading.records
    assert [(one.label, one.box) for one in record.annotation.objects] == [
        (0, BOX),
        (1, (1, 2, 3, 4)),
        (1, (3, 5, 9, 9)),
        (1, BOX),
    ]
    assert record.annotation.objects[0].truncated
    assert all(one.outline is None for one in record.annotation.objects)
    assert findings == {
        "IMAGES_NOT_LISTED": ["2.jpg"],
        "BOXES_AROUND_OUTLINES": ["tool.json, shape 2", "tool.json, shape 3"],
    }


@pytest.mark.parametrize("normalized", [False, True])
def test_a_box_around_a_mask_is_in_the_coordinates_of_its_picture(normalized, archive):
    """The mask was drawn at half the size."""
    mask = placed(np.ones((8, 10), np.uint8), 10, 8, 50, 40)
    picture = of("1.jpg", outlined("a", mask), width=100, height=80, normalized=normalized)

    reading, _ = read(Boxed(Given(picture)), archive())

    (one,) = complete(reading.records[0].annotation, "1.jpg", INFO, Report())
    assert one.box == (20, 16, 40, 32)


def test_what_has_no_box_is_left_out(archive):
    """The image is not one that shows nothing by intention."""
    reader = Given(
        of("1.jpg", Shape("a", "shape 1")),
        of("1.jpg", outlined("a", polygons([(1, 2), (3, 4)]))),
        of("1.jpg", outlined("a", placed(np.zeros((1, 1)), 0, 0, 100, 80), where="shape 3")),
        of("1.jpg", outlined(" ", where="shape 4")),
        of("1.jpg", outlined("x" * 201, where="shape 5")),
    )

    reading, findings = read(Boxed(reader), archive())

    assert reading.records[0].annotation.dropped == 5
    assert findings == {
        "IMAGES_NOT_LISTED": ["2.jpg"],
        "BOXES_UNREADABLE": ["tool.json, shape 1"],
        "POLYGONS_TOO_SHORT": ["tool.json, shape 2"],
        "OBJECT_MASKS_EMPTY": ["tool.json, shape 3"],
        "SHAPES_WITHOUT_CLASS": ["tool.json, shape 4", "tool.json, shape 5: 201 characters"],
    }


def test_what_nobody_labeled_is_not_empty(archive):
    """An image that is listed, but unlabeled, is left out; one without shapes shows nothing."""
    images = ("1.jpg", "2.jpg", "3.jpg")
    reader = Given(
        of("1.jpg", labeled=False), of("2.jpg"), of("3.jpg", labeled=False), of("3.jpg", boxed())
    )

    reading, findings = read(Boxed(reader), archive(images=images))

    assert [record.file for record in reading.records] == ["2.jpg", "3.jpg"]
    assert findings == {"IMAGES_UNLABELED": ["1.jpg"]}


def test_tags_beside_objects_are_named(archive):
    """Their classes are none of objects."""
    picture = Picture("1.jpg", "tool.json", tags=["night", "x"], shapes=[boxed()])

    reading, findings = read(Boxed(Given(picture)), archive("night", "cat", "dog"))

    assert reading.classes == ["cat", "dog"]
    assert reading.unused == {1}
    assert reading.derived == ""
    assert findings["TAGS_NOT_READ"] == ["tool.json, 1.jpg"]


def test_masks_come_from_outlines_alone(archive):
    """A box is no mask; the box around an outline is that of its pixels."""
    reader = Given(of("1.jpg", boxed(), outlined()), of("2.jpg"))

    reading, _ = read(Outlined(reader), archive())

    report = Report()
    (one,) = complete(reading.records[0].annotation, "1.jpg", INFO, report, masks=True)
    assert one.box == BOX
    assert one.area == 30 * 40
    assert [(f.id, list(f.examples)) for f in report.findings()] == [
        ("OBJECTS_WITHOUT_OUTLINE", ["tool.json, shape 1"])
    ]


def test_pixels_have_the_class_of_the_smallest_outline(archive):
    """Those of none are background."""
    reader = Given(of("1.jpg", outlined("cat", square(0, 0, 9, 9)), outlined("car")))

    reading, _ = read(Flattened(reader), archive("car", "cat"))

    labels = reading.records[0].annotation.load("1.jpg", INFO, Report())
    assert reading.classes == ["background", "car", "cat"]
    assert reading.derived.startswith("Pixels have the class of the smallest object")
    assert np.bincount(labels.ravel()).tolist() == [8000 - 1200 - 81, 1200, 81]


@pytest.mark.parametrize("format_", ALL)
@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        pytest.param([], r"files of given list no image of the archive", id="no image"),
        pytest.param(
            [of("1.jpg", labeled=False)],
            r"None of the 1 images of the archive that the files of given list has",
            id="nothing said",
        ),
    ],
)
def test_nothing_to_use_is_refused(format_, pictures, message, archive):
    """With what to do."""
    with pytest.raises(InvalidInput, match=message):
        read(format_(Given(*pictures)), archive())


@pytest.mark.parametrize("format_", ALL)
def test_more_images_than_allowed_are_refused(format_, archive):
    """Before they are held."""
    picture = {"tags": ["a"], "shapes": [outlined()]}
    pictures = [Picture(f"{number}.jpg", "tool.json", **picture) for number in (1, 2)]

    with pytest.raises(InvalidInput, match="list more than 1 images"):
        read(format_(Given(*pictures)), archive(), max_records=1)


@pytest.mark.parametrize("bound", ["MAX_OBJECTS", "MAX_OUTLINE_BYTES"])
def test_more_objects_than_memory_holds_are_refused(bound, archive, monkeypatch):
    """Over all images."""
    monkeypatch.setattr(f"common.objects.drafts.{bound}", 1 if bound == "MAX_OBJECTS" else 600)
    pictures = [of(f"{number}.jpg", outlined()) for number in (1, 2)]

    with pytest.raises(InvalidInput, match=r"shape 2: up to here"):
        read(Outlined(Given(*pictures)), archive())


def test_outlines_are_not_held_for_boxes(archive, monkeypatch):
    """Detection of images with long outlines needs no memory for these."""
    monkeypatch.setattr("common.objects.drafts.MAX_OUTLINE_BYTES", 1)
    outline = Outline((np.zeros(1000, np.float32),))

    reading, _ = read(Boxed(Given(of("1.jpg", outlined("a", outline)))), archive())

    assert len(reading.records) == 1
