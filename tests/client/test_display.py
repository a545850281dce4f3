"""Names are shown as they are, whatever a terminal library could take them for."""

from pathlib import Path

import pytest

from client import display
from nocode.vision.v1 import dataset_pb2, evaluation_pb2, finding_pb2, job_pb2, prediction_pb2

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
