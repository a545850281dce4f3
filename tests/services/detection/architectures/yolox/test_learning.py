"""YOLOX learns."""

import pytest
import torch

from common.training.precision import to_bf16
from services.detection.architectures.registry import detectors
from services.detection.architectures.yolox import Yolox
from tests.services.detection.architectures.yolox import shapes


def test_it_learns_a_few_images_by_heart():
    """A small network does; served in bf16, it says the same."""
    images, targets = shapes.draw(4, 96, seed=0)
    torch.manual_seed(0)
    model = Yolox(len(shapes.CLASSES), width=0.125)

    trained = shapes.train(model, images, targets, step_count=120, batch_size=4, rate=5e-3)

    assert shapes.ap50(trained, images, targets) >= 0.95
    with torch.inference_mode():
        for found, fast in zip(
            trained(images.float()), to_bf16(trained)(images.bfloat16()), strict=True
        ):
            sure = int((found["scores"] > 0.5).sum())
            assert torch.allclose(fast["boxes"][:sure], found["boxes"][:sure], atol=3)
            assert torch.allclose(fast["scores"][:sure], found["scores"][:sure], atol=0.05)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nano_learns_simple_shapes():
    """From 256 images in 400 steps, to find those of 64 others.

    Other implementations of the paper get about as far in as many steps.
    """
    torch.manual_seed(0)
    model = detectors.get("yolox_nano").build(len(shapes.CLASSES))

    trained = shapes.train(
        model, *shapes.draw(256, 160, seed=1), step_count=400, batch_size=8, rate=1e-2
    )

    assert shapes.ap50(trained, *shapes.draw(64, 160, seed=2)) >= 0.9
