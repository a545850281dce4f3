"""EVALUATE jobs: a model measured on images, in a real bucket."""

import json

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from common.catalog import splitting
from common.data import images, transforms
from common.data.reading import DatasetReader
from common.errors import InvalidInput, NotFound
from common.evaluation.run import run_evaluate
from common.jobs.context import Cancelled
from common.metrics.calibration import probabilities
from common.serving.models import load_model
from common.storage import resources
from nocode.vision.v1 import job_pb2
from services.classification.architectures import classifiers


def evaluate(world, model, *, subset="test", dataset=""):
    """The evaluation, and the context in which it was made."""
    spec = job_pb2.EvaluateSpec(model=model.name, dataset=dataset or model.dataset, subset=subset)
    context = world.context(evaluate_spec=spec)
    return run_evaluate(context), context


def content(world, uri):
    return world.bucket.get(uri.removeprefix(world.bucket.uri("")))


def predictions(world, evaluation):
    return [json.loads(line) for line in content(world, evaluation.predictions_uri).splitlines()]


def findings(context):
    return {finding.id: finding for finding in context.job.findings}


def test_metrics_equal_scikit_learn_on_the_exported_predictions(world, model):
    """And are of the images of the split's test side, no other."""
    evaluation, context = evaluate(world, model)

    rows = predictions(world, evaluation)
    labels = [row["label"] for row in rows]
    shares = np.array([row["probabilities"] for row in rows])
    predicted = shares.argmax(axis=1)
    metrics = evaluation.classification
    assert [row["index"] for row in rows] == list(splitting.read(world.bucket, model.pipeline).test)
    assert evaluation.image_count == len(rows)
    assert metrics.accuracy == sk.accuracy_score(labels, predicted)
    assert metrics.log_loss == sk.log_loss(labels, shares, labels=range(3))
    for average in ("macro", "weighted"):
        ours = getattr(metrics, average)
        expected = sk.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0
        )
        assert (ours.precision, ours.recall, ours.f1) == expected[:3]
    assert [list(row.counts) for row in metrics.confusion_matrix.rows] == sk.confusion_matrix(
        labels, predicted, labels=range(3)
    ).tolist()
    assert 0 < metrics.accuracy < 1
    assert context.job.progress.phase == "Measuring"
    assert not context.job.findings


def test_an_evaluation_says_what_was_measured(world, model):
    evaluation, context = evaluate(world, model)

    assert evaluation.model == model.name
    assert evaluation.dataset == model.dataset
    assert evaluation.subset == "test"
    assert evaluation.job == context.job.name
    assert evaluation.create_time.seconds > 0
    assert [plot.title for plot in evaluation.plots][:3] == [
        "Confusion matrix",
        "Precision, recall and F1 by class",
        "Reliability",
    ]
    for plot in evaluation.plots:
        assert plot.uri.startswith(world.bucket.uri(f"{context.job.name}/evaluation/"))
        assert content(world, plot.uri).startswith(b"\x89PNG")


def test_two_evaluations_are_equal_to_the_last_digit(world, model):
    """Metrics, intervals, predictions and pictures."""
    first, _ = evaluate(world, model)
    again, _ = evaluate(world, model)

    assert first.classification == again.classification
    assert content(world, first.predictions_uri) == content(world, again.predictions_uri)
    assert first.predictions_uri != again.predictions_uri
    for one, other in zip(first.plots, again.plots, strict=True):
        assert content(world, one.uri) == content(world, other.uri)


def test_answers_are_those_to_the_image_alone(world, model):
    """Whatever batch an image is in: decoded, resized, normalized, forward, temperature."""
    evaluation, _ = evaluate(world, model, subset="")
    network, _ = load_model(world.bucket, model.name, classifiers)
    reader = DatasetReader(world.bucket, model.dataset)

    rows = predictions(world, evaluation)

    assert len(rows) == 60
    for row in rows[::7]:
        data = reader.read(reader.entries()[row["index"]])
        image_HW3 = images.decode(data, max_pixels=10_000)
        batch_13SS = transforms.stack([transforms.resize(image_HW3, model.preprocessing)])
        with torch.inference_mode():
            logits = network(transforms.normalize(batch_13SS, model.preprocessing))
        expected = probabilities(logits[0].numpy(), 1.3)
        assert row["probabilities"] == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("subset", "finding_id"), [("train", "IMAGES_TRAINED_ON"), ("val", "IMAGES_VALIDATED_ON")]
)
def test_it_is_said_that_images_are_not_new_to_the_model(world, model, subset, finding_id):
    evaluation, context = evaluate(world, model, subset=subset)

    assert set(findings(context)) == {finding_id}
    assert findings(context)[finding_id].count == evaluation.image_count


def test_training_images_are_recognized_in_another_data_set(world, model):
    """By their content: of pictures 10 to 29 of each colour, 10 to 19 are in the model's data."""
    other = world.dataset("later", {"red": 20, "green": 20, "blue": 20}, first=10)
    reader = DatasetReader(world.bucket, model.dataset)
    split = splitting.read(world.bucket, model.pipeline)
    shared = sum(int(reader.entries()[index].file[-7:-4]) >= 10 for index in split.train)

    evaluation, context = evaluate(world, model, subset="", dataset=other)

    assert evaluation.image_count == 60
    assert evaluation.dataset == other
    assert findings(context)["IMAGES_TRAINED_ON"].count == shared > 0


def test_classes_of_another_data_set_are_matched_by_name(world, model):
    """Grey is unknown to the model, and blue does not occur; red has another index."""
    other = world.dataset("others", {"grey": 4, "red": 5, "green": 6}, first=100)

    evaluation, context = evaluate(world, model, subset="", dataset=other)

    rows = predictions(world, evaluation)
    assert evaluation.image_count == 11
    assert all(row["file"].startswith(f"{row['class']}/") for row in rows)
    support = {one.class_name: one.support for one in evaluation.classification.per_class}
    assert support == {"blue": 0, "green": 6, "red": 5}
    left_out = findings(context)["IMAGES_OF_UNKNOWN_CLASSES"]
    assert left_out.count == 4
    assert list(left_out.examples) == ["grey"]


def test_a_data_set_without_a_known_class_is_refused(world, model, tmp_path):
    pipeline = world.pipeline(model.dataset)
    stranger = world.model(pipeline, ["circle", "square", "star"], tmp_path)

    with pytest.raises(InvalidInput) as caught:
        evaluate(world, stranger, subset="", dataset=model.dataset)

    assert caught.value.reason == "CLASSES_DIFFER"
    assert "blue, green, red" in caught.value.message
    assert "circle, square, star" in caught.value.message


def test_an_empty_side_of_the_split_is_refused(world, dataset, tmp_path):
    pipeline = world.pipeline(dataset, train_fraction=0.8, val_fraction=0.2)
    model = world.model(pipeline, ["blue", "green", "red"], tmp_path)

    with pytest.raises(InvalidInput) as caught:
        evaluate(world, model)

    assert caught.value.reason == "SPLIT_INVALID"
    assert "no test images" in caught.value.message


def test_without_its_split_a_model_may_have_seen_any_image_of_its_data_set(world, model):
    """The pipeline was deleted: all of the data set's images are under suspicion, no other is."""
    resources.pipelines(world.bucket).delete(model.pipeline)
    world.bucket.delete_prefix(f"{model.pipeline}/")
    other = world.dataset("later", {"red": 20, "green": 20, "blue": 20}, first=10)

    _, same = evaluate(world, model, subset="", dataset=model.dataset)
    _, partly = evaluate(world, model, subset="", dataset=other)

    for context, count in ((same, 60), (partly, 30)):
        finding = findings(context)["IMAGES_MAYBE_TRAINED_ON"]
        assert finding.count == count
        assert model.pipeline in finding.message


def test_without_its_data_set_a_model_may_have_seen_any_image(world, model):
    """Nobody can tell any more, and that is said."""
    other = world.dataset("later", {"red": 1, "green": 2, "blue": 3}, first=100)
    resources.datasets(world.bucket).delete(model.dataset)
    world.bucket.delete_prefix(f"{model.dataset}/")

    _, context = evaluate(world, model, subset="", dataset=other)

    assert findings(context)["IMAGES_MAYBE_TRAINED_ON"].count == 6
    assert model.dataset in findings(context)["IMAGES_MAYBE_TRAINED_ON"].message


def test_a_pipeline_made_anew_does_not_lend_its_split(world, model):
    """Its test images may be those that the model was trained on."""
    resources.pipelines(world.bucket).delete(model.pipeline)
    world.bucket.delete_prefix(f"{model.pipeline}/")
    world.pipeline(model.dataset, pipeline_id=model.pipeline.rpartition("/")[2])

    with pytest.raises(NotFound, match="has been deleted"):
        evaluate(world, model)
    evaluation, context = evaluate(world, model, subset="", dataset=model.dataset)
    assert evaluation.image_count == 60
    assert findings(context)["IMAGES_MAYBE_TRAINED_ON"].count == 60


def test_a_cancelled_evaluation_leaves_no_file(world, model):
    spec = job_pb2.EvaluateSpec(model=model.name, dataset=model.dataset, subset="test")
    context = world.context(evaluate_spec=spec)
    context.request_stop()

    with pytest.raises(Cancelled):
        run_evaluate(context)

    assert not list(world.bucket.list(f"{context.job.name}/"))
