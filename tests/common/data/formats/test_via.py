"""Files of the VGG Image Annotator: which images they list, and what is their class."""

import json

import pytest

from common.data.findings import Report
from common.data.formats.pictures import Boxed, Flattened, Outlined, Tagged
from common.data.formats.via import Via
from common.errors import InvalidInput
from tests.common.data.formats.reading import boxes, pictures_of
from tests.common.data.formats.via_made import (
    BOX,
    IMAGES,
    IMAGES_1,
    IMAGES_3,
    POLYGON,
    export,
    image,
    project,
    project_3,
    region,
    table,
    tree_with,
)

VIA = Via()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(export(*IMAGES), "via_region_data.json", id="export, version 2"),
        pytest.param(project(*IMAGES), "via_project.json", id="project, version 2"),
        pytest.param(table(*IMAGES), "via_region_data.csv", id="table"),
        pytest.param(b"#" + table(*IMAGES), "via_region_data.csv", id="table, version 1"),
        pytest.param(IMAGES_1, "via_region_data.json", id="export, version 1"),
        pytest.param(IMAGES_3, "via_project.json", id="project, version 3"),
        pytest.param(json.dumps(export(*IMAGES)).encode("utf-16"), "v.json", id="UTF-16"),
    ],
)
def test_what_versions_write(content, name, tree_of):
    """The same in all of them: a box, an outline, an attribute, and an image without regions."""
    tree = tree_with(tree_of, content, name)

    pictures, _, findings = pictures_of(VIA, tree)

    assert findings == {}
    first, second = pictures["1.jpg"], pictures["2.jpg"]
    assert boxes(first) == [("cat", *BOX), None]
    assert first.shapes[1].label == "dog"
    assert first.shapes[1].outline.polygons[0].tolist() == [1, 2, 9, 2, 9, 7]
    assert first.columns == {"weather": "sun"}
    assert (first.labeled, second.labeled) == (True, True)
    assert second.shapes == []
    assert VIA.detect(tree) == f"{name} is a file of VIA"


def test_made_into_data_sets(tree_of):
    """Of the same export, each task takes what it can use."""
    tree = tree_with(tree_of, export(*IMAGES))

    classes = {
        kind: kind(VIA).read(tree, Report(), max_records=9).classes
        for kind in (Boxed, Outlined, Flattened)
    }

    assert classes[Boxed] == ["cat", "dog"]
    assert classes[Outlined] == ["cat", "dog"]
    assert classes[Flattened] == ["background", "cat", "dog"]
    assert Boxed(VIA).detect(tree)
    assert Outlined(VIA).detect(tree)
    assert Flattened(VIA).detect(tree)
    assert not Tagged(VIA).detect(tree)


@pytest.mark.parametrize(
    ("attributes", "label", "guessed"),
    [
        pytest.param({"class": "a", "zzz": "b"}, "a", None, id="class"),
        pytest.param({"name": "b", "Type": "a"}, "a", None, id="type before name"),
        pytest.param({"Class Name": "a", "age": "3"}, "a", None, id="written otherwise"),
        pytest.param({"animal": "a"}, "a", "animal", id="the only one"),
        pytest.param({"animal": "a", "age": ""}, "a", "animal", id="the only one with a value"),
        pytest.param(
            {"animal": "a", "age": "3"}, "3", "age; others are animal", id="one of several"
        ),
        pytest.param({"class": 7}, "7", None, id="a number"),
        pytest.param({"class": {"a": True, "b": False}}, "a", None, id="ticked"),
    ],
)
def test_which_attribute_is_the_class(attributes, label, guessed, tree_of):
    tree = tree_with(tree_of, export(image("1.jpg", region(**attributes))))

    pictures, _, findings = pictures_of(VIA, tree)

    assert [shape.label for shape in pictures["1.jpg"].shapes] == [label]
    assert findings.get("CLASS_ATTRIBUTE_GUESSED") == (guessed and [guessed])


def test_the_attribute_that_most_regions_have_is_guessed(tree_of):
    """What is chosen from a list is likelier than what is typed."""
    regions = [region(animal="a", age="3"), region(age="4"), region(age="5")]

    typed = pictures_of(VIA, tree_with(tree_of, project(image("1.jpg", *regions))))
    declared = {"region": {"animal": {"type": "dropdown", "options": {"a": ""}}}}
    chosen = pictures_of(VIA, tree_with(tree_of, project(image("1.jpg", *regions), **declared)))

    assert [shape.label for shape in typed[0]["1.jpg"].shapes] == ["3", "4", "5"]
    assert typed[2]["ATTRIBUTES_NOT_READ"] == ["animal"]
    # Those without a class are named later, as for all tools.
    assert [shape.label for shape in chosen[0]["1.jpg"].shapes] == ["a", "", ""]


def test_texts_of_options_are_classes(tree_of):
    """As in VIA's own export to COCO; in the order of the project, though none is of `c`."""
    declared = {"class": {"type": "radio", "options": {"2": "dog", "1": "cat", "c": ""}}}
    regions = [region(**{"class": "1"}), region(**{"class": "2"}), region(**{"class": "c"})]
    tree = tree_with(tree_of, project(image("1.jpg", *regions), region=declared))

    pictures, classes, _ = pictures_of(VIA, tree)

    assert [shape.label for shape in pictures["1.jpg"].shapes] == ["cat", "dog", "c"]
    assert classes == ["dog", "cat", "c"]


def test_several_ticked_values(tree_of):
    """An object of each, which is said; in version 3 they are written as one text."""
    both = region(**{"class": {"a": True, "b": True, "c": False}})
    joined = project_3(
        [("1", [2, 10, 20, 30, 40], {"5": "0,1"})],
        {
            "5": {
                "aname": "class", "anchor_id": "FILE1_Z0_XY1", "type": 2,
                "options": {"0": "a", "1": "b"},
            }
        },
    )  # fmt: skip

    for content in (export(image("1.jpg", both)), joined):
        pictures, _, findings = pictures_of(VIA, tree_with(tree_of, content))
        assert boxes(pictures["1.jpg"]) == [("a", *BOX), ("b", *BOX)]
        (example,) = findings["SHAPES_OF_SEVERAL_CLASSES"]
        assert example.endswith(": a, b")


def test_without_attributes_all_are_of_one_class(tree_of):
    """As in data sets of a single class, whose people name nothing."""
    tree = tree_with(tree_of, export(image("1.jpg", region(), region(POLYGON)), image("2.jpg")))

    pictures, _, findings = pictures_of(VIA, tree)

    assert [shape.label for shape in pictures["1.jpg"].shapes] == ["object", "object"]
    assert findings == {"CLASSES_GUESSED": ["via.json: object"]}


@pytest.mark.parametrize(
    ("attributes", "tags", "columns"),
    [
        ({"class": "cat", "city": "Ulm"}, ["cat"], {"city": "Ulm"}),
        ({"animal": "cat", "caption": "", "public_domain": "no"}, ["cat"], {"public_domain": "no"}),
        ({"caption": "a cat", "public_domain": "no", "image_url": "http://x"}, [], None),
        ({"animal": "cat", "city": "Ulm"}, [], {"animal": "cat", "city": "Ulm"}),
        ({"class": {"cat": True, "dog": True}}, ["cat", "dog"], {}),
    ],
)
def test_attributes_of_images_are_tags(attributes, tags, columns, tree_of):
    tree = tree_with(tree_of, export(image("1.jpg", **attributes)))

    picture = pictures_of(VIA, tree)[0]["1.jpg"]

    assert picture.tags == tags
    assert picture.columns == (attributes if columns is None else columns)


def test_a_data_set_for_classification(tree_of):
    tree = tree_with(tree_of, export(image("1.jpg", kind="cat"), image("2.jpg", kind="dog")))

    reading = Tagged(VIA).read(tree, Report(), max_records=9)

    assert [(r.file, reading.classes[r.annotation["label"]]) for r in reading.records] == [
        ("1.jpg", "cat"),
        ("2.jpg", "dog"),
    ]
    assert Tagged(VIA).detect(tree)
    assert not Boxed(VIA).detect(tree)


def test_several_files_and_splits(tree_of):
    """As published: a folder with its images for each split; the nearest image is meant."""
    files = {
        f"balloon/{split}/via_region_data.json": json.dumps(
            export(image("1.jpg", region(**{"class": split})))
        ).encode()
        for split in ("train", "val")
    }
    tree = tree_of("balloon/train/1.jpg", "balloon/val/1.jpg", **files)

    pictures, _, findings = pictures_of(VIA, tree)

    assert findings == {}
    assert {file: (one.split, one.shapes[0].label) for file, one in pictures.items()} == {
        "balloon/train/1.jpg": ("train", "train"),
        "balloon/val/1.jpg": ("val", "val"),
    }


def test_images_that_are_missing_are_named_once(tree_of):
    regions = [("2", [2, 1, 1, 2, 2], {})] * 3
    tree = tree_with(tree_of, project_3(regions, {}, names=("1.jpg", "gone.jpg")))

    pictures, _, findings = pictures_of(VIA, tree)

    assert list(pictures) == ["1.jpg"]
    assert findings == {"LISTED_FILES_MISSING": ["via.json: gone.jpg"]}


def test_nothing_said_of_regions_is_not_an_empty_image(tree_of):
    content = export(image("1.jpg", region(**{"class": "a"})), image("2.jpg") | {"regions": None})

    assert not pictures_of(VIA, tree_with(tree_of, content))[0]["2.jpg"].labeled


def test_broken_files_are_named(tree_of):
    good = json.dumps(export(image("1.jpg", region(**{"class": "a"})))).encode()
    tree = tree_of("1.jpg", **{"a.json": good, "b.json": good[:-3]})

    pictures, _, findings = pictures_of(VIA, tree)

    assert list(pictures) == ["1.jpg"]
    (example,) = findings["ANNOTATION_FILES_UNREADABLE"]
    assert example.startswith("b.json: line 1, column ")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"a.json": json.dumps(export(*IMAGES)).encode()[:-3]}, "a.json: line 1, column .*anew"),
        ({"a.json": b"{}"}, "no annotation file of via .* beside the images"),
        ({}, "no annotation file of via"),
    ],
)
def test_refused_if_there_is_nothing_to_read(files, why, tree_of):
    with pytest.raises(InvalidInput, match=why):
        VIA.read(tree_of("1.jpg", **files), Report(), max_records=9)


def test_a_large_project_is_read_image_by_image(tree_of):
    """One of more bytes than a part of a JSON file may have."""
    padding = {"note": "x" * 3_000_000}
    images = [image(f"{n}.jpg", region(**{"class": "a"}), **padding) for n in range(6)]
    names = [one["filename"] for one in images]

    pictures, _, _ = pictures_of(VIA, tree_with(tree_of, project(*images), images=names))

    assert len(pictures) == 6
