"""Made networks and images whose right answer is known to the pixel.

A pixel's class is its colour, so that a network which says the colours says the classes.
"""

import numpy as np
import torch
from torch import nn

from common.data import transforms
from nocode.vision.v1 import model_pb2

COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], dtype=np.uint8)
CLASSES = ["red", "green", "blue"]
SHARPNESS = 8.0
"""Of the made network: what the logit of a pure colour is above the others."""


def model(size_px, temperature=1.0):
    """Normalizes to [0, 1]."""
    return model_pb2.Model(
        name="tasks/semantic-segmentation/models/m",
        classes=CLASSES,
        temperature=temperature,
        preprocessing=model_pb2.Preprocessing(
            image_size_px=size_px, resize="letterbox", mean=(0, 0, 0), std=(1, 1, 1)
        ),
    )


class Sees(nn.Module):
    """Says of each pixel of its input, or of each square of them, what colour it has.

    Args:
        stride: Side of the squares.
    """

    def __init__(self, stride=1):
        super().__init__()
        self.stride = stride

    def forward(self, images):
        """Logits (N, 3, S / stride, S / stride)."""
        logits = SHARPNESS * nn.functional.avg_pool2d(images, self.stride)
        return {"out": logits} if self.training else logits


def blocks(height, width, side, seed=0):
    """Classes of an image made of squares, int16 (H, W), those at its end cut off."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, (-(-height // side), -(-width // side)), dtype=np.int16)
    return np.kron(coarse, np.ones((side, side), dtype=np.int16))[:height, :width]


def answer(image_HW3, size_px, learner, stride=1):
    """What the learner makes of what the made network says of an image."""
    preprocessing = model(size_px).preprocessing
    images_13SS = transforms.stack([transforms.resize(image_HW3, preprocessing)])
    with torch.inference_mode():
        (output,) = learner.forward(
            Sees(stride).eval(), transforms.normalize(images_13SS, preprocessing)
        )
    return output
