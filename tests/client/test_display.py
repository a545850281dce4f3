"""Names are shown as they are, whatever a terminal library could take them for."""

from pathlib import Path

import pytest

from client import display
from nocode.vision.v1 import (
    dataset_pb2,
    evaluation_pb2,
    finding_pb2,
    job_pb2,
    model_pb2,
    pipeline_pb2,
    prediction_pb2,
)

# The first three would be a style, the end of one that never began, and a picture.
NAMES = ("dog [male]", "[/a]", ":smile:", "a\\[b]")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Tables that fold nothing."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_shows_its_classes_as_they_are(name, capsys):
    """In the table."""
    count = dataset_pb2.ClassCount(class_name=name, image_count=3)

    display.dataset(dataset_pb2.Dataset(name="n", class_counts=[count]))

    assert name in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_an_evaluation_shows_its_classes_as_they_are(name, capsys):
    """In the row of each."""
    metrics = evaluation_pb2.ClassificationMetrics()
    metrics.per_class.add(class_name=name)

    display.evaluation(evaluation_pb2.Evaluation(subset=name, classification=metrics))

    shown = capsys.readouterr().out
    assert f"0 images ({name})" in shown
    assert shown.count(name) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_prediction_shows_file_and_class_as_they_are(name, capsys):
    """In a line, the file's name padded to the longest."""
    prediction = prediction_pb2.Prediction()
    prediction.classification.classes.add(class_name=name, score=0.5)

    display.prediction(Path(name), prediction, 12)

    assert capsys.readouterr().out == f"{name:12}  {name} 0.500\n"


@pytest.mark.parametrize("name", NAMES)
def test_lists_and_messages_show_names_as_they_are(name, capsys):
    """Of jobs, of findings, of errors."""
    job = job_pb2.Job(state=job_pb2.Job.STATE_QUEUED, waiting_reason=name)

    display.listing("jobs", [job])
    display.findings([finding_pb2.Finding(id="X", message="M.", examples=[name])])
    display.failure(name, "REASON")
    display.follow([job])

    shown = capsys.readouterr()
    assert name in shown.out
    assert shown.err.count(name) == 3
    assert f"Error: {name} [REASON]" in shown.err


def test_an_upload_shows_its_file_as_it_is(capsys):
    """Beside the bar."""
    with display.upload_bar(Path("data/photos [new].zip")) as progress:
        progress(1, 2)

    assert "photos [new].zip" in capsys.readouterr().err


def test_a_data_set_of_objects_shows_how_many_there_are(capsys):
    """Of whole-image classes there are as many as images, which is said once."""
    cats = dataset_pb2.ClassCount(class_name="cat", image_count=3, object_count=17)
    dogs = dataset_pb2.ClassCount(class_name="dog", image_count=2, object_count=2)

    display.dataset(dataset_pb2.Dataset(name="n", class_counts=[cats, dogs]))
    display.dataset(dataset_pb2.Dataset(name="n", class_counts=[dogs]))

    of_objects, of_images, _ = capsys.readouterr().out.split("dog")
    assert "17" in of_objects
    assert "objects" in of_objects
    assert "objects" not in of_images


def test_an_evaluation_of_a_detector_shows_every_metric_and_every_class(capsys):
    """With its interval; -1 is what COCO says where there is nothing to measure on."""
    box = evaluation_pb2.CocoMetrics(ap=0.4321, ap50=0.7654, ap75=0.5, ap_small=-1, ar_100=0.6)
    box.confidence_intervals["ap50"].low = 0.7111
    box.confidence_intervals["ap50"].high = 0.8222
    box.per_class.add(
        class_name="platelet", ap=0.25, ap50=0.625, support=36, best_f1=0.875, best_f1_threshold=0.4
    )
    box.per_class.add(class_name="unseen", ap=-1, ap50=-1)
    measured = evaluation_pb2.Evaluation(
        subset="test", image_count=12, detection=evaluation_pb2.DetectionMetrics(box=box)
    )

    display.evaluation(measured)

    rows = {
        cells[0]: cells[1:]
        for line in capsys.readouterr().out.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("│┃").split("│")]) > 1
    }
    assert rows["box.ap"] == ["0.4321", ""]
    assert rows["box.ap50"] == ["0.7654", "0.7111 – 0.8222"]
    assert rows["box.ap_small"][0] == "–"
    assert rows["platelet"] == ["0.2500", "0.6250", "36", "0.8750", "0.4000"]
    assert rows["unseen"][:3] == ["–", "–", "0"]


def test_a_list_of_models_shows_the_first_metric(capsys):
    """Of a detector the AP."""
    model = model_pb2.Model(name="tasks/detection/models/a")
    model.evaluation.detection.box.ap = 0.4321

    display.listing("models", [model])

    assert "│ ap 0.4321 │" in capsys.readouterr().out


def test_names_in_lists_are_whole_in_a_narrow_terminal(capsys, monkeypatch):
    """They are for the next command. Of an error a list has room for the first sentence."""
    monkeypatch.setattr(display.out, "width", 80)
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    recipe = pipeline_pb2.TrainingConfig(image_size_px=320)
    architecture = pipeline_pb2.Architecture(
        name=name, task="tasks/detection", recipe=recipe, parameter_count=19_000_000
    )
    job = job_pb2.Job(name="tasks/instance-segmentation/jobs/job-1a8747346e3ee49d")
    job.error.message = "It is odd. Mend it."

    display.listing("architectures", [architecture])
    display.listing("jobs", [job])

    shown = capsys.readouterr().out
    assert f"│ {name} │ detection │ 19.0 M  │ 320      │" in shown
    assert job.name in shown
    assert "Mend" not in shown
    assert "…" not in shown


def test_limits_of_settings_are_exact(capsys):
    """Not 4.29497e+09."""
    seed = pipeline_pb2.SettingSchema(field="seed", minimum=0, maximum=2**32 - 1)
    rate = pipeline_pb2.SettingSchema(field="learning_rate", maximum=10)
    rate.default_value.number_value = 0.00025

    display.settings(pipeline_pb2.Architecture(settings=[seed, rate]))

    shown = capsys.readouterr().out
    assert "0 to 4294967295" in shown
    assert " 0.00025 " in shown


def test_a_prediction_of_objects_is_a_line_and_a_table(capsys):
    """The line says what there is, most first; the table where."""
    prediction = prediction_pb2.Prediction()
    add = prediction.detection.objects.add
    for name, score, left in (("dog", 0.9, 1), ("cat [f]", 0.75, 2.26), ("cat [f]", 0.5, 30)):
        box = prediction_pb2.BoundingBox(xmin=left, ymin=2, xmax=left + 40, ymax=50)
        add(class_name=name, score=score, box=box)

    display.prediction(Path("a.jpg"), prediction, 8)

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

    display.prediction(Path("a.jpg"), prediction, 5)

    assert capsys.readouterr().out == "a.jpg  nothing\n"
