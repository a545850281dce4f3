"""Semantic segmentation as a user meets it: real processes, through the gateway, real training."""

import io
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as pycoco

from nocode.vision.v1 import prediction_pb2
from tests.e2e import lifecycle
from tests.e2e.cases import Case
from tests.e2e.data import CLASSES, encoded, labels_of, masked_scene, masks_archive
from tests.e2e.masks import masked

TASK, SERVICE = "semantic-segmentation", "segmentation"
SCENE_COUNT, SIZE_PX = 60, 64

# Each trains, on cores that it shares with the other tests.
pytestmark = pytest.mark.timeout(900)

CASE = Case(
    task=TASK,
    dataset_id="scenes",
    archive=partial(masks_archive, SCENE_COUNT, size=SIZE_PX),
    architecture="unet_resnet34",
    settings={
        "epoch_count": 12,
        "image_size_px": SIZE_PX,
        "batch_size": 8,
        "learning_rate": 2e-3,
        "weight_average_decay": 0.9,
        "warmup_epoch_count": 1,
        "augmentation": "light",
        "seed": 7,
    },
)


def test_the_data_set_is_what_was_sent(dataset):
    """Images, classes and the pixels of each."""
    rng = np.random.default_rng(0)
    labels = [
        labels_of(masked_scene(rng, size=SIZE_PX)[1], size=SIZE_PX) for _ in range(SCENE_COUNT)
    ]
    counts = np.bincount(np.concatenate([one.ravel() for one in labels]))

    assert dataset.image_count == SCENE_COUNT
    assert list(dataset.classes) == ["ground", *CLASSES]
    assert [count.pixel_count for count in dataset.class_counts] == counts.tolist()
    assert not any(count.object_count for count in dataset.class_counts)


def test_training_learns_and_is_measured_on_images_held_out(client, trained):
    model = client.model(trained[0].model)
    found = model.evaluation.semantic_segmentation

    assert model.evaluation.subset == "test"
    assert model.evaluation.image_count == len(client.splits(trained[0].name).test) >= 8
    assert found.mean_iou >= 0.6
    assert found.pixel_accuracy >= 0.9
    assert 0 < found.confidence_intervals["mean_iou"].low <= found.mean_iou


# What all tasks have in common is shown by classification in the default suite.
@pytest.mark.slow
def test_evaluating_twice_gives_equal_numbers(client, trained):
    lifecycle.check_evaluations_repeat(client, trained[0])


def test_every_plot_can_be_downloaded(client, trained, tmp_path):
    evaluation = client.model(trained[0].model).evaluation

    lifecycle.check_plots(client, trained[1], evaluation, tmp_path, at_least=4)


def test_exported_predictions_give_the_metrics(client, trained, tmp_path):
    """Counted anew from the masks in the rows."""
    job = client.wait(client.evaluate(trained[0].name).name)
    uri = job.evaluation.predictions_uri
    path = client.download(job.name, uri, tmp_path / "rows.jsonl")
    hits, union = np.zeros(4), np.zeros(4)
    for row in map(json.loads, path.read_text().splitlines()):
        size = [row["height"], row["width"]]
        found, true = (
            {one["label"]: pycoco.decode({"size": size, "counts": one["counts"].encode()}) > 0
             for one in row[key]}
            for key in ("regions", "truth")
        )  # fmt: skip
        nothing = np.zeros(size, bool)
        for label in range(4):
            one, other = found.get(label, nothing), true.get(label, nothing)
            hits[label] += (one & other).sum()
            union[label] += (one | other).sum()

    measured = job.evaluation.semantic_segmentation
    assert measured.mean_iou == pytest.approx((hits / union).mean(), abs=1e-9)
    assert [one.iou for one in measured.per_class] == pytest.approx(hits / union, abs=1e-9)


def test_prediction_knows_the_pixels(client, trained):
    """Of the image as sent, whatever its size; one that is no image fails alone."""
    rng = np.random.default_rng(99)
    scenes = [masked_scene(rng, size=SIZE_PX) for _ in range(8)]
    size = (240, 240)
    images = [encoded(image.resize(size)) for image, _ in scenes]

    response = client.predict(trained[0].name, [*images, b"no image"])

    right = []
    for prediction, (_, objects) in zip(response.predictions, scenes, strict=False):
        answer = prediction.semantic_segmentation
        labels = np.asarray(Image.open(io.BytesIO(answer.class_index_png)))
        true = np.asarray(Image.fromarray(labels_of(objects, size=SIZE_PX)).resize(size, 0))
        right.append((labels == true).mean())
        assert sum(one.pixel_count for one in answer.regions) == labels.size
        for one in answer.regions:
            assert (masked(one.mask, size) == (labels == one.class_index)).all()
    assert np.mean(right) >= 0.9
    assert response.predictions[-1].HasField("error")


def test_an_answer_is_drawn_on_request(client, trained):
    image, _ = masked_scene(np.random.default_rng(3), size=SIZE_PX)
    options = prediction_pb2.PredictOptions(overlay=True)

    response = client.predict(trained[0].name, [encoded(image)], options)

    assert response.predictions[0].overlay_png.startswith(b"\x89PNG")


def test_a_large_image_is_seen_in_tiles(client, trained):
    """Shapes as large as in training, in an image four times as wide, are known in it."""
    rng = np.random.default_rng(5)
    scenes = [masked_scene(rng, size=SIZE_PX) for _ in range(4)]
    wide = Image.fromarray(np.hstack([np.asarray(image) for image, _ in scenes]))
    true = np.hstack([labels_of(objects, size=SIZE_PX) for _, objects in scenes])
    right = {}
    for tiling in (False, True):
        options = prediction_pb2.PredictOptions(tiling=tiling)
        answer = client.predict(trained[0].name, [encoded(wide)], options).predictions[0]
        png = answer.semantic_segmentation.class_index_png
        labels = np.asarray(Image.open(io.BytesIO(png)))
        right[tiling] = (labels == true).mean()

    assert right[True] >= 0.9
    assert right[True] > right[False]


# What all tasks have in common is shown by classification in the default suite.
@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_though_the_worker_is_killed(
    client, pipeline, trained, stack
):
    again = pipeline()

    lifecycle.check_killed_worker(client, stack, SERVICE, trained[0], again, epoch=4)


def test_a_cancelled_training_leaves_no_model(client, pipeline):
    endless = pipeline(epoch_count=500, early_stopping_patience=500)

    lifecycle.check_cancelled(client, endless)
