"""Each architecture learns eight real images by heart, from random weights.

What it must get right for that: targets, the loss, gradients, and how answers lie on the image.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common.data import transforms
from common.metrics.semantic import Areas, confusion
from nocode.vision.v1 import model_pb2
from services.segmentation.semantic import outputs
from services.segmentation.semantic.architectures import segmenters
from services.segmentation.semantic.loss import pixel_loss
from tests.services import overfitting

ARCHIVE = Path(__file__).parents[5] / "examples/segmentation/facades_masks.zip"
CLASS_COUNT = 11
IMAGE_COUNT = 8
# That of the images; enlarged where the network's logits have a sixteenth of its input's side, in
# which windows and doors could not be told apart otherwise.
SIZE_PX = 320
SIZES_PX = {"deeplabv3_mobilenet_v3_large": 640}
STEP_LIMIT = 600
LEARNING_RATE = 1e-3
EVALUATED_EVERY = 25


def read_examples():
    """The images, uint8 (H, W, 3) each, and their labels, int16 (H, W)."""
    images, labels = [], []
    with zipfile.ZipFile(ARCHIVE) as archive:
        names = sorted(name for name in archive.namelist() if "masks/train/" in name)
        for name in names[:IMAGE_COUNT]:
            picture = name.replace("masks", "images").replace(".png", ".jpg")
            images.append(np.array(Image.open(io.BytesIO(archive.read(picture))).convert("RGB")))
            labels.append(np.array(Image.open(io.BytesIO(archive.read(name)))).astype(np.int16))
    return images, labels


def mean_iou(scores, labels, size_px):
    """Over all images, at their own sizes."""
    counts_CC = 0
    for one, labels_HW in zip(scores, labels, strict=True):
        height, width = labels_HW.shape
        found_HW, _ = outputs.classes(one, width, height, size_px, 1.0)
        counts_CC = counts_CC + confusion(found_HW, labels_HW, CLASS_COUNT)
    return float(Areas.of(counts_CC).mean_iou)


def overfit(entry):
    """Train on the images until the mean IoU on them is 0.9.

    Returns it, the network and its inputs.
    """
    size_px = SIZES_PX.get(entry.name, SIZE_PX)
    images, labels = read_examples()
    letterbox = model_pb2.Preprocessing(
        image_size_px=size_px, resize="letterbox", mean=entry.mean, std=entry.std
    )
    inputs_N3SS = transforms.normalize(
        transforms.stack([transforms.resize(image_HW3, letterbox) for image_HW3 in images]),
        letterbox,
    )
    labels_NSS = torch.from_numpy(
        np.stack([_enlarged(labels_HW, size_px) for labels_HW in labels])
    ).long()
    reached, model = overfitting.overfit(
        lambda: entry.build(CLASS_COUNT),
        inputs_N3SS,
        labels_NSS,
        loss=lambda model, some_N3SS, theirs_NSS: pixel_loss(model(some_N3SS), theirs_NSS, None),
        measure=lambda model: mean_iou(outputs.scores(model(inputs_N3SS)), labels, size_px),
        peak_rate=LEARNING_RATE,
        step_limit=STEP_LIMIT,
        measured_every=EVALUATED_EVERY,
    )
    return reached, model, inputs_N3SS


def _enlarged(labels_HW, size_px):
    """The images are square, so that there is no grey."""
    assert labels_HW.shape[0] == labels_HW.shape[1]
    picture = Image.fromarray(labels_HW.astype(np.uint8)).resize((size_px,) * 2, Image.NEAREST)
    return np.array(picture).astype(np.int16)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("entry", list(segmenters), ids=lambda entry: entry.name)
def test_it_learns_eight_images_by_heart(entry):
    """Nearly every pixel gets its class, of the rare classes too.

    And what is said of an image does not depend on the images beside it.
    """
    reached, model, inputs_N3SS = overfit(entry)
    assert reached >= 0.9

    with torch.inference_mode():
        together_NChw = model(inputs_N3SS[:4])
        for image_3SS, logits_Chw in zip(inputs_N3SS[:4], together_NChw, strict=True):
            alone_Chw = model(image_3SS[None])[0]
            assert (alone_Chw - logits_Chw).abs().max() < 1e-3
