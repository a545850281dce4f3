"""The half of detection that needs torch, with a detector of the registry."""

import copy

import numpy as np
import pytest
import torch

from common.data.findings import Report
from common.objects.targets import Detections, Truth
from common.serving import network as serving
from nocode.vision.v1 import model_pb2, pipeline_pb2
from services.detection.learner import DetectionLearner

LEARNER = DetectionLearner()
SIZE_PX = 64


def truth(*boxes, crowd=()):
    count = len(boxes)
    return Truth(
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.arange(count) % 2,
        np.array([index in crowd for index in range(count)], dtype=bool),
        np.zeros(count, dtype=bool),
        np.ones(count, dtype=np.float32),
    )


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return LEARNER.registry.get("yolox_nano").build(2)


def pictures(count):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, SIZE_PX, SIZE_PX), generator=generator).float()


def test_boxes_of_the_truth_are_those_of_the_letterbox():
    """An image of 128 × 64 pixels is half as large in the network's input."""
    annotation = {"objects": [{"label": 1, "box": [20, 10, 40, 30]}]}

    target = LEARNER.target(annotation, 128, 64, SIZE_PX)

    assert target.boxes_K4.tolist() == [[10, 5, 20, 15]]
    assert target.labels_K.tolist() == [1]


def test_crowds_are_not_trained_on(network):
    """With a crowd the losses are what they are without it; with an object they are others."""
    network.train()
    images, config = pictures(2), pipeline_pb2.TrainingConfig()
    box, other = (4, 4, 40, 40), (20, 20, 60, 60)

    def loss(*targets):
        return LEARNER.loss(network, images, targets, config, None).item()

    plain = loss(truth(box), truth())
    assert loss(truth(box, other, crowd={1}), truth()) == plain
    assert loss(truth(box, other), truth()) != plain


def test_an_answer_is_on_the_cpu_in_numbers_of_their_kinds(network):
    network.eval()
    with torch.inference_mode():
        (found,) = LEARNER.forward(network, pictures(1))

    assert isinstance(found, Detections)
    assert found.boxes_K4.dtype == np.float32
    assert found.labels_K.dtype == np.int64
    assert found.scores_K.dtype == np.float32
    assert found.boxes_K4.shape == (len(found), 4)


def test_in_bf16_it_answers_nearly_the_same(network):
    network = copy.deepcopy(network).eval()
    with torch.no_grad():
        for told in (*network.head.obj_preds, *network.head.cls_preds):
            told.bias.zero_()  # else it is sure that there is nothing
    images = pictures(2)
    with torch.inference_mode():
        exact = LEARNER.forward(network, images)
        answers = LEARNER.forward(LEARNER.in_bf16(network), images.to(torch.bfloat16))

    for answer, reference in zip(answers, exact, strict=True):
        assert len(answer) == pytest.approx(len(reference), rel=0.2)
        assert answer.scores_K[0] == pytest.approx(reference.scores_K[0], abs=0.01)
        assert answer.scores_K[0] != reference.scores_K[0]


@pytest.mark.parametrize(
    ("offset", "precision"),
    [
        pytest.param(0.0, "bf16", id="it agrees"),
        # Near 500, bf16 knows only every second number.
        pytest.param(500.0, "fp32", id="it does not agree"),
    ],
)
def test_a_detector_is_served_in_bf16_where_the_answers_agree(monkeypatch, offset, precision):
    """Untrained, with statistics as after a training, it finds hundreds of objects everywhere."""
    monkeypatch.setattr(serving, "has_bf16", lambda _: True)
    entry = LEARNER.registry.get("yolox_nano")
    torch.manual_seed(0)
    network = entry.build(2).train()
    with torch.no_grad():
        for _ in range(20):
            network.raw(pictures(2))
        for last in (*network.head.obj_preds, *network.head.cls_preds):
            last.bias.zero_()
        for convs, last in zip(network.head.cls_convs, network.head.cls_preds, strict=True):
            convs[1].pconv.bn.bias.fill_(offset)
            last.bias.sub_(offset * last.weight.sum(dim=(1, 2, 3)))
    model = model_pb2.Model(
        classes=["a", "b"],
        preprocessing=model_pb2.Preprocessing(
            image_size_px=SIZE_PX, resize="letterbox", mean=entry.mean, std=entry.std
        ),
    )
    network.eval().requires_grad_(False)

    made = serving.make(model, network, LEARNER, torch.device("cpu"), "auto")

    assert made.precision == precision


def test_validation_is_average_precision():
    """One of two objects found exactly, nothing else: half of the recall at full precision."""
    target = truth((0, 0, 20, 20), (30, 30, 60, 60))
    target = Truth(target.boxes_K4, np.zeros(2, dtype=np.int64), *_rest(target))
    found = Detections(target.boxes_K4[:1], np.zeros(1, dtype=np.int64), np.float32([0.9]))

    metrics = LEARNER.validate([found], [target], 1)

    assert set(metrics) == {LEARNER.best_metric, LEARNER.tie_break}
    # 51 of COCO's 101 recall points, 0, 0.01, … 0.5, are reached.
    assert metrics["val_ap"] == pytest.approx(51 / 101)
    assert metrics["val_ap50"] == pytest.approx(51 / 101)


def test_without_objects_to_find_there_is_nothing_to_choose_an_epoch_by():
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0))
    targets = [truth(), truth((0, 0, 9, 9), crowd={0})]

    assert LEARNER.validate([nothing, nothing], targets, 2) == {}


def _rest(target):
    return target.crowd_K, target.difficult_K, target.area_K


def test_the_threshold_of_a_class_is_that_of_its_best_f1():
    """Both objects found at 0.9 and 0.6, then a false one at 0.4."""
    target = truth((0, 0, 20, 20), (30, 30, 60, 60))
    target = Truth(target.boxes_K4, np.zeros(2, dtype=np.int64), *_rest(target))
    boxes = np.float32([[0, 0, 20, 20], [30, 30, 60, 60], [0, 40, 10, 50]])
    found = Detections(boxes, np.zeros(3, dtype=np.int64), np.float32([0.9, 0.6, 0.4]))

    calibration = LEARNER.calibrate([found], [target], 1)

    assert 0.4 < calibration.score_thresholds[0] <= np.float32(0.6)


def test_objects_that_are_tiny_in_the_input_are_reported():
    report = Report()
    targets = [truth((0, 0, 3, 3.5), (10, 10, 13, 20)), truth(), truth((0, 0, 1, 1))]

    LEARNER.check_targets(targets, SIZE_PX, report)

    (finding,) = report.findings()
    assert finding.id == "OBJECTS_TINY"
    assert finding.count == 2
    assert "4 pixels" in finding.message
