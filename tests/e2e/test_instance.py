"""Instance segmentation as a user meets it: real processes, through the gateway.

The network is too large to learn much in a minute: what is checked is that its parts hold together.
"""

from functools import partial

import numpy as np
import pytest

from client import CallFailed
from nocode.vision.v1 import prediction_pb2
from tests.e2e import lifecycle
from tests.e2e.cases import Case
from tests.e2e.data import CLASSES, coco_archive, encoded, masked_scene
from tests.e2e.masks import masked

TASK, SERVICE = "instance-segmentation", "segmentation"
SCENE_COUNT = 12

# Each trains, on cores that it shares with the other tests.
pytestmark = pytest.mark.timeout(900)

CASE = Case(
    task=TASK,
    dataset_id="scenes",
    archive=partial(coco_archive, SCENE_COUNT),
    architecture="maskrcnn_resnet50_fpn_v2",
    settings={
        "epoch_count": 2,
        "image_size_px": 32,  # a larger image has more candidates, which take the time
        "batch_size": 4,
        "warmup_epoch_count": 1,
        "seed": 7,
    },
)


def test_the_data_set_is_what_was_sent(dataset):
    """Images, classes and the objects of each."""
    rng = np.random.default_rng(0)
    kinds = [kind for _ in range(SCENE_COUNT) for kind, _, _ in masked_scene(rng)[1]]

    assert dataset.format == "coco"
    assert dataset.image_count == SCENE_COUNT
    assert tuple(dataset.classes) == CLASSES
    counted = {count.class_name: count.object_count for count in dataset.class_counts}
    assert counted == {kind: kinds.count(kind) for kind in CLASSES}


def test_boxes_and_masks_are_measured(client, trained):
    evaluation = client.model(trained[0].model).evaluation
    found = evaluation.instance_segmentation

    assert evaluation.subset == "test"
    for metrics in (found.box, found.mask):
        assert len(metrics.ap_at_iou) == 10
        assert len(metrics.per_class) == len(CLASSES)
        assert metrics.ap <= metrics.ap50


# What all tasks have in common is shown by classification in the default suite.
@pytest.mark.slow
def test_evaluating_twice_gives_equal_numbers(client, trained):
    lifecycle.check_evaluations_repeat(client, trained[0])


def test_every_plot_can_be_downloaded(client, trained, tmp_path):
    evaluation = client.model(trained[0].model).evaluation

    lifecycle.check_plots(client, trained[1], evaluation, tmp_path, at_least=2)


@pytest.mark.parametrize("mask_format", ["MASK_FORMAT_RLE", "MASK_FORMAT_PNG"])
def test_masks_are_of_the_size_of_the_image_and_within_their_boxes(client, trained, mask_format):
    image, _ = masked_scene(np.random.default_rng(3))
    size = (173, 77)
    options = prediction_pb2.PredictOptions(
        score_threshold=0.01, mask_format=mask_format, max_results=20, overlay=True
    )

    answer = client.predict(trained[0].name, [encoded(image.resize(size))], options)

    # A box may cut half a pixel of the network's input off a mask, and a mask ends between pixels.
    slack = 0.5 * max(size) / CASE.settings["image_size_px"] + 1
    objects = answer.predictions[0].instance_segmentation.objects
    assert objects
    assert answer.predictions[0].overlay_png.startswith(b"\x89PNG")
    for one in objects:
        rows, columns = np.nonzero(masked(one.mask, size))
        if len(rows):
            assert one.box.xmin - slack <= columns.min()
            assert columns.max() + 1 <= one.box.xmax + slack
            assert one.box.ymin - slack <= rows.min()
            assert rows.max() + 1 <= one.box.ymax + slack


# What all tasks have in common is shown by classification in the default suite.
@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_though_the_worker_is_killed(
    client, pipeline, trained, stack
):
    again = pipeline()

    lifecycle.check_killed_worker(client, stack, SERVICE, trained[0], again, epoch=1)


def test_a_cancelled_training_leaves_no_model(client, pipeline):
    endless = pipeline(epoch_count=500, early_stopping_patience=500)

    lifecycle.check_cancelled(client, endless)


def test_settings_that_mean_nothing_are_refused(pipeline):
    with pytest.raises(CallFailed) as refused:
        pipeline(label_smoothing=0.2)

    assert refused.value.reason == "OPTION_UNSUPPORTED"
