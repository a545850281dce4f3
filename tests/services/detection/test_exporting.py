"""What other programs make of an exported detector."""

import numpy as np
import onnxruntime
import pytest
import torch

from common.errors import Unsupported
from common.evaluation.export import write_onnx
from nocode.vision.v1 import model_pb2
from services.detection import exporting
from services.detection.architectures import detectors
from services.detection.architectures.registry import SCORE_FLOOR

SIZE_PX = {"ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 128}
DENSE = [entry.name for entry in detectors if not entry.name.startswith("fasterrcnn")]
CHEAP = {"yolox_nano", "ssdlite320_mobilenet_v3_large"}
SLOW = [
    pytest.param(name, marks=() if name in CHEAP else pytest.mark.slow, id=name) for name in DENSE
]


class Exporter:
    """As much of a learner as an export asks for."""

    exportable = staticmethod(exporting.exportable)


def lively(name):
    """A network that finds things in noise."""
    torch.manual_seed(0)
    network = detectors.get(name).build(3)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.bias is not None:
            torch.nn.init.normal_(module.bias, std=0.3)
    size_px = SIZE_PX.get(name, 64)
    # Statistics of batch normalization that are not those of a new network.
    network.train()
    targets = [{"boxes": torch.tensor([[4.0, 4.0, 40.0, 40.0]]), "labels": torch.tensor([1])}] * 4
    with torch.no_grad():
        network(torch.randn(4, 3, size_px, size_px), targets)
    return network.eval().requires_grad_(False), size_px


@pytest.mark.parametrize("name", SLOW)
def test_onnx_runtime_finds_what_the_network_finds(name, tmp_path):
    """For another number of images than was traced, every object of ours is among its boxes."""
    network, size_px = lively(name)
    model = model_pb2.Model(architecture=name, classes="abc")
    model.preprocessing.image_size_px = size_px
    images_N3SS = 3 * torch.randn(3, 3, size_px, size_px)

    write_onnx(Exporter(), network, model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    boxes_NA4, scores_NAC = session.run(["boxes", "scores"], {"images": images_N3SS.numpy()})

    module, names = exporting.exportable(network, model)
    with torch.inference_mode():
        expected_boxes, expected_scores = module(images_N3SS)
        answers = network(images_N3SS)
    assert names == ("boxes", "scores")
    assert boxes_NA4 == pytest.approx(expected_boxes.numpy(), abs=0.05)
    assert scores_NAC == pytest.approx(expected_scores.numpy(), abs=1e-3)
    assert boxes_NA4.min() >= 0
    assert boxes_NA4.max() <= size_px
    assert sum(len(answer["scores"]) for answer in answers) > 3
    for boxes_A4, scores_AC, answer in zip(boxes_NA4, scores_NAC, answers, strict=True):
        assert scores_AC.max() > SCORE_FLOOR
        for box, label, score in zip(
            answer["boxes"].numpy(), answer["labels"], answer["scores"], strict=True
        ):
            off = np.abs(boxes_A4 - box).max(axis=1) + 100 * np.abs(
                scores_AC[:, label] - score.item()
            )
            assert off.min() < 0.2


@pytest.mark.parametrize("name", ["fasterrcnn_mobilenet_v3_large_320_fpn"])
def test_two_stages_are_refused_with_a_way_out(name):
    network = detectors.get(name).build(3).eval()

    with pytest.raises(Unsupported, match=f"{name}.*safetensors") as caught:
        exporting.exportable(network, model_pb2.Model(architecture=name))

    assert caught.value.field == "format"
