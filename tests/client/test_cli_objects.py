"""`nocode-vision predict` for a model that finds objects."""

import pytest

from nocode.vision.v1 import prediction_pb2, prediction_pb2_grpc
from tests.client.command import Command

MODEL = "tasks/detection/models/cells"


class Cells(prediction_pb2_grpc.PredictionServiceServicer):
    """Finds two cells in every image, and keeps what was asked for."""

    def __init__(self):
        self.asked = []
        self.boxes = [prediction_pb2.BoundingBox(xmin=1, ymin=2, xmax=30.5, ymax=20)] * 2

    def Predict(self, request, context):
        self.asked.append(request.options)
        prediction = prediction_pb2.Prediction(image_width=40, image_height=30)
        if request.options.overlay:
            prediction.overlay_png = b"drawn"
        prediction.detection.SetInParent()
        for number, box in enumerate(self.boxes):
            score = 0.9 - number / 10
            prediction.detection.objects.add(class_name="RBC", score=score, box=box)
        return prediction_pb2.PredictResponse(
            model=request.name, predictions=[prediction] * len(request.images)
        )


@pytest.fixture
def cells():
    return Cells()


@pytest.fixture
def command(serve, cells):
    return Command(serve(cells))


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{name}.jpg" for name in "ab"]
    for path in paths:
        path.write_bytes(b"image")
    return paths


def test_what_is_asked_for_arrives(command, cells, images):
    """A threshold of 0 is one, and another than none."""
    command.run("predict", MODEL, images[0])
    command.run("predict", MODEL, images[0], "--threshold", 0, "--max-results", 7, "--tiling")

    plain, full = cells.asked
    assert not plain.HasField("score_threshold")
    assert (plain.max_results, plain.tiling, plain.overlay) == (0, False, False)
    assert full.HasField("score_threshold")
    assert (full.score_threshold, full.max_results, full.tiling) == (0, 7, True)


@pytest.mark.parametrize("threshold", ["1.5", "-0.1", "much"])
def test_a_threshold_is_a_fraction(command, images, threshold):
    refused = command.run("predict", MODEL, images[0], "--threshold", threshold, status=2)

    assert "--threshold" in refused.stderr


def test_objects_are_a_table_or_a_line_of_json(command, images):
    """One table an image, one line an image."""
    shown = command.run("predict", MODEL, *images).stdout
    answers = command.lines("predict", MODEL, *images)

    assert shown.count("2 × RBC") == 2
    assert shown.count("│ RBC   │ 0.900 │  1.0 │  2.0 │ 30.5 │ 20.0 │") == 2
    assert [answer["image"] for answer in answers] == [str(image) for image in images]
    first = answers[0]["detection"]["objects"][0]
    assert first["box"] == {"xmin": 1.0, "ymin": 2.0, "xmax": 30.5, "ymax": 20.0}


def test_programs_are_told_what_is_zero_too(command, images, cells):
    """A box at the border starts at 0, and an image may show nothing."""
    cells.boxes = [prediction_pb2.BoundingBox(xmin=0, ymin=0, xmax=5, ymax=6)]
    (at_border,) = command.lines("predict", MODEL, images[0])
    cells.boxes = []
    (empty,) = command.lines("predict", MODEL, images[0])

    (found,) = at_border["detection"]["objects"]
    assert found["box"] == {"xmin": 0.0, "ymin": 0.0, "xmax": 5.0, "ymax": 6.0}
    assert found["class_index"] == 0
    assert empty["detection"] == {"objects": []}
    assert not any("overlay_png" in answer for answer in (at_border, empty))


def test_overlays_are_saved(command, images, tmp_path):
    command.run("predict", MODEL, *images, "--overlay", tmp_path / "drawn")

    assert (tmp_path / "drawn" / "a.png").read_bytes() == b"drawn"
    assert (tmp_path / "drawn" / "b.png").exists()
