"""Images whose pixels were classified with a given number of mistakes."""

import numpy as np

from common.masks.label_maps import VOID, LabelMap
from common.training.learner import ImageSource, Sample
from services.segmentation.semantic import annotation
from services.segmentation.semantic.outputs import PixelClasses


class Noise(ImageSource):
    """Pictures of the size of the samples; remembers what was asked for."""

    def __init__(self, samples):
        self.sizes = {sample.index: (sample.height, sample.width) for sample in samples}
        self.loaded = []

    def load(self, index):
        self.loaded.append(index)
        rng = np.random.default_rng(index)
        return rng.integers(100, 200, (*self.sizes[index], 3), dtype=np.uint8)


def sample(index, predicted_HW, true_HW, confidence=0.8):
    """Make one of labels, all of one confidence or of one for each pixel."""
    height, width = np.shape(true_HW)
    confidence_HW = np.broadcast_to(np.rint(255 * np.asarray(confidence)), (height, width))
    return Sample(
        index=index,
        file=f"{index}.jpg",
        annotation=annotation.write(np.asarray(true_HW, dtype=np.int16)),
        output=PixelClasses(
            LabelMap.pack(np.asarray(predicted_HW, dtype=np.int16)),
            confidence_HW.astype(np.uint8),
        ),
        width=width,
        height=height,
    )


def samples(count=20, class_count=4, seed=0):
    """Make images of squares of classes or void, with mistakes here and there; sizes differ."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        rows, columns = rng.integers(2, 5, 2)
        true_HW = np.kron(rng.integers(VOID, class_count, (rows, columns)), np.ones((17, 13), int))
        is_wrong_HW = (rng.random(true_HW.shape) < 0.1) | (true_HW == VOID)
        anything_HW = rng.integers(0, class_count, true_HW.shape)
        predicted_HW = np.where(is_wrong_HW, anything_HW, true_HW)
        made.append(sample(7 + number, predicted_HW, true_HW, rng.random(true_HW.shape)))
    return made
