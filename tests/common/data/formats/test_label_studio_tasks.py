"""Exports of Label Studio: where images are, what is said of whole images, and broken files."""

import base64
from urllib.parse import quote

import pytest

from common.data.findings import Report
from common.data.formats.label_studio import LabelStudio
from common.errors import InvalidInput
from tests.common.data.formats.label_studio_made import (
    BOX,
    GOOD,
    annotation,
    choice,
    minimal,
    result,
    task,
    tree_with,
)
from tests.common.data.formats.reading import boxes, pictures_of

STUDIO = LabelStudio()


@pytest.mark.parametrize(
    "image",
    [
        pytest.param("/data/upload/1/9a8b7c6d-a b.jpg", id="upload"),
        pytest.param("/data/upload/1/9a8b7c6d-a%20b.jpg", id="upload, written as a URL"),
        pytest.param("/data/local-files/?d=some/where/a%20b.jpg", id="local folder"),
        pytest.param("https://example.com/x/a%20b.jpg?X-Amz-Signature=1%2F2#top", id="signed URL"),
        pytest.param("s3://bucket/x/a b.jpg", id="storage"),
        pytest.param(
            "/tasks/5/resolve/?fileuri="
            + quote(base64.urlsafe_b64encode(b"gs://bucket/a b.jpg").decode().rstrip("=")),
            id="storage behind Label Studio",
        ),
        pytest.param("C:\\pictures\\a b.jpg", id="Windows"),
        pytest.param("images/a b.jpg", id="path"),
        pytest.param("a b.jpg", id="name"),
    ],
)
def test_where_the_image_was(image, tree_of):
    tree = tree_with(tree_of, task(image, annotation(result())), images=("images/a b.jpg",))

    pictures, _, findings = pictures_of(STUDIO, tree)

    assert (list(pictures), findings) == (["images/a b.jpg"], {})


def test_uploads_keep_their_letters_where_the_file_has_them(tree_of):
    images = ("images/9a8b7c6d-1.jpg", "images/1.jpg")
    tree = tree_with(tree_of, task(annotations=[annotation(result())]), images=images)

    assert list(pictures_of(STUDIO, tree)[0]) == ["images/9a8b7c6d-1.jpg"]


def test_further_data_and_answers_are_columns(tree_of):
    answers = [
        choice("day", name="light"),
        {"value": {"rating": 4}, "from_name": "stars", "type": "rating"},
        {"value": {"text": ["looks\udc00 odd"]}, "from_name": "note", "type": "textarea"},
        {"value": {"taxonomy": [["animal", "cat"]]}, "from_name": "class", "type": "taxonomy"},
    ]
    data = {"picture": "x/1.jpg", "patient": 17, "nothing": None, "long": "x" * 999}
    tree = tree_with(tree_of, task(annotations=[annotation(*answers)], data=data))

    picture = pictures_of(STUDIO, tree)[0]["images/1.jpg"]

    assert picture.tags == ["animal/cat"]
    assert picture.columns == {
        "patient": "17",
        "light": "day",
        "stars": "4",
        "note": "looks\udc00 odd",
    }


@pytest.mark.parametrize(
    ("tasks", "tags", "guessed"),
    [
        pytest.param([task("1.jpg", annotation(choice("cat")))], ["cat"], None, id="choices"),
        pytest.param(
            [task("1.jpg", annotation(choice("cat", "dog")))], ["cat", "dog"], None, id="several"
        ),
        pytest.param(
            [task("1.jpg", annotation(choice("day", name="light"), choice("cat", name="class")))],
            ["cat"],
            None,
            id="called class",
        ),
        pytest.param(
            [
                task("1.jpg", annotation(choice("day", name="light"), choice("cat"))),
                task("2.jpg", annotation(choice("cat"))),
            ],
            ["cat"],
            ["kind; others are light"],
            id="most answered",
        ),
        pytest.param([minimal(choice="cat")], ["cat"], None, id="JSON-MIN, called choice"),
        pytest.param(
            [minimal(animal="cat")],
            ["cat"],
            ["project-1.json: animal"],
            id="JSON-MIN, the only one",
        ),
        pytest.param([minimal(animal="cat", city="Ulm")], [], None, id="JSON-MIN, one of several"),
        pytest.param(
            [minimal(animal={"choices": ["cat", "dog"]}, city="Ulm")],
            ["cat", "dog"],
            None,
            id="JSON-MIN, several",
        ),
    ],
)
def test_the_question_that_is_the_class(tasks, tags, guessed, tree_of):
    tree = tree_with(tree_of, *tasks, images=("images/1.jpg", "images/2.jpg"))

    pictures, _, findings = pictures_of(STUDIO, tree)

    assert pictures["images/1.jpg"].tags == tags
    assert findings.get("CLASS_ATTRIBUTE_GUESSED") == guessed


def test_a_task_of_several_images(tree_of):
    pages = {"pages": ["/data/upload/1/9a8b7c6d-1.jpg", "/data/upload/1/9a8b7c6d-2.jpg"]}
    results = [result(label="cat", item_index=0), result(label="dog", item_index=1)]
    tree = tree_with(
        tree_of,
        task(annotations=[annotation(*results)], data=pages),
        images=("images/1.jpg", "images/2.jpg"),
    )

    pictures, _, _ = pictures_of(STUDIO, tree)

    assert {file: [s.label for s in picture.shapes] for file, picture in pictures.items()} == {
        "images/1.jpg": ["cat"],
        "images/2.jpg": ["dog"],
    }


def test_images_that_are_missing_are_named(tree_of):
    video = task(annotations=[annotation()], data={"video": "/data/upload/1/9a8b7c6d-a.mp4"})
    del video["file_upload"]
    tree = tree_with(tree_of, task("gone.jpg", file_upload="gone.jpg"), video | {"id": 6})

    pictures, _, findings = pictures_of(STUDIO, tree)

    assert pictures == {}
    assert findings == {
        "LISTED_FILES_MISSING": [
            "project-1.json, task 5: gone.jpg",
            "project-1.json, task 6: it has no image",
        ]
    }


def test_older_exports_say_completions(tree_of):
    old = task("1.jpg")
    old["completions"] = [annotation(result(), skipped=False)]
    del old["annotations"]

    pictures, _, _ = pictures_of(STUDIO, tree_with(tree_of, old))

    assert boxes(pictures["images/1.jpg"]) == [("cat", *BOX)]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"a.json": GOOD[0][:-3]}, "a.json: line 1, column .*anew"),
        ({"a.json": b"[]"}, "no annotation file of label_studio"),
        ({}, "no annotation file of label_studio"),
    ],
)
def test_refused_if_there_is_nothing_to_read(files, why, tree_of):
    with pytest.raises(InvalidInput, match=why):
        STUDIO.read(tree_of("1.jpg", **files), Report(), max_records=9)


def test_broken_files_are_named(tree_of):
    tree = tree_of("1.jpg", **{"a.json": GOOD[0], "b.json": GOOD[0][:-3]})

    pictures, _, findings = pictures_of(STUDIO, tree)

    assert list(pictures) == ["1.jpg"]
    (example,) = findings["ANNOTATION_FILES_UNREADABLE"]
    assert example.startswith("b.json: line 1, column ")
