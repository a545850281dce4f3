"""Detection as a user meets it: real processes, through the gateway, on real training."""

import json
from functools import partial

import numpy as np
import pytest

from client import CallFailed
from nocode.vision.v1 import prediction_pb2
from tests.e2e import lifecycle
from tests.e2e.cases import Case
from tests.e2e.data import CLASSES, encoded, scene, scenes_archive

TASK = "detection"
IMAGE_COUNT = 80

# Each trains, on cores that it shares with the other tests.
pytestmark = pytest.mark.timeout(900)

CASE = Case(
    task=TASK,
    dataset_id="scenes",
    archive=partial(scenes_archive, IMAGE_COUNT),
    architecture="yolox_nano",
    settings={
        "epoch_count": 14,
        "image_size_px": 96,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "weight_average_decay": 0.9,
        "warmup_epoch_count": 1,
        "augmentation": "light",
        "seed": 7,
    },
)


def overlap(box, other):
    """Return the intersection over union of two boxes."""
    left, upper = np.maximum(box[:2], other[:2])
    right, lower = np.minimum(box[2:], other[2:])
    inside = max(0.0, right - left) * max(0.0, lower - upper)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return inside / (sum(areas) - inside)


def test_the_data_set_is_what_was_sent(dataset):
    """Images, classes and the objects of each."""
    rng = np.random.default_rng(0)
    kinds = [kind for _ in range(IMAGE_COUNT) for kind, _ in scene(rng)[1]]

    assert dataset.format == "yolo"
    assert dataset.image_count == IMAGE_COUNT
    assert tuple(dataset.classes) == CLASSES
    counted = {count.class_name: count.object_count for count in dataset.class_counts}
    assert counted == {kind: kinds.count(kind) for kind in CLASSES}


def test_training_learns_and_is_measured_on_images_held_out(client, trained):
    model = client.model(trained[0].model)
    found = model.evaluation.detection.box

    assert model.evaluation.subset == "test"
    assert model.evaluation.image_count == len(client.splits(trained[0].name).test) >= 10
    assert found.ap50 >= 0.7
    assert found.ap <= found.ap50
    assert len(model.score_thresholds) == len(CLASSES)
    assert model.preprocessing.resize == "letterbox"


# What all tasks have in common is shown by classification in the default suite.
@pytest.mark.slow
def test_evaluating_twice_gives_equal_numbers(client, trained):
    lifecycle.check_evaluations_repeat(client, trained[0])


def test_every_plot_can_be_downloaded(client, trained, tmp_path):
    evaluation = client.model(trained[0].model).evaluation

    lifecycle.check_plots(client, trained[1], evaluation, tmp_path, at_least=5)


def test_there_is_a_row_for_each_image(client, trained, tmp_path):
    job = client.wait(client.evaluate(trained[0].name, subset="val").name)
    path = client.download(job.name, job.evaluation.predictions_uri, tmp_path / "rows.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]

    assert len(rows) == job.evaluation.image_count >= 10


def test_prediction_finds_shapes_where_they_are(client, trained):
    """In pixels of the image as sent, whatever its size; one that is no image fails alone."""
    rng = np.random.default_rng(99)
    scenes = [scene(rng) for _ in range(10)]
    images = [encoded(image.resize((240, 240))) for image, _ in scenes]

    response = client.predict(trained[0].name, [*images, b"no image"])

    right = [
        any(
            found.class_name == kind
            and overlap(
                np.array([found.box.xmin, found.box.ymin, found.box.xmax, found.box.ymax]),
                np.array(box) * 2.5,
            )
            >= 0.5
            for found in prediction.detection.objects
        )
        for prediction, (_, objects) in zip(response.predictions, scenes, strict=False)
        for kind, box in objects
    ]
    assert np.mean(right) >= 0.6
    assert response.predictions[-1].HasField("error")


def test_an_answer_is_drawn_on_request(client, trained):
    image, _ = scene(np.random.default_rng(3))
    options = prediction_pb2.PredictOptions(overlay=True, score_threshold=0.3)

    response = client.predict(trained[0].name, [encoded(image)], options)

    assert response.predictions[0].overlay_png.startswith(b"\x89PNG")


# What all tasks have in common is shown by classification in the default suite.
@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_though_the_worker_is_killed(
    client, pipeline, trained, stack
):
    again = pipeline()

    lifecycle.check_killed_worker(client, stack, TASK, trained[0], again, epoch=5)


def test_a_cancelled_training_leaves_no_model(client, pipeline):
    endless = pipeline(epoch_count=500, early_stopping_patience=500)

    lifecycle.check_cancelled(client, endless)


def test_settings_that_mean_nothing_are_refused(pipeline):
    with pytest.raises(CallFailed) as refused:
        pipeline(label_smoothing=0.2)

    assert refused.value.reason == "OPTION_UNSUPPORTED"
