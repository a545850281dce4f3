"""The half of instance segmentation that needs torch, with made answers."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from common.data.findings import Report
from common.errors import Unsupported
from common.masks import rle
from common.objects.targets import to_image
from common.serving.tiles import Tile
from nocode.vision.v1 import model_pb2, pipeline_pb2
from services.segmentation.instance.learner import InstanceLearner
from tests.services.segmentation.instance.made import CELLS, annotation, detections, ellipse

LEARNER = InstanceLearner()
SIZE_PX = 64
BOX, OTHER = (8, 4, 40, 30), (30, 34, 60, 62)


def target(*objects, width=SIZE_PX, height=SIZE_PX):
    return LEARNER.target(annotation(objects, width, height), width, height, SIZE_PX)


class Remembers(nn.Module):
    """Stands for a network in training: its loss counts the true pixels that it is given."""

    def forward(self, images_N3SS, targets):
        self.targets = targets
        pixels = sum(one["masks"].sum() for one in targets)
        return {"masks": pixels.double(), "boxes": torch.tensor(0.5)}


class Says(nn.Module):
    """Stands for a network in evaluation."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def forward(self, images_N3SS):
        return [self.found] * len(images_N3SS)


def test_boxes_and_masks_of_the_truth_are_those_of_the_letterbox():
    """An image of 128 × 64 pixels is half as large in the network's input."""
    found = target(((20, 10, 60, 50), 1), width=128, height=64)

    assert found.boxes_K4.tolist() == [[10, 5, 30, 25]]
    mask_SS = rle.decode(found.masks_K[0])
    expected_SS = ellipse((10, 5, 30, 25), SIZE_PX, SIZE_PX)
    assert mask_SS.shape == (SIZE_PX, SIZE_PX)
    assert (mask_SS != expected_SS).sum() < 0.1 * expected_SS.sum()
    assert found.area_K[0] == pytest.approx(expected_SS.sum(), rel=0.05)


def test_a_network_is_trained_on_decoded_masks_and_not_on_crowds():
    network, images = Remembers(), torch.zeros(2, 3, SIZE_PX, SIZE_PX)
    targets = [target((BOX, 0), (OTHER, 1, "crowd")), target()]

    loss = LEARNER.loss(network, images, targets, pipeline_pb2.TrainingConfig(), None)

    assert loss.item() == ellipse(BOX, SIZE_PX, SIZE_PX).sum() + 0.5
    given, nothing = network.targets
    assert given["masks"].dtype == torch.uint8
    assert np.array_equal(given["masks"][0].numpy(), ellipse(BOX, SIZE_PX, SIZE_PX))
    assert given["labels"].tolist() == [0]
    assert nothing["masks"].shape == (0, SIZE_PX, SIZE_PX)
    assert nothing["boxes"].shape == (0, 4)


def test_masks_lie_half_a_pixel_from_their_boxes():
    """As torchvision trains them; see `MASK_SHIFT_PX`."""
    network = Says(
        {
            "boxes": torch.tensor([[10.0, 20.0, 30.0, 40.0]], dtype=torch.bfloat16),
            "labels": torch.tensor([1]),
            "scores": torch.tensor([0.5], dtype=torch.bfloat16),
            "masks": torch.full((1, 1, CELLS, CELLS), 0.75),
        }
    )

    (found,) = LEARNER.forward(network, torch.zeros(1, 3, SIZE_PX, SIZE_PX))

    assert found.boxes_K4.tolist() == [[10, 20, 30, 40]]
    assert found.spans_K4.tolist() == [[10.5, 20.5, 30.5, 40.5]]
    assert found.masks_KMM.shape == (1, CELLS, CELLS)
    assert {found.boxes_K4.dtype, found.scores_K.dtype, found.masks_KMM.dtype} == {
        np.dtype(np.float32)
    }


def test_what_torchvision_trains_on_lies_on_its_object_again():
    """A true mask, cut out for training by torchvision's own code: an answer of it fits.

    Without the shift it would be a pixel off in half of the places along the outline.
    """
    found = target((BOX, 0), (OTHER, 1))
    masks_KSS = torch.from_numpy(np.stack([rle.decode(mask) for mask in found.masks_K]))
    boxes_K4 = torch.from_numpy(found.boxes_K4)
    cells_KMM = project_masks_on_boxes(masks_KSS, boxes_K4, torch.arange(2), CELLS)
    network = Says(
        {
            "boxes": boxes_K4,
            "labels": torch.tensor([0, 1]),
            "scores": torch.tensor([0.9, 0.8]),
            "masks": cells_KMM[:, None],
        }
    )

    (output,) = LEARNER.forward(network, torch.zeros(1, 3, SIZE_PX, SIZE_PX))

    for one, true in zip(LEARNER.digest(output, found, 2).masks_K, found.masks_K, strict=True):
        assert rle.overlap(one, true) >= 0.97 * rle.area(rle.union([one, true]))


def validate(outputs, targets, class_count):
    kept = [
        LEARNER.digest(output, true, class_count)
        for output, true in zip(outputs, targets, strict=True)
    ]
    return kept, LEARNER.validate(kept, targets, class_count)


def test_validation_is_average_precision_of_masks():
    """Of two objects whose boxes are found, one has the wrong mask: half of the recall."""
    found = detections((BOX, 0, 0.9), (OTHER, 0, 0.8))
    found.masks_KMM[1, :, CELLS // 4 :] = 0

    _, metrics = validate([found], [target((BOX, 0), (OTHER, 0))], 1)

    assert set(metrics) == {LEARNER.best_metric, LEARNER.tie_break}
    # 51 of COCO's 101 recall points, 0, 0.01, … 0.5, are reached.
    assert metrics["val_mask_ap50"] == pytest.approx(51 / 101)
    assert 0 < metrics["val_mask_ap"] <= metrics["val_mask_ap50"]


def test_without_objects_to_find_there_is_nothing_to_choose_an_epoch_by():
    targets = [target(), target((BOX, 0, "crowd"))]

    kept, metrics = validate([detections((BOX, 0, 0.9)), detections()], targets, 2)

    assert metrics == {}
    assert [len(one.masks_K) for one in kept] == [1, 0]


def test_the_threshold_of_a_class_is_that_of_its_best_f1_by_masks():
    """Both are found at 0.9 and 0.6; at 0.4 a box is right, but its mask is empty."""
    found = detections((BOX, 0, 0.9), (OTHER, 0, 0.6), ((2, 40, 22, 60), 0, 0.4))
    found.masks_KMM[2] = 0
    true = target((BOX, 0), (OTHER, 0), ((2, 40, 22, 60), 1))
    kept = LEARNER.digest(found, true, 2)

    calibration = LEARNER.calibrate([kept], [true], 2)

    assert 0.4 < calibration.score_thresholds[0] <= np.float32(0.6)


def test_an_image_of_tiles_has_masks_where_they_belong():
    """The right one of two tiles sees an object, larger than the image as a whole shows it."""
    model = model_pb2.Model(classes=["a"])
    model.preprocessing.image_size_px = SIZE_PX
    tiles = [Tile(0, 0, 112, 64), Tile(0, 0, 64, 64), Tile(48, 0, 64, 64)]

    merged = LEARNER.merge(
        [detections(), detections(), detections((BOX, 0, 0.9))], tiles, model, 112, 64
    )

    laid = LEARNER.condense(merged, model, 112, 64)
    expected_HW = ellipse((48 + BOX[0], BOX[1], 48 + BOX[2], BOX[3]), 112, 64)
    assert rle.overlap(laid.masks_K[0], rle.encode(expected_HW)) >= 0.97 * expected_HW.sum()
    assert rle.area(laid.masks_K[0]) <= 1.03 * expected_HW.sum()
    assert len(to_image(merged, 112, 64, SIZE_PX)) == 1


def test_objects_that_are_tiny_in_the_input_are_reported():
    report = Report()
    targets = [target(((1, 1, 3, 4), 0), (BOX, 0)), target()]

    LEARNER.check_targets(targets, SIZE_PX, report)

    (finding,) = report.findings()
    assert (finding.id, finding.count) == ("OBJECTS_TINY", 1)


def test_an_export_as_onnx_is_refused_with_a_way_out():
    with pytest.raises(Unsupported, match=r"mask_rcnn.*safetensors\.$") as caught:
        LEARNER.exportable(nn.Identity(), model_pb2.Model(architecture="mask_rcnn"))

    assert caught.value.field == "format"
