"""The whole system as a user meets it: real processes, through the gateway, on real training."""

import json
from functools import partial

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from client import CallFailed
from nocode.vision.v1 import prediction_pb2
from tests.e2e import lifecycle
from tests.e2e.cases import Case
from tests.e2e.data import CLASSES, archive, encoded, shape

TASK = "classification"

# Each trains, on cores that it shares with the other tests.
pytestmark = pytest.mark.timeout(900)

CASE = Case(
    task=TASK,
    dataset_id="shapes",
    archive=partial(archive, 40),
    architecture="resnet18",
    settings={
        "epoch_count": 6,
        "image_size_px": 32,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "warmup_epoch_count": 0.5,
        "seed": 7,
    },
)


def test_the_data_set_is_what_was_sent(dataset):
    """Images, classes and their counts."""
    assert dataset.image_count == 120
    assert tuple(dataset.classes) == CLASSES
    assert [count.image_count for count in dataset.class_counts] == [40, 40, 40]
    assert dataset.format == "image_folder"


def test_splits_hold_every_image_once(client, trained):
    """And keep the classes' shares."""
    splits = client.splits(trained[0].name)

    together = sorted([*splits.train, *splits.val, *splits.test])
    assert together == list(range(120))
    assert len(splits.test) == 18


def test_training_learns_and_is_measured_on_images_held_out(client, trained):
    """Far above guessing, on as many images as the test split has."""
    model = client.model(trained[0].model)

    assert model.evaluation.subset == "test"
    assert model.evaluation.image_count == 18
    assert model.evaluation.classification.accuracy >= 0.8
    assert model.job == trained[1].name
    assert len(trained[1].history) == 6


def test_evaluating_twice_gives_equal_numbers(client, trained):
    lifecycle.check_evaluations_repeat(client, trained[0])


def test_numbers_equal_scikit_learn_on_the_exported_predictions(client, trained, tmp_path):
    """Whoever downloads the predictions can check."""
    job = client.wait(client.evaluate(trained[0].name, subset="train").name)
    path = client.download(job.name, job.evaluation.predictions_uri, tmp_path / "predictions.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    true = [row["label"] for row in rows]
    predicted = [row["predicted_label"] for row in rows]

    metrics = job.evaluation.classification
    assert metrics.accuracy == accuracy_score(true, predicted)
    assert metrics.macro.f1 == pytest.approx(f1_score(true, predicted, average="macro"), abs=1e-12)
    counted = [list(row.counts) for row in metrics.confusion_matrix.rows]
    assert counted == confusion_matrix(true, predicted).tolist()


def test_every_plot_can_be_downloaded(client, trained, tmp_path):
    evaluation = client.model(trained[0].model).evaluation

    lifecycle.check_plots(client, trained[1], evaluation, tmp_path, at_least=3)


def test_prediction_knows_the_shapes(client, trained):
    """New ones; and one that is no image fails alone."""
    rng = np.random.default_rng(99)
    kinds = [kind for kind in CLASSES for _ in range(5)]
    images = [encoded(shape(kind, rng)) for kind in kinds]

    response = client.predict(trained[0].name, [*images, b"no image"])

    answers = [p.classification.classes[0].class_name for p in response.predictions[:-1]]
    assert np.mean([a == k for a, k in zip(answers, kinds, strict=True)]) >= 0.8
    assert response.model == trained[0].model
    assert response.predictions[-1].HasField("error")


def test_the_exported_model_answers_as_the_served_one(client, trained, tmp_path):
    """Within what bf16 may differ from fp32."""
    model = client.model(trained[0].model)
    job = client.wait(client.export(trained[0].name, "onnx").name)
    path = client.download(job.name, job.export.uri, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(path)
    image = shape("square", np.random.default_rng(5))

    size = model.preprocessing.image_size_px
    # Bilinear with antialiasing, as Pillow does it too.
    small = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float32) / 255
    normal = (small - np.array(model.preprocessing.mean)) / np.array(model.preprocessing.std)
    batch = normal.transpose(2, 0, 1)[None].astype(np.float32)
    (exported,) = session.run(None, {session.get_inputs()[0].name: batch})
    png = encoded(image, "PNG")
    served = client.predict(
        trained[0].name, [png], prediction_pb2.PredictOptions(top_k=len(CLASSES))
    )

    for answer in served.predictions[0].classification.classes:
        assert answer.score == pytest.approx(exported[0, answer.class_index], abs=0.05)


def test_the_same_seed_gives_the_same_weights_though_the_worker_is_killed(
    client, pipeline, trained, stack
):
    again = pipeline()

    lifecycle.check_killed_worker(client, stack, TASK, trained[0], again, epoch=3)


def test_a_cancelled_training_leaves_no_model(client, pipeline):
    """And the pipeline says that it is not trained."""
    endless = pipeline(epoch_count=500, early_stopping_patience=500)

    lifecycle.check_cancelled(client, endless)

    with pytest.raises(CallFailed) as refused:
        client.predict(endless.name, [b"x"])
    assert refused.value.reason == "PIPELINE_NOT_TRAINED"


def test_a_service_that_is_killed_loses_no_job(client, pipeline, stack):
    """Neither the one at work nor the one that waits."""
    running = client.train(pipeline(epoch_count=4).name)
    waiting = client.train(pipeline(epoch_count=1).name)
    for state in client.watch(running.name):
        if state.progress.epoch >= 2:
            break
    stack.kill("classification")
    stack.restart("classification")

    assert client.wait(running.name).model
    assert client.wait(waiting.name).model


def test_what_uses_what_cannot_be_deleted(client, dataset, trained):
    """A data set of a pipeline stays."""
    with pytest.raises(CallFailed) as refused:
        client.delete(dataset.name)

    assert refused.value.reason == "DATASET_IN_USE"
