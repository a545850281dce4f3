"""What other programs make of an exported segmenter."""

import numpy as np
import onnxruntime
import pytest
import torch

from common.evaluation.export import write_onnx
from nocode.vision.v1 import model_pb2
from services.segmentation.semantic import exporting, outputs
from services.segmentation.semantic.architectures import segmenters
from tests.services.segmentation.semantic.architectures.test_architectures import see_noise
from tests.services.segmentation.semantic.made import Sees

SIZE_PX = 64
STRIDE = 4
# Those of the registry take long to be written.
NAMES = ["made", *(pytest.param(entry.name, marks=pytest.mark.slow) for entry in segmenters)]


class Exporter:
    """As much of a learner as an export asks for."""

    exportable = staticmethod(exporting.exportable)


@pytest.mark.parametrize("name", NAMES)
def test_onnx_runtime_says_what_we_say(name, tmp_path):
    """For another number of images than was traced, at each pixel of the input."""
    torch.manual_seed(0)
    network = Sees(STRIDE) if name == "made" else segmenters.get(name).build(3)
    see_noise(network)
    network.eval().requires_grad_(requires_grad=False)
    model = model_pb2.Model(architecture=name, classes="abc", temperature=0.5)
    model.preprocessing.image_size_px = SIZE_PX
    images_N3SS = torch.randn(3, 3, SIZE_PX, SIZE_PX)

    write_onnx(Exporter(), network, model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found_NCSS,) = session.run(["probabilities"], {"images": images_N3SS.numpy()})

    assert found_NCSS.shape == (3, 3, SIZE_PX, SIZE_PX)
    assert found_NCSS.sum(axis=1) == pytest.approx(np.ones((3, SIZE_PX, SIZE_PX)), abs=1e-4)
    with torch.inference_mode():
        scores = outputs.scores(network(images_N3SS))
    for found_CSS, one in zip(found_NCSS, scores, strict=True):
        labels_SS, confidence_SS = outputs.classes(one, SIZE_PX, SIZE_PX, SIZE_PX, 0.5)
        likeliest_SS = found_CSS.max(axis=0)
        assert np.abs(confidence_SS / outputs.CERTAIN - likeliest_SS).max() < 0.01
        second_SS, first_SS = np.sort(found_CSS, axis=0)[-2:]
        clear_SS = first_SS - second_SS > 0.01
        assert (found_CSS.argmax(axis=0) == labels_SS)[clear_SS].all()
        assert clear_SS.any()
