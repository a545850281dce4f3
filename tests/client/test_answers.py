"""What a model saw, as a line, a table and files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client import answers, console
from nocode.vision.v1 import prediction_pb2
from tests.client.test_display import NAMES
from tests.client.test_masks import as_png, as_rle

SQUARE = np.zeros((10, 20), np.uint8)
SQUARE[2:5, 4:8] = 1


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Tables that fold nothing."""
    monkeypatch.setattr(console.out, "width", 200)


@pytest.mark.parametrize("name", NAMES)
def test_a_prediction_shows_file_and_class_as_they_are(name, capsys):
    """In a line, the file's name padded to the longest."""
    prediction = prediction_pb2.Prediction()
    prediction.classification.classes.add(class_name=name, score=0.5)

    answers.show(Path(name), prediction, 12)

    assert capsys.readouterr().out == f"{name:12}  {name} 0.500\n"


def test_a_prediction_of_objects_is_a_line_and_a_table(capsys):
    """The line says what there is, most first; the table where."""
    prediction = prediction_pb2.Prediction()
    add = prediction.detection.objects.add
    for name, score, left in (("dog", 0.9, 1), ("cat [f]", 0.75, 2.26), ("cat [f]", 0.5, 30)):
        box = prediction_pb2.BoundingBox(xmin=left, ymin=2, xmax=left + 40, ymax=50)
        add(class_name=name, score=score, box=box)

    answers.show(Path("a.jpg"), prediction, 8)

    line, *table = capsys.readouterr().out.splitlines()
    assert line == "a.jpg     2 × cat [f], 1 × dog"
    cells = [[cell.strip() for cell in row.strip("│").split("│")] for row in table if "│" in row]
    assert cells[0] == ["dog", "0.900", "1.0", "2.0", "41.0", "50.0"]
    assert cells[1] == ["cat [f]", "0.750", "2.3", "2.0", "42.3", "50.0"]
    assert len(cells) == 3


def test_an_image_without_an_object_says_so(capsys):
    """Without a table."""
    prediction = prediction_pb2.Prediction()
    prediction.detection.SetInParent()

    answers.show(Path("a.jpg"), prediction, 5)

    assert capsys.readouterr().out == "a.jpg  nothing\n"


def segmented(*masks):
    """An answer with an object for each mask."""
    prediction = prediction_pb2.Prediction(image_width=20, image_height=10)
    prediction.instance_segmentation.SetInParent()
    for mask in masks:
        box = prediction_pb2.BoundingBox(xmin=4, ymin=2, xmax=8, ymax=5)
        prediction.instance_segmentation.objects.add(
            class_name="window", score=0.9, box=box, mask=mask
        )
    return prediction


def classified_pixels(*regions):
    """An answer with a class for each pixel of 20 × 10, most of them in the first."""
    prediction = prediction_pb2.Prediction(image_width=20, image_height=10)
    prediction.semantic_segmentation.class_index_png = b"indices"
    for name, count in regions:
        region = prediction.semantic_segmentation.regions.add()
        region.class_name, region.pixel_count, region.mean_score = name, count, 0.875
        region.mask.CopyFrom(as_rle(SQUARE))
    return prediction


def table_in(shown):
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in shown if "│" in row]


def test_objects_with_masks_show_how_large_those_are(capsys):
    """Sent in either way."""
    answers.show(Path("a.jpg"), segmented(as_rle(SQUARE), as_png(SQUARE)), 5)

    line, *table = capsys.readouterr().out.splitlines()
    assert line == "a.jpg  2 × window"
    assert table_in(table) == [["window", "0.900", "4.0", "2.0", "8.0", "5.0", "12"]] * 2


def test_classes_of_pixels_show_their_share_of_the_image(capsys):
    """Largest first, as they come; what is there is never 0."""
    prediction = classified_pixels(("sky [blue]", 150), ("roof", 50))
    answers.show(Path("a.jpg"), prediction, 5)

    line, *table = capsys.readouterr().out.splitlines()
    assert line == "a.jpg  sky [blue] 75.0 %, roof 25.0 %"
    assert table_in(table) == [
        ["sky [blue]", "75.0 %", "150", "0.875"],
        ["roof", "25.0 %", "50", "0.875"],
    ]


def test_a_line_names_five_classes_of_pixels(capsys):
    """The table has all."""
    answers.show(Path("a.jpg"), classified_pixels(*[(f"c{n}", 20) for n in range(8)]), 5)

    line, *table = capsys.readouterr().out.splitlines()
    assert line.endswith("c4 10.0 %, 3 more")
    assert len(table_in(table)) == 8


def test_masks_of_objects_are_a_folder_of_pictures(tmp_path):
    """In the order of the answer; an image of the same name gets a folder of its own."""
    other = 1 - SQUARE
    seen = segmented(as_rle(SQUARE), as_png(other))

    saved = answers.save_masks(seen, Path("x/photo.jpg"), tmp_path)
    again = answers.save_masks(seen, Path("y/photo.jpg"), tmp_path)

    assert saved == [tmp_path / "photo" / "1.png", tmp_path / "photo" / "2.png"]
    assert again[0] == tmp_path / "photo-2" / "1.png"
    for path, mask in zip(saved, (SQUARE, other), strict=True):
        with Image.open(path) as picture:
            assert np.array_equal(np.asarray(picture), mask * 255)


def test_classes_of_pixels_are_one_picture(tmp_path):
    """As it was sent."""
    (saved,) = answers.save_masks(classified_pixels(("sky", 200)), Path("photo.jpg"), tmp_path)

    assert saved == tmp_path / "photo.png"
    assert saved.read_bytes() == b"indices"


def test_an_answer_without_masks_saves_none(tmp_path):
    """A box has none, an error neither, and nothing may have been found."""
    boxes = prediction_pb2.Prediction()
    boxes.detection.objects.add()
    for seen in (boxes, segmented(), prediction_pb2.Prediction(error={"message": "No."})):
        assert answers.save_masks(seen, Path("photo.jpg"), tmp_path) == []

    assert not list(tmp_path.iterdir())


def test_programs_get_masks_once():
    """In the answer, or, where they were saved, their paths."""
    objects, pixels = segmented(as_rle(SQUARE)), classified_pixels(("sky", 200))
    files = [Path("masks/1.png")]

    whole = answers.fields(Path("a.jpg"), "m", objects, None)
    rle = whole["instance_segmentation"]["objects"][0]["mask"]["rle"]
    assert rle == {"height": 10, "width": 20, "counts": as_rle(SQUARE).rle.counts}
    assert "mask_files" not in whole
    saved = answers.fields(Path("a.jpg"), "m", objects, files)
    assert saved["mask_files"] == ["masks/1.png"]
    assert "mask" not in saved["instance_segmentation"]["objects"][0]

    whole = answers.fields(Path("a.jpg"), "m", pixels, None)["semantic_segmentation"]
    saved = answers.fields(Path("a.jpg"), "m", pixels, files)["semantic_segmentation"]
    assert whole["class_index_png"] == "aW5kaWNlcw=="
    assert "mask" in whole["regions"][0]
    assert "class_index_png" not in saved
    assert saved["regions"] == [
        {"class_name": "sky", "class_index": 0, "pixel_count": "200", "mean_score": 0.875}
    ]
